"""Money: an integer in minor units with an ISO 4217 currency. Float is banned."""

import re
from decimal import Decimal

# Digits after the decimal point that differ from the usual two (ISO 4217, list one).
_EXPONENTS = {
    **dict.fromkeys(
        ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"], 0
    ),
    **dict.fromkeys(["UGX", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}

# In which currencies a card can be charged, and the step of its amounts. Stripe's list;
# without UGX, of which it has said different things.
_CHARGE_STEPS = {
    **dict.fromkeys(
        ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"], 1
    ),
    **dict.fromkeys(["VND", "VUV", "XAF", "XOF", "XPF"], 1),
    **dict.fromkeys(["AED", "ARS", "AUD", "BGN", "BRL", "CAD", "CHF", "COP"], 1),
    **dict.fromkeys(["CZK", "DKK", "EGP", "EUR", "GBP", "HKD", "HUF", "IDR"], 1),
    **dict.fromkeys(["ILS", "INR", "KES", "LKR", "MAD", "MXN", "MYR", "NGN"], 1),
    **dict.fromkeys(["NOK", "NZD", "PEN", "PHP", "PLN", "RON", "RSD", "SAR"], 1),
    **dict.fromkeys(["SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "UYU"], 1),
    "ZAR": 1,
    # Cards know whole ariary, and no thousandths.
    "MGA": 100,
    **dict.fromkeys(["BHD", "JOD", "KWD", "OMR", "TND"], 10),
}
CHARGEABLE_CURRENCIES = frozenset(_CHARGE_STEPS)
# Eight digits, which for Iceland count hundredths that ISO 4217 does not have.
MOST_CHARGEABLE = 99_999_999
MOST_CHARGEABLE_ISK = 999_999
# Without groups: 1,234 may be a thousand or one and a bit. So may 1.234, but the point
# is what Python, browsers and spreadsheets write.
_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9})|,([0-9]{1,2}))?")


class NotChargeable(ValueError):
    """A card cannot be charged so; the text may be shown to staff."""


class UnreadableMoney(ValueError):
    """It is not plainly an amount of money; the text may be shown to staff."""


def exponent(currency: str) -> int:
    """How many digits the currency has after the decimal point."""
    return _EXPONENTS.get(currency, 2)


def format_money(amount_minor: int, currency: str) -> str:
    """Amount and currency for people: `1234, "EUR"` is `12.34 EUR`."""
    return f"{format_amount(amount_minor, currency)} {currency}"


def format_amount(amount_minor: int, currency: str) -> str:
    """The amount alone, as `parse_money` reads it: `1234, "EUR"` is `12.34`."""
    digits = exponent(currency)
    amount = Decimal(amount_minor).scaleb(-digits)
    return f"{amount:.{digits}f}"


def parse_money(text: str, currency: str) -> int:
    """The minor units that somebody typed: `"12.34", "EUR"` is 1234, `"12,3"` 1230.

    Raises:
        UnreadableMoney: a sign, an exponent, groups of digits, more decimals than the
            currency has, or anything else that could be meant otherwise.
    """
    typed = _AMOUNT.fullmatch(text.strip())
    if typed is None:
        raise UnreadableMoney("Enter digits and, if need be, one decimal point.")
    whole, after_point, after_comma = typed.groups(default="")
    fraction, digits = after_point or after_comma, exponent(currency)
    if len(fraction) > digits:
        raise UnreadableMoney(f"{currency} has {digits} decimals.")
    return int(whole + fraction.ljust(digits, "0"))


def check_chargeable(amount_minor: int, currency: str) -> None:
    """Return if a card can be charged this amount.

    The least amount differs by country and bank; only the provider knows it.

    Raises:
        NotChargeable: not in this currency, or not positive, too large, or finer than
            cards can carry.
    """
    step = _CHARGE_STEPS.get(currency)
    if step is None:
        raise NotChargeable(f"Cards cannot be charged in {currency}.")
    most = MOST_CHARGEABLE_ISK if currency == "ISK" else MOST_CHARGEABLE
    if not 0 < amount_minor <= most:
        raise NotChargeable(
            f"Cards can be charged up to {format_money(most, currency)}."
        )
    if amount_minor % step:
        least = format_money(step, currency)
        raise NotChargeable(f"Cards can be charged in steps of {least}.")


def tax_within(amount_minor: int, rate: Decimal) -> int:
    """The tax that an amount includes, at so many percent, in minor units."""
    # In hundredths of a percent, so that all is whole numbers; half is rounded up.
    whole, gross = 100_00, 100_00 + int(rate * 100)
    return amount_minor - (2 * amount_minor * whole + gross) // (2 * gross)
