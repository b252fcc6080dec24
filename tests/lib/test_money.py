"""Money in minor units, shown with as many digits as its currency has."""

import pytest

from slotbase.lib.money import exponent, format_money


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (1234, "EUR", "12.34 EUR"),
        (5, "USD", "0.05 USD"),
        (0, "EUR", "0.00 EUR"),
        (-1, "EUR", "-0.01 EUR"),
        (500, "JPY", "500 JPY"),
        (0, "KRW", "0 KRW"),
        (1234, "KWD", "1.234 KWD"),
        (10**15 + 1, "EUR", "10000000000000.01 EUR"),
        (2**63 - 1, "EUR", "92233720368547758.07 EUR"),
    ],
)
def test_an_amount_is_shown_exactly(amount: int, currency: str, words: str) -> None:
    assert format_money(amount, currency) == words


@pytest.mark.parametrize(
    ("currency", "digits"), [("EUR", 2), ("JPY", 0), ("BHD", 3), ("XXX", 2)]
)
def test_a_currency_has_its_digits(currency: str, digits: int) -> None:
    assert exponent(currency) == digits
