"""Resend's webhooks: what became of a mail."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from slotbase.providers import svix
from slotbase.providers.envelope import Envelope, read_name, read_object


def read(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> Envelope:
    """The event, if one of the secrets signed it; header names are in lower case.

    Raises:
        BadWebhook: forged, too old, from the future, or not an event.
        NotConfigured: a secret cannot be used.
    """
    message = svix.verify(body, headers, secrets)
    payload = read_object(body)
    return Envelope(
        provider="resend",
        event_id=message.id,
        type=read_name(payload.get("type")),
        created_at=_read_time(payload.get("created_at")) or message.sent_at,
        payload=payload,
    )


def _read_time(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None
