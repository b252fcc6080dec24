"""Clocks of a venue are moved: bookings stay, closures follow, and staff decide."""

from datetime import datetime, timedelta
from io import StringIO
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db import transaction

from bookings import tasks
from bookings.errors import BookingHasChanged
from bookings.models import Booking, BookingHold, SlotClaim
from bookings.services import moved_clocks
from bookings.services.cancelling import cancel_booking
from notifications.models import Notification
from recovery.deliveries import deliver_events
from recovery.models import Case
from slotbase.accounts.models import Venue
from slotbase.accounts.services.venues import tell_moved_clocks
from slotbase.lib.clock import read_clock
from slotbase.lib.ids import uuid7
from tests.bookings.closing import case_of, close, is_closed, move
from tests.bookings.messages import deliver
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_booking, make_resource

pytestmark = pytest.mark.django_db(transaction=True)

KIND = moved_clocks.KIND


def move_clocks(venue: Venue, zone: str = "Europe/London") -> None:
    """As a manager does it on the page of the venue; then a worker hears of it."""
    with transaction.atomic():
        Venue.objects.filter(pk=venue.pk).update(time_zone=zone)
        venue.refresh_from_db()
        tell_moved_clocks(venue)
    deliver_events("bookings.clocks")


def moved_booking() -> Booking:
    """One that was sold in Berlin, at a venue that is in London now."""
    booking = make_booking()
    move_clocks(booking.resource.venue)
    return booking


@pytest.mark.case("time_zone_moved", "opens")
def test_each_coming_booking_has_a_case_for_the_manager_and_stays_where_it_is() -> None:
    booking, elsewhere = make_booking(), make_booking()

    move_clocks(booking.resource.venue)

    case = case_of(booking, KIND)
    assert (case.severity, case.audience) == ("medium", "manager")
    berlin = booking.local_start
    london = datetime.fromisoformat(berlin) - timedelta(hours=1)
    assert case.details == {
        "sold for": berlin,
        "is now at": f"{london:%Y-%m-%dT%H:%M}",
    }
    assert Booking.objects.get(pk=booking.pk).start_time == in_two_days()
    assert not Case.objects.filter(subject_id=str(elsewhere.pk)).exists()


def test_a_zone_with_the_same_clocks_asks_nobody() -> None:
    booking = make_booking()

    move_clocks(booking.resource.venue, "Europe/Paris")

    assert not Case.objects.exists()


@pytest.mark.case("time_zone_moved", "closes")
def test_a_zone_that_is_changed_back_closes_its_cases() -> None:
    booking = moved_booking()

    move_clocks(booking.resource.venue, "Europe/Berlin")

    assert is_closed(booking, KIND)


def test_a_second_look_counts_nothing_twice() -> None:
    booking = moved_booking()

    assert moved_clocks.find_moved_bookings() == 1

    assert case_of(booking, KIND).occurrences == 1


def test_many_bookings_are_looked_at_batch_by_batch() -> None:
    court = make_resource(units=5)
    made = [make_booking(resource=court) for _ in range(5)]

    with patch.object(moved_clocks, "BATCH", 2):
        move_clocks(court.venue)

    assert Case.objects.filter(kind=KIND).count() == len(made)


def test_new_rules_of_a_zone_are_found_by_the_command() -> None:
    booking = make_booking()
    Booking.objects.update(local_start="2026-01-01T00:00")
    said = StringIO()

    call_command("check_local_times", stdout=said)

    assert said.getvalue().startswith("1 bookings are at another local time")
    assert case_of(booking, KIND).status == "OPEN"


def test_a_booking_of_which_nobody_knows_what_it_was_sold_for_is_left_alone() -> None:
    make_booking()
    Booking.objects.update(local_start="")

    assert moved_clocks.find_moved_bookings() == 0


def test_staff_keep_the_instant_and_the_customer_hears_nothing() -> None:
    booking = moved_booking()

    moved_clocks.keep_instant(booking_id=booking.pk, staff_id=uuid7(), version=1)

    assert is_closed(booking, KIND)
    assert moved_clocks.find_moved_bookings() == 0
    assert not Notification.objects.filter(template="booking_moved").exists()


def test_staff_tell_the_customer_which_time_the_clocks_show(sandbox: Sandbox) -> None:
    booking = moved_booking()
    deliver()

    moved_clocks.keep_instant(
        booking_id=booking.pk, staff_id=uuid7(), version=1, tell=True
    )

    context = Notification.objects.get(template="booking_moved").context
    assert context["was_local"] == booking.local_start
    assert context["time_zone"] == "Europe/London"
    assert context["start_time"] == in_two_days().isoformat()


def test_whoever_looked_before_another_change_looks_again() -> None:
    booking = moved_booking()

    with pytest.raises(BookingHasChanged):
        moved_clocks.keep_instant(booking_id=booking.pk, staff_id=uuid7(), version=7)


@pytest.mark.parametrize("end", ["cancel", "move", "over"])
@pytest.mark.case("time_zone_moved", "closes")
def test_a_booking_that_is_not_to_come_there_any_more_closes_its_case(end: str) -> None:
    booking = moved_booking()

    if end == "cancel":
        cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    if end == "move":
        move(booking, in_two_days(16))
    if end == "over":
        ago = read_clock() - timedelta(hours=3)
        times = {"start_time": ago - timedelta(hours=1), "end_time": ago}
        Booking.objects.update(**times)
        BookingHold.objects.update(**times)
        tasks.complete_bookings()

    assert is_closed(booking, KIND)


def test_closures_follow_the_clocks_and_the_cases_follow_them() -> None:
    court = make_resource()
    late = datetime.combine(in_two_days().date(), datetime.min.time(), court.venue.zone)
    booking = make_booking(resource=court, start=late + timedelta(days=1))
    close(court)
    claim = SlotClaim.objects.get(closure__isnull=False)
    assert not Case.objects.filter(kind="closure_conflict").exists()

    move_clocks(court.venue)  # its midnight is an hour later: the booking is inside

    moved = SlotClaim.objects.filter(closure__isnull=False).order_by("during").first()
    assert moved is not None
    assert moved.during.lower - claim.during.lower == timedelta(hours=1)
    assert case_of(booking).status == "OPEN"
    move_clocks(court.venue, "Europe/Berlin")
    assert is_closed(booking)
