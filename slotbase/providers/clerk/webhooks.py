"""Clerk's webhooks: what became of a customer or a session."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from slotbase.providers import svix
from slotbase.providers.envelope import (
    Envelope,
    read_name,
    read_object,
    read_unix_time,
)

# Stamps from here on are in milliseconds, as Clerk sends them. Examples in its
# reference are in seconds, and reach this number in the year 5138.
LEAST_MILLISECONDS = 10**11


def read(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> Envelope:
    """The event, if one of the secrets signed it; header names are in lower case.

    Raises:
        BadWebhook: forged, too old, from the future, or not an event.
        NotConfigured: a secret cannot be used.
    """
    message = svix.verify(body, headers, secrets)
    payload = read_object(body)
    return Envelope(
        provider="clerk",
        event_id=message.id,
        type=read_name(payload.get("type")),
        created_at=_read_time(payload.get("timestamp")) or message.sent_at,
        payload=payload,
    )


def _read_time(stamp: Any) -> datetime | None:
    is_milliseconds = isinstance(stamp, int) and stamp >= LEAST_MILLISECONDS
    return read_unix_time(stamp, per_second=1000 if is_milliseconds else 1)
