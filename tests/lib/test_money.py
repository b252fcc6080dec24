"""Money in minor units, shown with as many digits as its currency has."""

import pytest

from slotbase.lib.money import (
    CHARGEABLE_CURRENCIES,
    NotChargeable,
    UnreadableMoney,
    check_chargeable,
    exponent,
    format_money,
    parse_money,
)
from slotbase.sandbox.stripe.money import CURRENCIES


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


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("12.34", "EUR", 1234),
        ("12,34", "EUR", 1234),
        ("12,3", "EUR", 1230),
        ("12", "EUR", 1200),
        (" 0.05 ", "USD", 5),
        ("007", "USD", 700),
        ("0", "EUR", 0),
        ("500", "JPY", 500),
        ("5000", "ISK", 5000),
        ("1.234", "KWD", 1234),
        ("1,23", "KWD", 1230),
        ("1", "KWD", 1000),
        ("1.005", "BHD", 1005),
        ("19.99", "EUR", 1999),
        ("999999999999999.99", "EUR", 99999999999999999),
    ],
)
def test_what_is_typed_is_read_exactly(text: str, currency: str, amount: int) -> None:
    assert parse_money(text, currency) == amount


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(
            (text, "EUR")
            for text in ("", " ", ".", ",", "5.", ".5", "-1", "+1", "\u22121")
        ),
        *((text, "EUR") for text in ("1e3", "1E3", "NaN", "Infinity", "0x10", "1_000")),
        *((text, "EUR") for text in ("1,234", "1.234", "1.234,50", "1,234.50")),
        *((text, "EUR") for text in ("1 234", "1'234", "1\u00a0234", "12.34 EUR")),
        *((text, "EUR") for text in ("€12", "١٢", "1\x00", "1\n2", "9" * 16)),
        ("500.00", "JPY"),
        ("1,234", "JPY"),
        ("1,234", "KWD"),
        ("1.2345", "KWD"),
        ("0.001", "EUR"),
    ],
)
def test_what_could_be_meant_otherwise_is_not_read(text: str, currency: str) -> None:
    with pytest.raises(UnreadableMoney):
        parse_money(text, currency)


@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD", "ISK", "MGA"])
@pytest.mark.parametrize("amount", [0, 1, 9, 10, 99, 100, 1999, 123456789])
def test_what_is_shown_can_be_read_again(amount: int, currency: str) -> None:
    shown = format_money(amount, currency).removesuffix(f" {currency}")

    assert parse_money(shown, currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (1, "EUR"),
        (99_999_999, "EUR"),
        (1, "JPY"),
        (1, "ISK"),
        (999_999, "ISK"),
        (10, "KWD"),
        (1230, "KWD"),
        (100, "MGA"),
    ],
)
def test_an_amount_that_cards_carry_can_be_charged(amount: int, currency: str) -> None:
    check_chargeable(amount, currency)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (0, "EUR"),
        (-1, "EUR"),
        (100_000_000, "EUR"),
        (1_000_000, "ISK"),
        (1234, "KWD"),
        (150, "MGA"),
        (100, "UGX"),
        (100, "LYD"),
        (100, "eur"),
        (100, ""),
    ],
)
def test_an_amount_that_cards_do_not_carry_is_refused(
    amount: int, currency: str
) -> None:
    with pytest.raises(NotChargeable):
        check_chargeable(amount, currency)


def test_the_sandbox_takes_every_currency_that_can_be_charged() -> None:
    known = {code.upper() for code in CURRENCIES}

    assert known - CHARGEABLE_CURRENCIES == {"UGX"}
    assert CHARGEABLE_CURRENCIES - known == set()
