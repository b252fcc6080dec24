"""Staff move bookings: at the same price, to a time that is free, or not at all."""

from datetime import datetime, time, timedelta
from typing import Any

import pytest

from bookings.errors import (
    BookingHasChanged,
    BookingNotFound,
    NonexistentTime,
    NotMovable,
    ResourceClosed,
    SlotUnavailable,
)
from bookings.models import Booking, BookingHold, SlotClaim, WaitlistEntry
from bookings.services import moving
from bookings.services.bookings import confirm_hold
from bookings.services.cancelling import cancel_booking
from notifications.models import Notification
from payments.models import Payable
from recovery import invariants
from recovery.models import AuditEntry, OutboxEvent
from slotbase.lib.errors import ValidationFailed
from slotbase.lib.ids import uuid7
from tests.bookings.closing import close, day_of, move
from tests.bookings.messages import deliver, message, told
from tests.conftest import Sandbox
from tests.factories import (
    HOUR,
    expire,
    in_two_days,
    make_booking,
    make_entry,
    make_hold,
    make_priced_resource,
    make_resource,
    make_staff,
)

pytestmark = pytest.mark.django_db(transaction=True)


def snapshot(booking: Booking) -> tuple[Any, ...]:
    """All that a move changes."""
    fields = ("resource", "start_time", "end_time", "units")
    hold = BookingHold.objects.values_list(*fields).get(pk=booking.hold_id)
    mine = Booking.objects.values_list(*fields, "version").get(pk=booking.pk)
    claims = SlotClaim.objects.filter(hold=booking.hold_id).order_by("unit")
    return hold, mine, list(claims.values_list("unit", "during"))


def local(booking: Booking, moment: datetime) -> str:
    """By the clocks of its venue."""
    return f"{moment.astimezone(booking.resource.venue.zone):%Y-%m-%dT%H:%M}"


def test_hold_booking_and_claims_have_one_new_time() -> None:
    booking = make_booking()

    move(booking, later := in_two_days(16))

    (_, start, end, _), mine, ((_, during),) = snapshot(booking)
    assert (start, end) == (later, later + HOUR)
    assert mine[1:3] == (later, later + HOUR)
    assert (during.lower, during.upper) == (later, later + HOUR)
    make_hold(resource=booking.resource)  # the old time is free


def test_a_move_is_on_record_as_an_event_and_a_mail(sandbox: Sandbox) -> None:
    bob, booking = make_staff(), make_booking()
    deliver()

    move(booking, in_two_days(16), staff_id=bob.pk)

    entry = AuditEntry.objects.get(action="booking.moved")
    assert (entry.subject_id, entry.actor_id) == (str(booking.pk), str(bob.pk))
    event = OutboxEvent.objects.get(type="booking.moved")
    assert event.data["start_time"] == in_two_days(16).isoformat()
    assert event.data["before"]["start_time"] == in_two_days().isoformat()
    mails = Notification.objects.order_by("id").values_list("template", "status")
    assert [*mails] == [
        ("booking_confirmed", "SENT"),
        ("booking_reminder", "CANCELLED"),
        ("booking_moved", "PENDING"),
        ("booking_reminder", "PENDING"),
    ]


@pytest.mark.parametrize("hours", [(16,), (14, 16)])
def test_the_mail_says_the_new_time_and_the_old_one_by_the_clocks_there(
    sandbox: Sandbox, hours: tuple[int, ...]
) -> None:
    """That at which it was to start in between went to nobody."""
    booking = make_booking()
    deliver()

    for hour in hours:
        move(booking, in_two_days(hour))

    context = message("booking_moved").context
    assert context["start_time"] == in_two_days(16).isoformat()
    assert context["was_local"] == local(booking, in_two_days())


@pytest.mark.parametrize("hours", [(16,), (14, 16)])
def test_who_never_heard_that_it_is_booked_hears_that_and_when_it_was_to_start(
    hours: tuple[int, ...],
) -> None:
    booking = make_booking()

    for hour in hours:
        move(booking, in_two_days(hour))

    assert told(template="booking_moved") == []
    context = message("booking_confirmed").context
    assert context["start_time"] == in_two_days(16).isoformat()
    assert (context["was_local"], context["sequence"]) == (
        local(booking, in_two_days()),
        1 + len(hours),
    )


def test_who_heard_of_a_move_is_told_of_the_next_from_there(sandbox: Sandbox) -> None:
    booking = make_booking()
    for hour in (14, 16):
        deliver()
        move(booking, in_two_days(hour))

    context = message("booking_moved", status="PENDING").context
    assert context["was_local"] == local(booking, in_two_days(14))


def test_a_time_without_an_offset_is_that_of_the_venue() -> None:
    booking = make_booking()
    local = datetime.combine(day_of(in_two_days()), time(20))

    moved = move(booking, local)

    assert moved.start_time == local.replace(tzinfo=booking.resource.venue.zone)
    assert moved.local_start == f"{local:%Y-%m-%dT%H:%M}"


def test_it_may_move_by_half_its_length_since_its_own_time_is_free() -> None:
    booking = make_booking()

    moved = move(booking, in_two_days(12, 30))

    assert moved.start_time == in_two_days(12, 30)


