"""Amounts as Stripe counts them, which for two currencies is not as ISO 4217 does.

The product, its API and its tables have minor units of ISO 4217 everywhere.
"""

from slotbase.providers.stripe.outcomes import Unreadable

# How many of Stripe's units one of ours is: hundredths of a krona of Iceland, which
# has none.
_MORE = {"ISK": 100}
# How many of our units one of Stripe's is: whole ariary of Madagascar.
_FEWER = {"MGA": 100}


def to_stripe(amount_minor: int, currency: str) -> int:
    """The amount to send, of one that can be charged.

    Raises:
        ValueError: Stripe cannot express it.
    """
    whole, rest = divmod(amount_minor, _FEWER.get(currency, 1))
    if rest:
        raise ValueError(f"Stripe has no fractions of {currency}.")
    return whole * _MORE.get(currency, 1)


def from_stripe(amount: int, currency: str) -> int:
    """The amount in minor units of ISO 4217.

    Raises:
        Unreadable: they cannot express it.
    """
    whole, rest = divmod(amount, _MORE.get(currency, 1))
    if rest:
        raise Unreadable
    return whole * _FEWER.get(currency, 1)
