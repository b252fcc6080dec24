"""What somebody heard of a thing already, or may have; what is said next depends on it.

What was withdrawn before anybody could hear of it may be said after all; what somebody
may have heard is not said twice, but taken back if it is not so any more.
"""

from collections.abc import Collection
from typing import Any

from notifications.models import Notification
from notifications.states import Channel, NotificationStatus


def may_be_heard(message: Notification) -> bool:
    """Whether it arrived, may have, or still may: if in doubt, yes.

    Of a mail that is lost a person tells its recipient.
    """
    if message.status in {NotificationStatus.CANCELLED, NotificationStatus.EXPIRED}:
        return message.unsure_since is not None
    is_lost = message.status in {
        NotificationStatus.FAILED,
        NotificationStatus.SUPPRESSED,
    }
    return message.channel == Channel.EMAIL or not is_lost


def list_messages(
    *, subject_type: str, subject_id: Any, templates: Collection[str]
) -> list[Notification]:
    """All messages of these kinds about one thing, the first one first."""
    about = Notification.objects.filter(
        subject_type=subject_type, subject_id=str(subject_id), template__in=templates
    )
    return list(about.order_by("pk"))


def last_heard(messages: list[Notification]) -> Notification | None:
    """The last of these that somebody may hear of, or heard."""
    return next(filter(may_be_heard, reversed(messages)), None)


def unheard_since(messages: list[Notification]) -> list[Notification]:
    """Those after `last_heard`, of which nobody heard anything."""
    heard = last_heard(messages)
    return messages[messages.index(heard) + 1 :] if heard else messages
