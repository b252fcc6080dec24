"""How Svix signs the webhooks that it sends for Resend and Clerk."""

import base64
import hmac
from collections.abc import Mapping

from slotbase.sandbox.webhooks import Message


def sign(message: Message, secret: str, at: float) -> Mapping[str, str]:
    """The headers of a webhook that is sent now, as Svix makes them."""
    stamp = int(at)
    signed = f"{message.id}.{stamp}.".encode() + message.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Svix-Webhooks/1.62.0",
        "svix-id": message.id,
        "svix-timestamp": str(stamp),
        "svix-signature": f"v1,{digest}",
    }
