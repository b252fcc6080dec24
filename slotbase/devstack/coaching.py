"""What coaches of the demo teach, and a session that is over, with notes on it."""

from datetime import timedelta
from typing import Any

from django.db import transaction

from bookings.models import Booking, BookingHold, Drill, Resource, Skill
from bookings.services import feedback
from bookings.services.bookings import make_reference
from bookings.states import BookingStatus, HoldStatus
from recovery import audit
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock

SKILLS = (
    *("Forehand", "Backhand", "Serve", "Return", "Volley", "Footwork"),
    *("Topspin", "Slice", "Match tactics"),
)
DRILLS = {
    "Shadow swings": "20 slow swings without a ball, with the racket high at the end.",
    "Cross-court rally": "Rally cross-court: 10 balls in a row behind the T line.",
    "Serve targets": "Two baskets of serves at cones in the corners of the box.",
    "Split-step ladder": "Through the ladder, with a split step at each call.",
    "Volley to volley": "Both at the net, 15 volleys without a bounce.",
    "Approach and finish": "Approach down the line, then finish at the net.",
}
NOTES = (
    "bh much better today, takes it early. serve still too low, toss drifts left.\n"
    "good legs. next time: serve targets 2 baskets, cross-court bh. cleo was a bit"
    " tired at the end"
)


def seed_catalogue(venue: Venue) -> None:
    """Skills and drills of a venue."""
    for name in SKILLS:
        Skill.objects.get_or_create(venue=venue, name=name)
    for name, description in DRILLS.items():
        Drill.objects.get_or_create(
            venue=venue, name=name, defaults={"description": description}
        )


def seed_session(resource: Resource, customer: User) -> dict[str, Any]:
    """An hour of yesterday, which nobody is told of; it is there once.

    Written as rows: no service sells what is over.
    """
    there = Booking.objects.filter(resource=resource, customer=customer).first()
    booking = there or _write_session(resource, customer)
    return {
        "booking": str(booking.pk),
        "reference": booking.reference,
        "resource": resource.pk,
        "customer": customer.clerk_id,
    }


@transaction.atomic
def _write_session(resource: Resource, customer: User) -> Booking:
    midnight = read_clock().replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - timedelta(hours=12)
    sold: dict[str, Any] = {
        "resource": resource,
        "customer": customer,
        "start_time": start,
        "end_time": start + timedelta(hours=1),
        "units": [1],
        "currency": resource.venue.currency,
        "created_at": start - timedelta(days=1),
    }
    hold = BookingHold.objects.create(
        status=HoldStatus.CONFIRMED, expires_at=start, **sold
    )
    booking = Booking.objects.create(
        hold=hold, reference=make_reference(), status=BookingStatus.COMPLETED, **sold
    )
    _record("hold.created", hold, "", HoldStatus.ACTIVE)
    _record("hold.confirmed", hold, HoldStatus.ACTIVE, HoldStatus.CONFIRMED)
    _record("booking.confirmed", booking, "", BookingStatus.CONFIRMED)
    _record(
        "booking.completed", booking, BookingStatus.CONFIRMED, BookingStatus.COMPLETED
    )
    return booking


def _record(action: str, row: Any, *move: str) -> None:
    audit.record(
        actor=audit.Actor.system("seed_demo"),
        action=action,
        subject=action.partition(".")[0],
        ids=[row.pk],
        move=(move[0], move[1]),
    )


def write_notes(booking_id: Any, coach: User) -> None:
    """What the coach wrote after it; again changes nothing."""
    feedback.write_feedback(booking_id=booking_id, coach_id=coach.pk, notes=NOTES)
