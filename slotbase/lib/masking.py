"""What is shown without what identifies a person: addresses, and what others sent us.

Of what others sent, what is harmless is listed; anything else is hidden, and so is what
a provider adds tomorrow.
"""

from typing import Any

HIDDEN = "\N{BULLET}\N{BULLET}\N{BULLET}"
#: In the place of what told of somebody who is erased.
ERASED = "[erased]"
LONG_ENOUGH = 4
#: Names of fields whose text is of machines: ids end in `_id` or stand under these.
_HARMLESS = frozenset(
    (
        *("id", "object", "type", "status", "currency", "reason", "outcome", "code"),
        *("decline_code", "failure_code", "failure_reason", "pending_reason"),
        *("api_version", "charge", "payment_intent", "latest_charge", "refund"),
        *("balance_transaction", "payment_method", "dispute", "event", "event_type"),
        *("created_at", "updated_at", "network_status", "risk_level", "brand"),
        *("network", "funding", "capture_method", "confirmation_method"),
        *("cancellation_reason", "slotbase_env", "card_payment", "payable"),
    )
)


def mask_contact(value: str) -> str:
    """`a•••@e•••` or `•••01`: enough to tell it from others, too little to use it."""
    name, at, host = value.partition("@")
    if at:
        return f"{name[:1]}{HIDDEN}@{host[:1]}{HIDDEN}"
    end = value[-2:] if len(value) > LONG_ENOUGH else ""
    return f"{HIDDEN}{end}" if value else ""


def mask(value: Any, *, name: str = "") -> Any:
    """The same structure; texts are hidden unless their field is known as harmless."""
    if isinstance(value, dict):
        return {key: mask(each, name=key) for key, each in value.items()}
    if isinstance(value, list):
        return [mask(each, name=name) for each in value]
    if not isinstance(value, str) or not value:
        return value
    is_harmless = name in _HARMLESS or name.endswith("_id")
    return value if is_harmless else HIDDEN
