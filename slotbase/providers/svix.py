"""The signatures of Svix, which sends the webhooks of Clerk and of Resend.

Resend's SDK would do, but for a secret that is not base64, which it takes for an empty
key, and for what it makes of odd bodies.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from slotbase.providers.envelope import (
    BadWebhook,
    NotConfigured,
    read_header,
    read_name,
    read_stamp,
    read_unix_time,
    require_fresh,
)


@dataclass(frozen=True)
class Message:
    """What the signed headers say."""

    id: str
    sent_at: datetime | None


def verify(body: bytes, headers: Mapping[str, str], secrets: list[str]) -> Message:
    """Return if one of the secrets signed this body, and not long ago.

    Raises:
        BadWebhook: none did, or too long ago.
        NotConfigured: a secret is not `whsec_` and base64.
    """
    message_id = read_header(headers, "svix-id")
    stamp = read_header(headers, "svix-timestamp")
    given = read_header(headers, "svix-signature").split(" ")
    signed = f"{message_id}.{stamp}.".encode() + body
    for key in [_read_key(secret) for secret in secrets]:
        expected = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
        if any(hmac.compare_digest(expected, each.encode()) for each in given):
            sent_at = read_stamp(stamp)
            require_fresh(sent_at)
            return Message(read_name(message_id), read_unix_time(sent_at))
    raise BadWebhook("signature")


def _read_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        # Without the error, which may hold the secret.
        raise NotConfigured("A webhook secret is not whsec_ and base64.") from None
    return key
