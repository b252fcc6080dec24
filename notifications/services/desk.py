"""What staff do about a message that did not arrive."""

from uuid import UUID

from notifications.errors import UnknownTemplate
from notifications.locks import lock_message
from notifications.models import Notification
from notifications.services.messages import queue_message, withdraw
from notifications.services.undeliverable import close_undeliverable
from notifications.states import OPEN, Channel
from recovery import audit, cases
from recovery.states import CaseStatus
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState

#: How the keys of messages begin that a person sent again.
AGAIN = "again:"


def key_again(message_id: UUID) -> str:
    """The key of the message that repeats another one: there is one at most."""
    return f"{AGAIN}{message_id}"


def can_be_sent_again(message: Notification) -> bool:
    """Whether it went out or is given up, and was not repeated or forgotten since."""
    is_over = message.not_after is not None and message.not_after <= read_clock()
    if message.status in OPEN or is_over:
        return False
    again = Notification.objects.filter(dedupe_key__startswith=key_again(message.pk))
    return not again.exists()


@retry_on_conflict
def resend(*, message_id: UUID, staff_id: UUID, reason: str = "") -> None:
    """Send a message anew that is over, to where its customer can be reached now.

    It is another message, with attempts and, if need be, a case of its own; one that
    may have arrived may so arrive twice. Of two people who want that at once one
    message comes.

    Raises:
        MessageNotFound: there is none.
        InvalidState: it goes out by itself, it was repeated, or it is too late for it;
            or nothing can be sent there.
    """
    message = lock_message(message_id)
    if not can_be_sent_again(message):
        raise InvalidState(
            "It goes out by itself, was sent again already, or it is too late for it."
        )
    _queue_anew(message, reason)
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="notification.resent",
        subject="notification",
        ids=[message.pk],
    )
    close_undeliverable(message, "It is sent again.")


@transaction_required
def _queue_anew(message: Notification, reason: str) -> None:
    key = key_again(message.pk)
    try:
        queue_message(
            recipient_id=message.recipient_id,
            template=message.template,
            context=message.context,
            dedupe_key=key,
            subject_type=message.subject_type,
            subject_id=message.subject_id,
            venue_id=message.venue_id,
            reference=message.reference,
            not_after=message.not_after,
            channels=[Channel(message.channel)],
        )
    except UnknownTemplate as error:
        raise InvalidState("It cannot be written any more: call them.") from error
    made = Notification.objects.filter(dedupe_key__startswith=key)
    if not made.update(because=reason[:200]):
        raise InvalidState("They do not want it by this way, or have no device: call.")


@retry_on_conflict
def told_otherwise(
    *, message_id: UUID, case_id: UUID, staff_id: UUID, version: int, reason: str
) -> None:
    """Staff told the customer; the message is not wanted any more.

    Raises:
        MessageNotFound: there is none.
        ValidationFailed, CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: as
            `cases.close_case`.
    """
    message = lock_message(message_id)
    cases.close_case(
        case_id=case_id,
        staff_id=staff_id,
        version=version,
        to=CaseStatus.RESOLVED,
        reason=reason,
    )
    withdraw(dedupe_key=message.dedupe_key)
