"""Closures: they take what is free, and what is sold inside stands in a case."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from bookings import tasks
from bookings.errors import ResourceClosed
from bookings.models import Booking, BookingHold, DateException, SlotClaim
from bookings.services import bookings, closures, paying
from bookings.services.cancelling import cancel_booking
from recovery.models import Case
from slotbase.lib.clock import read_clock
from tests.bookings import till
from tests.bookings.closing import (
    case_of,
    change,
    close,
    closed_minutes,
    day_of,
    is_closed,
    move,
    take_back,
)
from tests.bookings.routes import client_of
from tests.conftest import Sandbox
from tests.factories import (
    HOUR,
    expire,
    in_two_days,
    make_booking,
    make_hold,
    make_priced_resource,
    make_resource,
    make_venue,
)
from tests.payments.money import begin_payment, make_priced_hold, pay

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 24 * 60


def confirm(hold: BookingHold) -> Booking:
    booking, _ = bookings.confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    return booking


def end(booking: Booking) -> None:
    """Its time is over, with all that occupied it."""
    ago = read_clock() - timedelta(hours=3)
    times = {"start_time": ago - HOUR, "end_time": ago}
    Booking.objects.filter(pk=booking.pk).update(**times)
    BookingHold.objects.filter(pk=booking.hold_id).update(**times)


# --- What it takes --------------------------------------------------------------


def test_a_closure_takes_each_unit_of_the_whole_local_day() -> None:
    court = make_resource(units=3)

    close(court)

    assert closed_minutes(court) == 3 * DAY
    claim = SlotClaim.objects.first()
    assert claim is not None
    assert claim.during.lower.astimezone(court.venue.zone).time() == time()


def test_a_part_of_a_day_is_closed_by_the_clocks_of_the_venue() -> None:
    court = make_resource()

    close(court, from_=time(9), until=time(11, 30))

    (claim,) = SlotClaim.objects.all()
    local = [
        each.astimezone(court.venue.zone).time()
        for each in (claim.during.lower, claim.during.upper)
    ]
    assert local == [time(9), time(11, 30)]


def test_a_venue_is_closed_with_all_its_resources_and_no_others() -> None:
    venue = make_venue()
    one, two, elsewhere = (
        make_resource(venue=venue, units=2),
        make_resource(venue=venue),
        make_resource(),
    )

    close(venue)

    minutes = [closed_minutes(each) for each in (one, two, elsewhere)]
    assert minutes == [2 * DAY, DAY, 0]


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2027, 3, 28), 23), (date(2027, 10, 31), 25)]
)
def test_a_day_on_which_clocks_change_is_closed_from_midnight_to_midnight(
    day: date, hours: int
) -> None:
    court = make_resource()

    close(court, date=day)

    assert closed_minutes(court) == hours * 60


def test_what_is_sold_and_what_is_held_keeps_its_time() -> None:
    court = make_resource(units=2, buffer_after_minutes=30)
    booking = make_booking(resource=court, start=in_two_days())
    hold = make_hold(resource=court, start=in_two_days(14))

    close(court)

    assert closed_minutes(court) == 2 * DAY - 2 * 90
    assert {claim.hold_id for claim in SlotClaim.objects.filter(closure=None)} == {
        booking.hold_id,
        hold.pk,
    }


def test_a_hold_that_has_run_out_keeps_nothing() -> None:
    court = make_resource()
    expire(hold := make_hold(resource=court))

    close(court)

    hold.refresh_from_db()
    assert (hold.status, closed_minutes(court)) == ("EXPIRED", DAY)


def test_closures_that_overlap_share_the_time_and_one_left_has_all_of_its_own() -> None:
    court = make_resource()
    whole, _ = close(court)
    close(court.venue, from_=time(8), until=time(12))

    assert closed_minutes(court) == DAY
    take_back(whole)

    assert closed_minutes(court) == 4 * 60


def test_nobody_gets_a_slot_in_a_closure() -> None:
    court = make_resource()
    close(court)

    with pytest.raises(ResourceClosed):
        make_hold(resource=court)


def test_a_closure_that_is_over_takes_nothing() -> None:
    court = make_resource()

    close(court, date=date(2020, 1, 1))

    assert closed_minutes(court) == 0


def test_special_hours_close_nothing() -> None:
    court = make_resource()

    close(court, kind="HOURS", from_=time(8), until=time(12))

    assert closed_minutes(court) == 0


# --- What stands in a case ------------------------------------------------------


@pytest.mark.case("closure_conflict", "opens")
def test_each_booking_inside_has_a_case_for_the_front_desk_and_no_other() -> None:
    court = make_resource(units=2)
    inside, again = (make_booking(resource=court) for _ in range(2))
    make_booking(resource=court, start=in_two_days() + timedelta(days=1))
    make_booking()

    _, touched = close(court)

    assert [each.pk for each in touched.bookings] == [inside.pk, again.pk]
    kinds = Case.objects.values_list("kind", "audience", "severity", "subject_id")
    assert sorted(kinds) == sorted(
        ("closure_conflict", "front_desk", "high", str(each.pk))
        for each in (inside, again)
    )
    assert case_of(inside).reference == inside.reference
    assert case_of(inside).venue == court.venue


def test_it_says_which_holds_are_inside() -> None:
    court = make_resource()
    hold = make_hold(resource=court)
    over = make_hold(resource=court, start=in_two_days(14))
    expire(over)

    _, touched = close(court)

    assert [each.pk for each in touched.holds] == [hold.pk]
    assert not Case.objects.exists()


def test_a_booking_that_only_reaches_into_a_closure_with_its_buffer_has_no_case() -> (
    None
):
    court = make_resource(buffer_after_minutes=60)
    start = datetime.combine(day_of(in_two_days()), time(10), court.venue.zone)
    make_booking(resource=court, start=start)

    close(court, from_=time(11), until=time(13))

    assert not Case.objects.exists()
    assert closed_minutes(court) == 60


@pytest.mark.case("closure_conflict", "closes")
def test_a_cancelled_booking_closes_its_case_and_the_closure_takes_its_time() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    close(court)

    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    assert is_closed(booking)
    assert closed_minutes(court) == DAY


@pytest.mark.case("closure_conflict", "closes")
def test_a_booking_that_is_moved_out_closes_its_case_and_leaves_its_time() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    close(court)

    move(booking, in_two_days() + timedelta(days=1))

    assert is_closed(booking)
    assert closed_minutes(court) == DAY


@pytest.mark.case("closure_conflict", "closes")
def test_a_closure_that_is_taken_back_closes_its_cases() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    day, _ = close(court)

    take_back(day)

    assert is_closed(booking)
    assert not SlotClaim.objects.filter(closure__isnull=False).exists()
    assert not DateException.objects.exists()


def test_a_booking_in_two_closures_keeps_its_case_until_both_are_gone() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    one, two = close(court)[0], close(court.venue)[0]

    take_back(one)
    assert not is_closed(booking)
    take_back(two)

    assert is_closed(booking)


def test_a_closure_that_is_moved_frees_one_time_and_takes_another() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    other = make_booking(resource=court, start=in_two_days() + timedelta(days=3))
    day, _ = close(court)

    touched = change(day, date=day_of(other.start_time))

    assert [each.pk for each in touched.bookings] == [other.pk]
    assert (is_closed(booking), is_closed(other)) == (True, False)
    assert closed_minutes(court) == DAY - 60
    make_hold(resource=court, start=in_two_days(15))


def test_a_closure_that_becomes_special_hours_frees_all() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    day, _ = close(court)

    change(day, kind="HOURS", opens=time(8), closes=time(20))

    assert is_closed(booking)
    assert closed_minutes(court) == 0


def test_another_note_changes_nothing_and_asks_nobody_again() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    day, _ = close(court)

    touched = change(day, note="Painters")

    assert not touched.bookings
    assert case_of(booking).occurrences == 1


@pytest.mark.case("closure_conflict", "closes")
def test_a_booking_that_is_over_needs_nobody() -> None:
    court = make_resource()
    booking = make_booking(resource=court)
    close(court)

    end(booking)
    tasks.complete_bookings()

    assert is_closed(booking)


# --- Who holds a slot in it -----------------------------------------------------


def test_a_hold_inside_is_told_when_it_is_confirmed() -> None:
    court = make_resource()
    hold = make_hold(resource=court)
    close(court)

    with pytest.raises(ResourceClosed):
        confirm(hold)

    hold.refresh_from_db()
    assert hold.status == "ACTIVE"


@pytest.mark.parametrize("mode", ["ONLINE", "AT_VENUE"])
def test_nobody_pays_for_a_hold_inside(mode: str) -> None:
    hold = make_hold(resource=make_priced_resource(mode))
    close(hold.resource)

    with pytest.raises(ResourceClosed):
        confirm(hold)
    if mode == "ONLINE":
        with pytest.raises(ResourceClosed):
            paying.start_payment(hold_id=hold.pk, customer_id=hold.customer_id)


@pytest.mark.case("closure_conflict", "opens")
def test_who_has_paid_gets_a_booking_which_staff_see_to(sandbox: Sandbox) -> None:
    hold = make_priced_hold()
    payment = begin_payment(hold)
    close(hold.resource)
    pay(sandbox, payment.pk)

    booking, _ = paying.confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    assert case_of(booking).status == "OPEN"


def test_the_time_of_a_hold_that_ran_out_is_taken_by_the_next_sweep() -> None:
    court = make_resource()
    hold = make_hold(resource=court)
    close(court)
    expire(hold)
    tasks.expire_holds()
    assert closed_minutes(court) == DAY - 60

    tasks.tidy_closures()
    tasks.tidy_closures()

    assert closed_minutes(court) == DAY


def test_a_closure_that_is_long_over_occupies_nothing() -> None:
    court = make_resource()
    day, _ = close(court)
    long_ago = (datetime.now(UTC) - timedelta(days=30)).date()
    DateException.objects.filter(pk=day.pk).update(date=long_ago)

    assert closures.drop_past_claims() == 1

    assert not SlotClaim.objects.exists()


def test_an_app_is_told_that_it_is_closed_when_it_pays_or_confirms() -> None:
    hold = make_priced_hold()
    api = client_of(hold.customer)
    close(hold.resource)

    for answer in (till.pay_for(api, hold), till.confirm(api, hold)):
        assert (answer.status_code, answer.json()["code"]) == (409, "resource_closed")
