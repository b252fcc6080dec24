"""Stripe's webhooks."""

from collections.abc import Mapping
from typing import Any

import stripe

from slotbase.providers.envelope import (
    BadWebhook,
    Envelope,
    read_header,
    read_name,
    read_object,
    read_stamp,
    read_unix_time,
    require_fresh,
)


def read(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> Envelope:
    """The event, if one of the secrets signed it; header names are in lower case.

    Raises:
        BadWebhook: forged, too old, from the future, or not an event that we take.
    """
    header = read_header(headers, "stripe-signature")
    stamp = _read_stamp(header)
    if not any(_is_signed(body, header, secret) for secret in secrets):
        raise BadWebhook("signature")
    # The SDK would take any stamp of the future.
    require_fresh(stamp)
    return read_event(read_object(body))


def _read_stamp(header: str) -> int:
    # The SDK reads the first of several stamps: with one only, it is this one.
    pairs = [each.partition("=") for each in header.split(",")]
    stamps = [value for name, _, value in pairs if name == "t"]
    if len(stamps) != 1:
        raise BadWebhook("signature")
    return read_stamp(stamps[0])


def _is_signed(body: bytes, header: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, header, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def read_event(payload: dict[str, Any]) -> Envelope:
    """The event that an object which can be stored describes.

    Raises:
        BadWebhook: it describes none.
    """
    livemode = payload.get("livemode")
    # A thin event ("v2.core.event") names its object only, and has no mode.
    if payload.get("object") != "event" or not isinstance(livemode, bool):
        raise BadWebhook("body")
    return Envelope(
        provider="stripe",
        event_id=read_name(payload.get("id")),
        type=read_name(payload.get("type")),
        created_at=read_unix_time(payload.get("created")),
        account=_read_optional(payload, "account"),
        api_version=_read_optional(payload, "api_version"),
        livemode=livemode,
        payload=payload,
    )


def _read_optional(payload: dict[str, Any], name: str) -> str:
    value = payload.get(name)
    return "" if value is None else read_name(value)
