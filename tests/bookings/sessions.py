"""Sessions with a coach, which have begun, and feedback on them."""

from datetime import date, timedelta
from typing import Any

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from bookings.models import (
    Booking,
    BookingHold,
    Drill,
    SessionFeedback,
    Skill,
    SlotClaim,
    TokenBudget,
)
from bookings.services import feedback
from bookings.states import FallbackReason
from recovery.models import AuditEntry
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from tests.factories import make_booking, make_customer, make_resource

HOUR = timedelta(hours=1)
NOTES = "bh better, takes it early. serve toss drifts left.\nnext time: serve targets"


def make_session(
    *, coach: User | None = None, ago: timedelta = 2 * HOUR, **over: Any
) -> Booking:
    """An hour with a coach that began so long ago; nobody was checked in."""
    coach = coach or make_customer("Jo Jensen")
    venue = {"venue": over.pop("venue")} if "venue" in over else {}
    resource = over.pop("resource", None) or make_resource(
        kind="COACH", coach=coach, **venue
    )
    booking = make_booking(resource=resource, **over)
    begin(booking, ago=ago)
    return Booking.objects.select_related("resource__coach").get(pk=booking.pk)


def begin(booking: Booking, *, ago: timedelta) -> None:
    """Move it, and its hold, so that it began so long ago."""
    start = read_clock() - ago
    times = {"start_time": start, "end_time": start + HOUR}
    during = DateTimeTZRange(*times.values())
    SlotClaim.objects.filter(hold=booking.hold_id).update(during=during)
    BookingHold.objects.filter(pk=booking.hold_id).update(**times)
    Booking.objects.filter(pk=booking.pk).update(**times)


def make_feedback(
    booking: Booking | None = None, *, notes: str = NOTES, **over: Any
) -> SessionFeedback:
    """Notes, as their coach wrote them."""
    booking = booking or make_session(**over)
    coach_id = booking.resource.coach_id
    assert coach_id is not None
    made, _ = feedback.write_feedback(
        booking_id=booking.pk, coach_id=coach_id, notes=notes
    )
    return made


def make_skill(venue: Venue, name: str = "Backhand", **over: Any) -> Skill:
    """What is taught at a venue."""
    return Skill.objects.create(venue=venue, name=name, **over)


def make_drill(venue: Venue, name: str = "Serve targets", **over: Any) -> Drill:
    """An exercise of a venue."""
    fields = {"description": "Two baskets."}
    return Drill.objects.create(venue=venue, name=name, **{**fields, **over})


def make_feedback_rows(venue: Venue, **over: Any) -> SessionFeedback:
    """A row of each kind that feedback has to do with; the customer can read it."""
    skill, drill = make_skill(venue), make_drill(venue)
    TokenBudget.objects.create(day=date(2030, 1, 1), taken=1200)
    made = make_feedback(venue=venue, **over)
    return feedback.accept_feedback(
        booking_id=made.booking_id,
        coach_id=made.coach_id,
        version=made.version,
        text="Well done!",
        skills=[skill.pk],
        drills=[drill.pk],
    )


def give_up(row: SessionFeedback, to: str = "DEGRADED") -> None:
    """As if all attempts were over; the audit says so, too."""
    AuditEntry.objects.create(
        actor_kind="system",
        actor_id="test",
        action="sessionfeedback.given_up",
        subject_type=SessionFeedback.subject(),
        subject_id=str(row.pk),
        from_state="PENDING",
        to_state=to,
    )
    SessionFeedback.objects.filter(pk=row.pk).update(
        status=to, fallback_reason=FallbackReason.TIMEOUT, next_run_at=None
    )
