"""Currencies and amounts as Stripe takes them: whole numbers of minor units."""

from decimal import Decimal
from typing import Any

from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.forms import text

MOST = 99_999_999
_ZERO_DECIMAL = {
    *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd"),
    *("vuv", "xaf", "xof", "xpf"),
}
_THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
# The least that can be charged; others have no minimum of their own.
_LEAST = {
    **dict.fromkeys(["aud", "brl", "cad", "chf", "eur", "inr", "jpy", "nzd"], 50),
    **dict.fromkeys(["sgd", "usd"], 50),
    **dict.fromkeys(["aed", "myr", "pln", "ron"], 200),
    **dict.fromkeys(["nok", "sek"], 300),
    **dict.fromkeys(["mxn", "thb"], 1000),
    "gbp": 30,
    "bgn": 100,
    "dkk": 250,
    "hkd": 400,
    "czk": 1500,
    "huf": 17500,
}
_OTHERS = {
    *("ars", "cop", "egp", "idr", "ils", "isk", "kes", "lkr", "mad", "ngn", "pen"),
    *("php", "rsd", "sar", "try", "twd", "uah", "ugx", "uyu", "zar"),
}
CURRENCIES = sorted({*_LEAST, *_OTHERS, *_ZERO_DECIMAL, *_THREE_DECIMAL})
_SYMBOLS = {"eur": "€", "gbp": "£", "jpy": "¥", "usd": "$"}


def currency(name: str, raw: Any) -> str:
    """A currency in lower case."""
    code = text(name, raw).lower()
    if code not in CURRENCIES:
        raise Refused(
            f"Invalid currency: {code}. Stripe currently supports these currencies: "
            f"{', '.join(CURRENCIES)}",
            param=name,
        )
    return code


def check_chargeable(amount: int, code: str) -> None:
    """Return if the amount can be charged in this currency.

    Raises:
        Refused: too small, too large, or with a fraction that cards do not have.
    """
    least = _LEAST.get(code, 1)
    if amount < least:
        raise Refused(
            f"Amount must be at least {format_money(least, code)} {code}",
            code="amount_too_small",
            param="amount",
        )
    if amount > MOST:
        raise Refused(
            f"Amount must be no more than {format_money(MOST, code)}",
            code="amount_too_large",
            param="amount",
        )
    check_fraction(amount, code)


def check_fraction(amount: int, code: str) -> None:
    """Return if cards can carry the amount to its last digit.

    Raises:
        Refused: thousandths, or parts of a krona of Iceland.
    """
    step = 10 if code in _THREE_DECIMAL else 100 if code == "isk" else 1
    if amount % step:
        raise Refused(
            f"Invalid amount: {amount} {code} must be divisible by {step}.",
            code="invalid_charge_amount_no_decimal_compatible" if step == 100 else None,
            param="amount",
        )


def format_money(amount: int, code: str) -> str:
    """The amount as Stripe writes it in its messages: `€12.34`."""
    digits = 0 if code in _ZERO_DECIMAL else 3 if code in _THREE_DECIMAL else 2
    number = f"{Decimal(amount).scaleb(-digits):,.{digits}f}"
    return f"{_SYMBOLS.get(code, code.upper() + ' ')}{number}"
