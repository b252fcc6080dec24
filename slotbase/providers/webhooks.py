"""Webhooks: whether they are really the provider's, and what they say."""

from collections.abc import Mapping

from django.conf import settings

from slotbase.providers.clerk import webhooks as clerk
from slotbase.providers.envelope import BadWebhook, Envelope, NotConfigured
from slotbase.providers.resend import webhooks as resend
from slotbase.providers.stripe import webhooks as stripe

__all__ = ("BadWebhook", "Envelope", "NotConfigured", "read_webhook")

_READERS = {"stripe": stripe.read, "resend": resend.read, "clerk": clerk.read}


def read_webhook(provider: str, body: bytes, headers: Mapping[str, str]) -> Envelope:
    """What a webhook of `stripe`, `resend` or `clerk` says, once it is known as theirs.

    The body is the bytes as they came; the case of header names does not matter. The
    current secret and the previous one are good.

    Raises:
        BadWebhook: forged, too old, from the future, or nothing that can be stored.
        NotConfigured: there is no usable secret: an answer of ours must not be a 2xx.
    """
    name = f"{provider.upper()}_WEBHOOK_SECRETS"
    secrets = [each.strip() for each in getattr(settings, name) if each.strip()]
    if not secrets:
        raise NotConfigured(f"{name} is not set.")
    lower = {header.lower(): value for header, value in headers.items()}
    return _READERS[provider](body, lower, secrets)
