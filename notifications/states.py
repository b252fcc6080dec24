"""The states of a notification, and the only legal moves."""

from django.db.models import TextChoices


class NotificationStatus(TextChoices):
    PENDING = "PENDING"
    WAITING_FOR_ADDRESS = "WAITING_FOR_ADDRESS"
    # Its text is frozen; from now on it may have gone out.
    SENDING = "SENDING"
    RETRY = "RETRY"
    SENT = "SENT"
    FAILED = "FAILED"
    # It may have gone out or not, and nobody can tell any more.
    UNKNOWN = "UNKNOWN"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


OPEN = (
    NotificationStatus.PENDING,
    NotificationStatus.WAITING_FOR_ADDRESS,
    NotificationStatus.SENDING,
    NotificationStatus.RETRY,
)
NOTIFICATION_MOVES: dict[str, frozenset[str]] = {
    NotificationStatus.PENDING: frozenset(
        {
            NotificationStatus.WAITING_FOR_ADDRESS,
            NotificationStatus.SENDING,
            NotificationStatus.FAILED,
            NotificationStatus.CANCELLED,
            NotificationStatus.EXPIRED,
        }
    ),
    NotificationStatus.WAITING_FOR_ADDRESS: frozenset(
        {
            NotificationStatus.SENDING,
            NotificationStatus.FAILED,
            NotificationStatus.CANCELLED,
            NotificationStatus.EXPIRED,
        }
    ),
    NotificationStatus.SENDING: frozenset(
        {
            NotificationStatus.SENT,
            NotificationStatus.RETRY,
            NotificationStatus.FAILED,
            NotificationStatus.UNKNOWN,
            # Its worker died, and then nobody wanted it any more.
            NotificationStatus.EXPIRED,
        }
    ),
    NotificationStatus.RETRY: frozenset(
        {
            NotificationStatus.SENDING,
            NotificationStatus.FAILED,
            NotificationStatus.UNKNOWN,
            NotificationStatus.CANCELLED,
            NotificationStatus.EXPIRED,
        }
    ),
    NotificationStatus.SENT: frozenset(),
    NotificationStatus.FAILED: frozenset(),
    NotificationStatus.UNKNOWN: frozenset(),
    NotificationStatus.CANCELLED: frozenset(),
    NotificationStatus.EXPIRED: frozenset(),
}


class Channel(TextChoices):
    EMAIL = "EMAIL"
