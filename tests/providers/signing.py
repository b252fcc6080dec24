"""Webhooks as the providers would send them: bodies, and headers that prove them.

    body, headers = signed("stripe", payload("stripe", type="refund.updated"))
    client.post("/webhooks/stripe/", body, "application/json", headers=headers)

Signed with the tests' current secret and now, unless told otherwise. The signatures are
made here by hand, so that product and SDK are checked against the providers' rules.
"""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from django.conf import settings

PROVIDERS = ("stripe", "resend", "clerk")


def current_secret(provider: str) -> str:
    return secrets(provider)[0]


def previous_secret(provider: str) -> str:
    return secrets(provider)[1]


def secrets(provider: str) -> list[str]:
    found: list[str] = getattr(settings, f"{provider.upper()}_WEBHOOK_SECRETS")
    return found


def payload(provider: str, **changes: Any) -> dict[str, Any]:
    """A good payload of this provider; the changes replace fields."""
    return {**_payloads()[provider], **changes}


def signed(
    provider: str,
    payload: Any,
    *,
    secret: str | None = None,
    at: int | None = None,
    message_id: str | None = None,
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a delivery."""
    body = json.dumps(payload).encode()
    headers = sign(provider, body, secret=secret, at=at, message_id=message_id)
    return body, headers


def sign(
    provider: str,
    body: bytes,
    *,
    secret: str | None = None,
    at: int | None = None,
    message_id: str | None = None,
) -> dict[str, str]:
    """The headers that prove this body; `at` is in seconds since 1970.

    `message_id` is the event's id at Resend and Clerk. Without one the same body has
    the same id, as if it were delivered again. Stripe's event has its id in the body.
    """
    secret = secret or current_secret(provider)
    at = int(time.time()) if at is None else at
    if provider == "stripe":
        mac = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256")
        return {"Stripe-Signature": f"t={at},v1={mac.hex()}"}
    message_id = message_id or "msg_" + hashlib.sha256(body).hexdigest()[:27]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")
    return {
        "svix-id": message_id,
        "svix-timestamp": str(at),
        "svix-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _payloads() -> dict[str, dict[str, Any]]:
    return {
        "stripe": {
            "id": "evt_1Test",
            "object": "event",
            "type": "payment_intent.succeeded",
            "api_version": "2026-01-28",
            "created": 1_790_000_000,
            "livemode": False,
            "data": {"object": {"id": "pi_1Test", "object": "payment_intent"}},
        },
        "resend": {
            "type": "email.delivered",
            "created_at": "2026-09-21T16:13:20.250Z",
            "data": {"email_id": "4ef9a417-02e9-4d39-ad75-9611e0fcc33c"},
        },
        "clerk": {
            "object": "event",
            "type": "user.updated",
            "timestamp": 1_790_000_000_250,
            "instance_id": "ins_test",
            "data": {"object": "user", "id": "user_test"},
        },
    }