def test_all_units_move_to_another_resource_of_the_venue_with_its_buffers() -> None:
    court = make_resource(units=3)
    other = make_resource(venue=court.venue, units=2, buffer_after_minutes=30)
    booking = make_booking(resource=court, units=2)

    moved = move(booking, in_two_days(), resource_id=other.pk)

    assert (moved.resource, moved.units) == (other, [1, 2])
    claims = SlotClaim.objects.filter(hold=booking.hold_id)
    lengths = {c.during.upper - c.during.lower for c in claims}
    assert (claims.count(), lengths) == (2, {timedelta(minutes=90)})


def test_the_price_stays_and_what_is_owed_is_for_the_new_time() -> None:
    court = make_priced_resource("AT_VENUE")
    dear = make_priced_resource("AT_VENUE", venue=court.venue, price_minor=9900)
    booking = make_booking(resource=court)

    moved = move(booking, in_two_days(), resource_id=dear.pk)

    payable = Payable.objects.get()
    assert (moved.price_minor, payable.owed_minor) == (2400, 2400)
    assert payable.title.startswith(dear.name)


def test_staff_need_not_keep_the_notice_of_customers() -> None:
    booking = make_booking()
    booking.resource.notice_minutes = 7 * 24 * 60
    booking.resource.save()

    assert move(booking, in_two_days(16)).start_time == in_two_days(16)


def test_an_expired_hold_in_the_way_is_retired() -> None:
    booking = make_booking()
    hold = make_hold(resource=booking.resource, start=in_two_days(16))
    expire(hold)

    move(booking, in_two_days(16))

    hold.refresh_from_db()
    assert hold.status == "EXPIRED"


def test_what_somebody_else_has_is_refused_and_nothing_is_lost() -> None:
    booking = make_booking()
    make_hold(resource=booking.resource, start=in_two_days(16))
    before = snapshot(booking)

    with pytest.raises(SlotUnavailable):
        move(booking, in_two_days(16))

    assert snapshot(booking) == before


def test_of_several_units_all_move_or_none() -> None:
    court = make_resource(units=2)
    booking = make_booking(resource=court, units=2)
    make_hold(resource=court, start=in_two_days(16))
    before = snapshot(booking)

    with pytest.raises(SlotUnavailable):
        move(booking, in_two_days(16))

    assert snapshot(booking) == before


@pytest.mark.parametrize(
    "shift",
    [
        timedelta(days=-3),  # past
        timedelta(days=99),  # too far
        timedelta(minutes=10),  # off the grid
        timedelta(),  # where it is
    ],
    ids=str,
)
def test_a_time_that_cannot_be_is_refused_at_its_field(shift: timedelta) -> None:
    booking = make_booking()

    with pytest.raises(ValidationFailed) as refusal:
        move(booking, in_two_days() + shift)

    assert "start_time" in refusal.value.extra["errors"]


def test_a_time_that_the_clocks_skip_is_refused() -> None:
    booking = make_booking()

    with pytest.raises(NonexistentTime):
        move(booking, datetime.fromisoformat("2027-03-28T02:30"))


def test_it_is_not_moved_into_a_closure_nor_to_another_venue() -> None:
    booking, elsewhere = make_booking(), make_resource()
    close(booking.resource, date=day_of(in_two_days() + timedelta(days=2)))

    with pytest.raises(ResourceClosed):
        move(booking, in_two_days() + timedelta(days=2))
    with pytest.raises(ValidationFailed) as refusal:
        move(booking, in_two_days(16), resource_id=elsewhere.pk)

    assert "resource" in refusal.value.extra["errors"]


def test_what_is_not_to_come_is_not_moved() -> None:
    booking = make_booking()
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    with pytest.raises(NotMovable):
        move(booking, in_two_days(16))


def test_whoever_looked_before_another_change_looks_again() -> None:
    booking, bob = make_booking(), make_staff()
    move(booking, in_two_days(16))

    with pytest.raises(BookingHasChanged):
        moving.move_booking(
            booking_id=booking.pk,
            staff_id=bob.pk,
            version=booking.version,
            start_time=in_two_days(18),
        )


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(BookingNotFound):
        moving.move_booking(
            booking_id=uuid7(),
            staff_id=make_staff().pk,
            version=1,
            start_time=in_two_days(),
        )


# --- Those who wait -----------------------------------------------------------


def test_what_a_move_leaves_is_offered_once_to_whoever_waits() -> None:
    court, half_past = make_resource(units=5), in_two_days(11) + HOUR / 2
    make_booking(resource=court, start=in_two_days(11), units=2)
    booking = make_booking(resource=court, start=half_past, units=3)
    entry = make_entry(resource=court, start=half_past)

    # Its new time collides with what is waited for, too.
    move(booking, in_two_days(12))

    entry = WaitlistEntry.objects.get(pk=entry.pk)
    assert entry.status == "OFFERED"
    assert [each.pk for each in BookingHold.objects.filter(source="WAITLIST")] == [
        entry.hold_id
    ]


def test_a_booking_that_came_from_the_waitlist_can_be_moved() -> None:
    court = make_resource()
    first = make_booking(resource=court)
    entry = make_entry(resource=court)
    cancel_booking(booking_id=first.pk, customer_id=first.customer_id)
    entry = WaitlistEntry.objects.get(pk=entry.pk)
    booking, _ = confirm_hold(hold_id=entry.hold_id, customer_id=entry.customer_id)

    move(booking, in_two_days(16))

    assert invariants.find_violations(full=True) == []
