"""Signed links by which people unsubscribe without a login.

A link tells who, which topic and which channel, by ids alone, and works for ever: mails
are kept for years, and nothing worse can be done with one than to unsubscribe.
"""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer

from notifications.kinds import Kind, Topic
from notifications.states import Channel

SALT = "slotbase.unsubscribe"
#: Mails of these come unasked, so mail programs offer to unsubscribe from them.
TOPICS = frozenset({Topic.REMINDERS, Topic.WAITLIST})


@dataclass(frozen=True)
class Subscription:
    """What a link is about."""

    user_id: UUID
    topic: Topic
    channel: Channel


def sign(subscription: Subscription) -> str:
    """The last part of a link; the same each time."""
    about = [
        subscription.user_id.hex,
        subscription.topic.value,
        subscription.channel.value,
    ]
    return Signer(salt=SALT).sign_object(about)


def read(token: str) -> Subscription | None:
    """What a link is about; None if it was not made here."""
    try:
        user_id, topic, channel = Signer(salt=SALT).unsign_object(token)
    except BadSignature:
        return None
    return Subscription(UUID(user_id), Topic(topic), Channel(channel))


def unsubscribe_url(*, kind: Kind, user_id: UUID) -> str:
    """The link for a mail; empty if its kind has none, or nobody knows our address."""
    if kind.topic not in TOPICS or not settings.PUBLIC_URL:
        return ""
    token = sign(Subscription(user_id, kind.topic, Channel.EMAIL))
    return f"{settings.PUBLIC_URL.rstrip('/')}/unsubscribe/{token}/"


def unsubscribe_headers(url: str) -> dict[str, str]:
    """What makes mail programs show a button (RFC 2369, RFC 8058)."""
    if not url:
        return {}
    return {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
