"""What staff do about a message that did not arrive."""

from uuid import UUID

from notifications.locks import lock_by_keys, lock_message
from notifications.models import Notification
from notifications.services.messages import key_of_mail, queue_message, withdraw
from notifications.services.repeats import devices_left, key_again, why_not_again
from notifications.services.undeliverable import close_undeliverable
from notifications.states import Channel
from recovery import audit, cases
from recovery.states import CaseStatus
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState


@retry_on_conflict
def resend(*, message_id: UUID, staff_id: UUID, reason: str = "") -> None:
    """Send a message anew that is over, to where its customer can be reached now.

    It is another message, with attempts and, if need be, a case of its own; one that
    may have arrived may so arrive twice. A push goes to those devices alone that were
    not told. Of two people who want that at once one message comes.

    Raises:
        MessageNotFound: there is none.
        InvalidState: it goes out by itself, was repeated, is not true any more, or
            nothing can be sent there; it says which, and what to do instead.
    """
    message = _lock_with_copies(message_id)
    if why := why_not_again(message):
        raise InvalidState(why)
    _queue_anew(message, reason)
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="notification.resent",
        subject="notification",
        ids=[message.pk],
    )
    close_undeliverable(message, "It is sent again.")


@transaction_required
def _lock_with_copies(message_id: UUID) -> Notification:
    """Those on other devices as well: each button sees to all of them."""
    found = Notification.objects.filter(pk=message_id)
    for key in found.values_list("dedupe_key", flat=True):
        lock_by_keys(key_of_mail(key))
    return lock_message(message_id)


@transaction_required
def _queue_anew(message: Notification, reason: str) -> None:
    key = key_again(message)
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
        devices=devices_left(message),
    )
    made = Notification.objects.filter(dedupe_key__startswith=key)
    if not made.update(because=reason[:200]):
        # What they want, or their devices, changed at this moment.
        raise InvalidState("Nothing can be sent there now: call them.")


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
