"""What staff do about a message that did not arrive."""

from uuid import UUID

from notifications.errors import UnknownTemplate
from notifications.locks import lock_message
from notifications.models import Notification
from notifications.services.messages import queue_email, withdraw
from notifications.services.undeliverable import close_undeliverable
from notifications.states import OPEN
from recovery import audit, cases
from recovery.states import CaseStatus
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState


def can_be_sent_again(message: Notification) -> bool:
    """Whether it is given up, and its customer can still want it."""
    is_over = message.not_after is not None and message.not_after <= read_clock()
    return message.status not in OPEN and not is_over


@retry_on_conflict
def resend(*, message_id: UUID, staff_id: UUID) -> None:
    """Send a message anew that was given up, to the address that is known now.

    It is another message, with attempts and, if need be, a case of its own. Of two
    people who want that at once one message comes.

    Raises:
        MessageNotFound: there is none.
        InvalidState: it is not given up, or nobody can want it any more.
    """
    message = lock_message(message_id)
    if not can_be_sent_again(message):
        raise InvalidState("It goes out by itself, or it is too late for it.")
    _queue_anew(message)
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="notification.resent",
        subject="notification",
        ids=[message.pk],
    )
    close_undeliverable(message, "It is sent again.")


@transaction_required
def _queue_anew(message: Notification) -> None:
    try:
        queue_email(
            recipient_id=message.recipient_id,
            template=message.template,
            context=message.context,
            dedupe_key=f"again:{message.pk}",
            subject_type=message.subject_type,
            subject_id=message.subject_id,
            venue_id=message.venue_id,
            reference=message.reference,
            not_after=message.not_after,
        )
    except UnknownTemplate as error:
        raise InvalidState("It cannot be written any more: call them.") from error


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
