"""Cancelling a booking: decided in one transaction, and from there on only forward.

The slot is free, or offered to whoever waits for it, and the refunds are promised when
that transaction commits; a workflow does the rest. A refund that does not succeed has
its own retries and its own case: it keeps no booking from being cancelled.
"""

from typing import Any
from uuid import UUID

from bookings.errors import CancellationClosed, NotCancellable
from bookings.locks import lock_booking_with_hold, lock_line_behind
from bookings.models import Booking, SlotClaim, WaitlistEntry
from bookings.queries import get_booking, quote_cancellation
from bookings.services import conflicts, messages, moved_clocks
from bookings.services.closures import take_freed_time
from bookings.services.line import pass_on
from bookings.states import BOOKING_MOVES, BookingStatus
from payments.locks import lock_payable
from payments.models import Refund
from payments.services.four_eyes import Second, by_two, require_two
from payments.services.payables import waive
from payments.services.refunds import request_excess
from payments.states import RefundReason
from recovery import audit, idempotency, outbox, workflows
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.states import require_move

CANCELLATION = "cancellation"
MARK, REFUND, COMPLETE = "mark-cancelling", "process-refund", "complete-cancellation"
TELL_WAITLIST, TELL_CUSTOMER = "notify-waitlist", "notify-customer"


@retry_on_conflict
def cancel_booking(
    *,
    booking_id: UUID,
    customer_id: UUID,
    reason: str = "",
    once: idempotency.Once | None = None,
) -> Booking:
    """Cancel a booking and promise back what was paid for it. Again: no change.

    CANCELLED at once where nothing goes back, else CANCELLING for a moment.

    Raises:
        BookingNotFound: it is not a booking of this customer.
        NotCancellable: the customer is there already, or it is over.
        CancellationClosed: it has begun.
    """
    idempotency.begin(once, status=200, object_id=booking_id)
    booking = lock_booking_with_hold(booking_id, customer_id=customer_id)
    if booking.status == BookingStatus.CANCELLING:
        idempotency.correct(once, status=202, object_id=booking_id)
        return booking
    if booking.status == BookingStatus.CANCELLED:
        return booking
    require_cancellable(booking)
    if _cancel(booking, audit.Actor.customer(customer_id), reason):
        idempotency.correct(once, status=202, object_id=booking_id)
    return get_booking(booking_id, customer_id=customer_id)


@by_two("cancel_in_full", "Cancel with full refund")
def cancel_in_full(
    *, booking_id: UUID, staff_id: UUID, reason: str, second: Second | None = None
) -> None:
    """Staff cancel a booking that cannot take place; all of its money goes back.

    Whatever its terms say, and even when it has begun. The customer is told by mail.

    Raises:
        BookingNotFound: there is none.
        NotCancellable: the customer is there already, or it is cancelled, or over.
        ApprovalRequired: its terms would keep something, or it has begun, and all of
            it is more than one person may give back.
    """
    booking = lock_booking_with_hold(booking_id)
    if BookingStatus.CANCELLING not in BOOKING_MOVES[booking.status]:
        raise NotCancellable(f"The booking is {booking.status}.")
    if booking.end_time <= read_clock():
        raise NotCancellable("The booking is over.")
    actor = audit.Actor.staff(staff_id)
    _cancel(booking, actor, reason, is_free=True, second=second)


def require_cancellable(booking: Booking) -> None:
    """Refuse what its customer cannot cancel any more.

    Raises:
        NotCancellable: the customer is there already, or it is over.
        CancellationClosed: it has begun.
    """
    if BookingStatus.CANCELLING not in BOOKING_MOVES[booking.status]:
        raise NotCancellable(f"The booking is {booking.status}.")
    if booking.start_time <= read_clock():
        raise CancellationClosed("The booking has begun.")


@transaction_required
def _cancel(
    booking: Booking,
    actor: audit.Actor,
    reason: str,
    *,
    is_free: bool = False,
    second: Second | None = None,
) -> bool:
    """Decide it, and finish it where nothing goes back; whether something does."""
    line = lock_line_behind([booking.hold_id])
    refunds = _promise_back(booking, actor, second, is_free=is_free)
    cancelled = {"cancelled_by": UUID(actor.id), "cancel_reason": reason}
    _move(booking, BookingStatus.CANCELLING, actor, **cancelled)
    _free_time(booking, line)
    messages.withdraw_what_was_said(booking)
    if refunds:
        _start_workflow(booking)
    else:
        complete_cancellation(booking, actor=actor)
        messages.tell_cancelled(booking)
    return bool(refunds)


@transaction_required
def _promise_back(
    booking: Booking, actor: audit.Actor, second: Second | None, *, is_free: bool
) -> list[Refund]:
    """The refunds of what is not kept; staff may say that nothing is."""
    if booking.payable_id is None:
        return []
    payable = lock_payable(booking.payable_id)
    fee_minor = quote_cancellation(booking).fee_minor
    waive(payable, fee_minor=0 if is_free else fee_minor)
    refunds = request_excess(payable, reason=RefundReason.CANCELLED, actor=actor)
    has_begun = booking.start_time <= read_clock()
    if is_free and (fee_minor or has_begun):
        # Its terms would keep something, or its customer could not cancel any more: it
        # is staff who decide, not what was agreed.
        about = ("booking", booking.pk)
        staff_id = UUID(actor.id)
        require_two(payable, refunds, staff_id=staff_id, second=second, about=about)
    return refunds


@transaction_required
def _free_time(booking: Booking, line: list[WaitlistEntry]) -> None:
    """Its time is a closure's or goes to who waits; nobody need see to it any more."""
    SlotClaim.objects.filter(hold=booking.hold_id).delete()
    take_freed_time(booking.resource, booking.hold.occupied)
    conflicts.close_conflict(booking, "The booking is cancelled.")
    moved_clocks.close_moved(booking, "The booking is cancelled.")
    pass_on(line)


@transaction_required
def _start_workflow(booking: Booking) -> None:
    workflows.start(
        CANCELLATION,
        subject_type="booking",
        subject_id=str(booking.pk),
        done=(MARK,),
        venue_id=booking.resource.venue_id,
        customer_id=booking.customer_id,
        reference=booking.reference,
        title=f"Cancellation of {booking.reference}",
    )


@transaction_required
def complete_cancellation(booking: Booking, *, actor: audit.Actor) -> None:
    """CANCELLING -> CANCELLED for a locked booking; again: no change."""
    if booking.status == BookingStatus.CANCELLED:
        return
    _move(booking, BookingStatus.CANCELLED, actor, cancelled_at=Now())


@transaction_required
def _move(
    booking: Booking, to: BookingStatus, actor: audit.Actor, **values: Any
) -> None:
    require_move(BOOKING_MOVES, booking.status, to)
    action = f"booking.{to.lower()}"
    Booking.objects.filter(pk=booking.pk).update(
        status=to, version=booking.version + 1, **values
    )
    audit.record(
        actor=actor,
        action=action,
        subject="booking",
        ids=[booking.pk],
        move=(booking.status, to),
    )
    outbox.publish(action, subject="booking", facts={booking.pk: booking.facts()})
    booking.refresh_from_db(fields=["status", "version", *values])
