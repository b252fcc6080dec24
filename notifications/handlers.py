"""What notifications do with Resend's webhooks: record what became of a mail."""

from typing import Any
from uuid import UUID

from notifications.services.sending import TAG
from notifications.services.tracking import Fact, Result, record_fact
from notifications.states import NotificationStatus, SuppressionReason
from recovery import inbox
from recovery.inbox import Handler, Ignored, NotPlaced
from recovery.models import InboxEvent

_STATES = {
    "email.delivered": NotificationStatus.DELIVERED,
    "email.delivery_delayed": NotificationStatus.DELAYED,
    "email.bounced": NotificationStatus.BOUNCED,
    "email.complained": NotificationStatus.COMPLAINED,
    # Resend took it, and did not send it after all.
    "email.failed": NotificationStatus.BOUNCED,
    "email.suppressed": NotificationStatus.BOUNCED,
}
_SUPPRESSES = {
    "email.complained": SuppressionReason.COMPLAINED,
    "email.suppressed": SuppressionReason.REFUSED,
}


def _record(event: InboxEvent, _: None) -> None:
    result = record_fact(_read(event))
    if result == Result.TOO_EARLY:
        raise NotPlaced
    if result == Result.NOT_OURS:
        raise Ignored("a mail that has no message here, such as an alert")
    if result == Result.KNOWN:
        raise Ignored("it says nothing new")


def _read(event: InboxEvent) -> Fact:
    data = (event.payload or {}).get("data")
    id_ = data.get("email_id") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(id_, str) or not 0 < len(id_) < 129:
        raise Ignored("it names no mail")
    return Fact(
        provider_id=id_,
        message_id=_message_id(data.get("tags")),
        to=_STATES.get(event.type),
        suppresses=_suppresses(event.type, data.get("bounce")),
    )


def _message_id(tags: Any) -> str:
    value = tags.get(TAG) if isinstance(tags, dict) else None
    try:
        return str(UUID(value)) if isinstance(value, str) else ""
    except ValueError:
        return ""


def _suppresses(type_: str, bounce: Any) -> SuppressionReason | None:
    is_bounce = type_ == "email.bounced" and isinstance(bounce, dict)
    if is_bounce and bounce.get("type") == "Permanent":
        return SuppressionReason.BOUNCED
    return _SUPPRESSES.get(type_)


inbox.register(Handler("resend", frozenset({"email.sent", *_STATES}), apply=_record))
