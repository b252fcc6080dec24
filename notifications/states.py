"""The states of a notification, and the only legal moves."""

from django.db.models import TextChoices


class NotificationStatus(TextChoices):
    PENDING = "PENDING"
    WAITING_FOR_ADDRESS = "WAITING_FOR_ADDRESS"
    # Its text is frozen; from now on it may have gone out.
    SENDING = "SENDING"
    RETRY = "RETRY"
    SENT = "SENT"
    # What the provider told of it since.
    DELIVERED = "DELIVERED"
    DELAYED = "DELAYED"
    BOUNCED = "BOUNCED"
    COMPLAINED = "COMPLAINED"
    FAILED = "FAILED"
    # It may have gone out or not, and nobody can tell any more.
    UNKNOWN = "UNKNOWN"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    # Its address takes no mail any more, or its recipient does not want it.
    SUPPRESSED = "SUPPRESSED"


#: The reason of what is SUPPRESSED because its recipient does not want it.
NOT_WANTED = "they chose not to hear of it"

OPEN = (
    NotificationStatus.PENDING,
    NotificationStatus.WAITING_FOR_ADDRESS,
    NotificationStatus.SENDING,
    NotificationStatus.RETRY,
)
#: It went out, and the provider has given it an id.
WENT_OUT = (
    NotificationStatus.SENT,
    NotificationStatus.DELIVERED,
    NotificationStatus.DELAYED,
    NotificationStatus.BOUNCED,
    NotificationStatus.COMPLAINED,
)
#: A mail that is one of these did not arrive, for sure.
LOST = (
    NotificationStatus.FAILED,
    NotificationStatus.BOUNCED,
    NotificationStatus.SUPPRESSED,
)
#: So perhaps did one of which nobody knows.
UNTOLD = (*LOST, NotificationStatus.UNKNOWN)
NOTIFICATION_MOVES: dict[str, frozenset[str]] = {
    NotificationStatus.PENDING: frozenset(
        {
            NotificationStatus.WAITING_FOR_ADDRESS,
            NotificationStatus.SENDING,
            NotificationStatus.FAILED,
            NotificationStatus.CANCELLED,
            NotificationStatus.EXPIRED,
            NotificationStatus.SUPPRESSED,
        }
    ),
    NotificationStatus.WAITING_FOR_ADDRESS: frozenset(
        {
            NotificationStatus.SENDING,
            NotificationStatus.FAILED,
            NotificationStatus.CANCELLED,
            NotificationStatus.EXPIRED,
            NotificationStatus.SUPPRESSED,
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
            # It surely did not go out, and its recipient has no address any more.
            NotificationStatus.WAITING_FOR_ADDRESS,
            # The provider tells of it: the attempt before did succeed.
            NotificationStatus.SENT,
            NotificationStatus.FAILED,
            NotificationStatus.UNKNOWN,
            NotificationStatus.CANCELLED,
            NotificationStatus.EXPIRED,
            NotificationStatus.SUPPRESSED,
        }
    ),
    NotificationStatus.SENT: frozenset(
        {
            NotificationStatus.DELIVERED,
            NotificationStatus.DELAYED,
            NotificationStatus.BOUNCED,
            NotificationStatus.COMPLAINED,
        }
    ),
    NotificationStatus.DELAYED: frozenset(
        {
            NotificationStatus.DELIVERED,
            NotificationStatus.BOUNCED,
            NotificationStatus.COMPLAINED,
        }
    ),
    # Some servers take a mail and send it back later.
    NotificationStatus.DELIVERED: frozenset(
        {NotificationStatus.BOUNCED, NotificationStatus.COMPLAINED}
    ),
    # It came back for a while only, and then it was taken.
    NotificationStatus.BOUNCED: frozenset({NotificationStatus.DELIVERED}),
    NotificationStatus.COMPLAINED: frozenset(),
    NotificationStatus.FAILED: frozenset(),
    # The provider tells of it: it did go out.
    NotificationStatus.UNKNOWN: frozenset({NotificationStatus.SENT}),
    # The same of one that may have gone out before nobody wanted it any more.
    NotificationStatus.CANCELLED: frozenset({NotificationStatus.SENT}),
    NotificationStatus.EXPIRED: frozenset({NotificationStatus.SENT}),
    NotificationStatus.SUPPRESSED: frozenset(),
}


class Channel(TextChoices):
    EMAIL = "EMAIL"
    PUSH = "PUSH"


class DeviceStatus(TextChoices):
    ACTIVE = "ACTIVE"
    # The push service does not know it any more.
    INVALID = "INVALID"
    # It has not shown itself for months.
    STALE = "STALE"
    # Its user signed out of it, or another one signed in.
    REVOKED = "REVOKED"


#: A device that registers again is active again.
DEVICE_MOVES: dict[str, frozenset[str]] = {
    DeviceStatus.ACTIVE: frozenset(
        {DeviceStatus.INVALID, DeviceStatus.STALE, DeviceStatus.REVOKED}
    ),
    DeviceStatus.INVALID: frozenset({DeviceStatus.ACTIVE}),
    DeviceStatus.STALE: frozenset({DeviceStatus.ACTIVE, DeviceStatus.REVOKED}),
    DeviceStatus.REVOKED: frozenset({DeviceStatus.ACTIVE}),
}


class SuppressionReason(TextChoices):
    BOUNCED = "BOUNCED"
    COMPLAINED = "COMPLAINED"
    # The provider has it on a list of its own.
    REFUSED = "REFUSED"
