"""How Stripe signs its webhooks: `Stripe-Signature: t=...,v1=...`."""

import hashlib
import hmac
from collections.abc import Mapping

from slotbase.sandbox.webhooks import Message


def sign(message: Message, secret: str, at: float) -> Mapping[str, str]:
    """The headers of a webhook that is sent now."""
    stamp = int(at)
    signed = f"{stamp}.".encode() + message.body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": f"t={stamp},v1={digest}",
    }
