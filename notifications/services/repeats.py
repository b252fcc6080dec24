"""Whether a message can be sent again by a person, and if not, what to do instead."""

from collections.abc import Callable
from uuid import UUID

from notifications.errors import UnknownTemplate
from notifications.kinds import KINDS, Topic, find_kind
from notifications.models import Notification
from notifications.services.choices import is_wanted_still
from notifications.services.messages import PUSH_MARK, devices_of, key_of_mail
from notifications.services.suppression import find_suppression
from notifications.states import OPEN, WENT_OUT, Channel, NotificationStatus
from slotbase.lib.clock import read_clock

#: Before the id of the message that a person sent again, in the key of the newer one.
AGAIN = "again:"
#: These say how a booking is, so the newest of them alone is true.
_NEWS = frozenset({Topic.BOOKINGS, Topic.CANCELLATIONS})
_OUTDATED_BY: dict[Topic, frozenset[Topic]] = {
    Topic.BOOKINGS: _NEWS,
    Topic.CANCELLATIONS: _NEWS,
    Topic.REMINDERS: _NEWS | {Topic.REMINDERS},
}


def key_again(message: Notification) -> str:
    """The key of what repeats a message, which is repeated once at most.

    That of a push begins as those of the pushes that say the same: its copy takes its
    place on a screen, and settles what became of its mail.
    """
    again = f"{AGAIN}{message.pk}"
    if message.channel == Channel.EMAIL:
        return again
    return f"{key_of_mail(message.dedupe_key)}{PUSH_MARK}{again}"


def id_of_repeated(message: Notification) -> str:
    """The id of the message that this one repeats; empty if it repeats none."""
    _, is_again, rest = message.dedupe_key.rpartition(AGAIN)
    return rest.partition(":")[0] if is_again else ""


def devices_left(push: Notification) -> list[UUID]:
    """The devices of its recipient that were not told what a push says.

    One of which we are unsure may have been told: only its own push is repeated.
    """
    mark = f"{key_of_mail(push.dedupe_key)}{PUSH_MARK}"
    pushes = Notification.objects.filter(dedupe_key__startswith=mark)
    told = pushes.filter(status__in=[*WENT_OUT, *OPEN])
    unsure = pushes.filter(status=NotificationStatus.UNKNOWN).exclude(pk=push.pk)
    done = {*told.values_list("device", flat=True)}
    done |= {*unsure.values_list("device", flat=True)}
    return [each for each in devices_of(push.recipient_id) if each not in done]


def is_repeated(message: Notification) -> bool:
    """Whether a person sent it again: the copy tells it otherwise, if need be."""
    again = Notification.objects.filter(dedupe_key__startswith=key_again(message))
    return again.exists()


def is_outdated(message: Notification) -> bool:
    """Whether something newer was said about the same thing since."""
    kind = KINDS.get(message.template)
    topics = _OUTDATED_BY.get(Topic(kind.topic), frozenset()) if kind else frozenset()
    about = Notification.objects.filter(
        subject_type=message.subject_type,
        subject_id=message.subject_id,
        template__in=[name for name, kind in KINDS.items() if kind.topic in topics],
        created_at__gt=message.created_at,
    )
    # A copy is no news; nor is what was withdrawn before anybody read it.
    news = about.exclude(template=message.template, context=message.context)
    return news.exclude(status=NotificationStatus.CANCELLED).exists()


def why_not_again(message: Notification) -> str:
    """Why staff cannot send it again, and what they do instead; empty if they can."""
    return next(filter(None, (reason(message) for reason in _REASONS)), "")


def _it_is_open(message: Notification) -> str:
    return "It goes out by itself." if message.status in OPEN else ""


def _it_was_withdrawn(message: Notification) -> str:
    if message.status != NotificationStatus.CANCELLED:
        return ""
    return (
        "It was withdrawn before it went out: what it says may not be true any more."
        " Send the newest message about it again, or call them."
    )


def _it_is_too_late(message: Notification) -> str:
    is_over = message.not_after is not None and message.not_after <= read_clock()
    if is_over or message.status == NotificationStatus.EXPIRED:
        return "It is too late for it: call them if it still matters."
    return ""


def _it_was_repeated(message: Notification) -> str:
    is_again = is_repeated(message)
    return "It was sent again already: look at the newer one." if is_again else ""


def _it_cannot_be_written(message: Notification) -> str:
    try:
        find_kind(message.template, message.context)
    except UnknownTemplate:
        return "It cannot be written any more: call them."
    return ""


def _something_newer_was_said(message: Notification) -> str:
    if is_outdated(message):
        return (
            "Something newer was said about it since, so it is not true any more: send"
            " the newest message about it again, or call them."
        )
    return ""


def _they_do_not_want_it(message: Notification) -> str:
    if is_wanted_still(message):
        return ""
    return "They do not want it by this way: call them if it matters."


def _its_address_takes_none(message: Notification) -> str:
    is_mail = message.channel == Channel.EMAIL
    if not is_mail or find_suppression(message.recipient.email) is None:
        return ""
    return (
        "Mail to this address bounces or is refused: have that lifted first"
        " (Suppressions), or call them."
    )


def _no_device_is_left(message: Notification) -> str:
    if message.channel == Channel.EMAIL or devices_left(message):
        return ""
    return (
        "Each of their devices was told or is about to be, or they have none: send the"
        " mail again, or call them."
    )


_REASONS: tuple[Callable[[Notification], str], ...] = (
    _it_is_open,
    _it_was_withdrawn,
    _it_is_too_late,
    _it_was_repeated,
    _it_cannot_be_written,
    _something_newer_was_said,
    _they_do_not_want_it,
    _its_address_takes_none,
    _no_device_is_left,
)
