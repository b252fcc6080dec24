"""Bookings whose local time is another one than when they were sold.

The clocks of a venue were moved: its time zone was changed, or the rules of that zone
were. What was sold is an instant and stays one; staff say what it should be.
"""

from datetime import datetime
from uuid import UUID

from bookings.errors import BookingHasChanged
from bookings.hours import say_local
from bookings.locks import RUNNING, lock_booking_with_hold
from bookings.models import Booking
from bookings.services import conflicts, messages, reminders
from recovery import audit, cases
from recovery.states import CaseSeverity
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required

KIND = "time_zone_moved"
BATCH = 100


def fingerprint_of(booking: Booking) -> str:
    """Of the case about the local time of a booking."""
    return f"{KIND}:{booking.pk}"


def local_time_of(booking: Booking) -> str:
    """When it starts by the clocks of its venue as they are now."""
    return say_local(booking.start_time, booking.resource.venue.zone)


def sold_for(booking: Booking) -> datetime:
    """The local time at which it was sold to start."""
    return datetime.fromisoformat(booking.local_start)


def find_moved_bookings(*, venue_id: int | None = None) -> int:
    """Open a case for each coming booking whose local time has moved; how many.

    One whose local time is again what it was closes its case. In batches, each in a
    transaction of its own: it may be cut off and run again.
    """
    last, moved = UUID(int=0), 0
    while batch := _look_at_some(last, venue_id):
        last = batch[-1].pk
        moved += sum(local_time_of(each) != each.local_start for each in batch)
    return moved


@retry_on_conflict
def _look_at_some(after: UUID, venue_id: int | None) -> list[Booking]:
    coming = Booking.objects.filter(
        status__in=RUNNING, end_time__gt=Now(), pk__gt=after
    ).exclude(local_start="")
    if venue_id is not None:
        coming = coming.filter(resource__venue=venue_id)
    rows = coming.select_related("resource__venue").order_by("pk")
    batch = list(rows[:BATCH])
    for booking in batch:
        _look_at(booking)
    return batch


@transaction_required
def _look_at(booking: Booking) -> None:
    is_local = local_time_of(booking)
    if is_local == booking.local_start:
        close_moved(booking, "Its local time is what it was.")
    elif not cases.is_open(fingerprint_of(booking)):
        _open(booking, is_local)


@transaction_required
def _open(booking: Booking, is_local: str) -> None:
    cases.open_case(
        cases.Opening(
            kind=KIND,
            fingerprint=fingerprint_of(booking),
            title=f"Local time has moved: {booking.reference}",
            cause="The clocks of its venue were moved since it was sold.",
            subject_type="booking",
            subject_id=str(booking.pk),
            details={"sold for": booking.local_start, "is now at": is_local},
            venue_id=booking.resource.venue_id,
            customer_id=booking.customer_id,
            reference=booking.reference,
        )
    )


@retry_on_conflict
def keep_instant(
    *, booking_id: UUID, staff_id: UUID, version: int, tell: bool = False
) -> None:
    """Staff say that a booking stays at its instant; its customer may be told by mail.

    Raises:
        BookingNotFound: there is none.
        BookingHasChanged: somebody did something with it meanwhile.
    """
    booking = lock_booking_with_hold(booking_id)
    if booking.version != version:
        raise BookingHasChanged("Look at it again, then decide.")
    was_local, booking.local_start = booking.local_start, local_time_of(booking)
    booking.version += 1
    booking.save(update_fields=["local_start", "version"])
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="booking.kept_instant",
        subject="booking",
        ids=[booking.pk],
        reason=f"from {was_local} to {booking.local_start}",
    )
    if tell:
        messages.tell_moved(booking, was_local=was_local)
    else:
        reminders.renew_reminder(booking)  # by the clocks as they are now
    conflicts.report_conflict(booking)  # nobody is reminded of what is closed still
    close_moved(booking, "It stays at its instant.")


@transaction_required
def close_moved(booking: Booking, reason: str) -> None:
    """Its local time is as it was meant, or it is not to come any more."""
    cases.close_by_itself(fingerprint_of(booking), reason)


cases.register(
    cases.Kind(
        KIND,
        CaseSeverity.MEDIUM,
        "manager",
        "A booking is at another local time than it was sold for.",
        opened_when="the time zone of its venue was changed, or the rules of that zone",
        closes_itself_when="staff acknowledge it, or it is moved, cancelled or over",
        actions=("keep", "move", "tell"),
    )
)
