"""Money: an integer in minor units with an ISO 4217 currency. Float is banned."""

from decimal import Decimal

# Digits after the decimal point that differ from the usual two (ISO 4217, list one).
_EXPONENTS = {
    **dict.fromkeys(
        ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"], 0
    ),
    **dict.fromkeys(["UGX", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}


def exponent(currency: str) -> int:
    """How many digits the currency has after the decimal point."""
    return _EXPONENTS.get(currency, 2)


def format_money(amount_minor: int, currency: str) -> str:
    """Amount and currency for people: `1234, "EUR"` is `12.34 EUR`."""
    digits = exponent(currency)
    amount = Decimal(amount_minor).scaleb(-digits)
    return f"{amount:.{digits}f} {currency}"
