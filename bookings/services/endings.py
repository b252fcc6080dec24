"""Bookings whose time is over become history, and their claims go."""

from bookings.locks import claim_ended_bookings
from bookings.models import Booking, SlotClaim
from bookings.services import conflicts, moved_clocks
from bookings.states import BOOKING_MOVES, BookingStatus
from recovery import audit, outbox
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.states import require_move


@retry_on_conflict
def complete_ended_bookings(*, limit: int) -> int:
    """COMPLETED, or NO_SHOW where check-in was required; returns how many."""
    ended = claim_ended_bookings(limit)
    for booking in ended:
        _end_locked_booking(booking)
    SlotClaim.objects.filter(hold__in=[b.hold_id for b in ended]).delete()
    return len(ended)


@transaction_required
def _end_locked_booking(booking: Booking) -> None:
    missed = (
        booking.status == BookingStatus.CONFIRMED and booking.resource.requires_check_in
    )
    to = BookingStatus.NO_SHOW if missed else BookingStatus.COMPLETED
    require_move(BOOKING_MOVES, booking.status, to)
    action = f"booking.{to.lower()}"
    Booking.objects.filter(pk=booking.pk).update(status=to, version=booking.version + 1)
    audit.record(
        actor=audit.Actor.system("sweep"),
        action=action,
        subject="booking",
        ids=[booking.pk],
        move=(booking.status, to),
    )
    outbox.publish(action, subject="booking", facts={booking.pk: booking.facts()})
    conflicts.close_conflict(booking, "It is over.")
    moved_clocks.close_moved(booking, "It is over.")
