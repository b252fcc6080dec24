"""A closure against those who hold, confirm, cancel and move in it at that instant."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection

from bookings.errors import ResourceClosed, SlotUnavailable
from bookings.models import Booking, BookingHold, Resource, SlotClaim
from bookings.services import bookings, cancelling, closures, holds
from recovery import invariants
from recovery.models import Case
from tests.bookings.closing import close, closed_minutes, move, take_back
from tests.concurrency.race import at_once, errors_in
from tests.factories import (
    in_two_days,
    make_booking,
    make_customer,
    make_hold,
    make_resource,
    make_venue,
    wanted,
)
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 24 * 60


def someone_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        (waiting,) = cursor.fetchone()
    return bool(waiting)


def hold(resource: Resource) -> Callable[[], Any]:
    alice = make_customer()
    return partial(holds.create_hold, customer_id=alice.pk, wanted=wanted(resource))


def close_at_the_last_moment(resource: Resource) -> list[Any]:
    """Somebody reads that it is open; it is closed; then they take their slot."""
    has_read, is_closed = threading.Event(), threading.Event()
    win_slot = holds.win_slot

    def win_after_the_closure(*args: Any, **options: Any) -> bool:
        has_read.set()
        assert is_closed.wait(20)
        return win_slot(*args, **options)

    def close_then() -> Any:
        assert has_read.wait(20)
        try:
            return close(resource)
        finally:
            is_closed.set()

    with patch.object(holds, "win_slot", win_after_the_closure):
        return at_once([hold(resource), close_then])


@pytest.mark.parametrize("units", [1, 3])
def test_who_read_the_rules_before_the_closure_does_not_get_its_time(
    units: int,
) -> None:
    court = make_resource(units=units)

    late, _ = close_at_the_last_moment(court)

    assert isinstance(late, SlotUnavailable)
    assert closed_minutes(court) == units * DAY


def test_without_its_claims_they_would_get_it_and_nobody_would_know() -> None:
    court = make_resource()

    with patch.object(closures, "insert_claims_of_closure", lambda *_: True):
        late, (_, touched) = close_at_the_last_moment(court)

    assert isinstance(late, holds.Held)
    assert touched.holds == []


def close_while_one_is_confirmed(mine: BookingHold) -> list[Any]:
    """It is found to be open; before it is booked, somebody closes it."""
    is_checked, can_go_on = threading.Event(), threading.Event()
    sell = bookings.sell_locked_hold

    def sell_when_the_closure_is_at_it(*args: Any, **options: Any) -> Booking:
        is_checked.set()
        assert can_go_on.wait(20)
        return sell(*args, **options)

    def close_then() -> Any:
        assert is_checked.wait(20)
        try:
            return close(mine.resource)
        finally:
            can_go_on.set()

    def let_it_wait() -> None:
        assert is_checked.wait(20)
        eventually(lambda: someone_waits_for_a_lock() or can_go_on.is_set())
        can_go_on.set()

    confirm = partial(
        bookings.confirm_hold, hold_id=mine.pk, customer_id=mine.customer_id
    )
    with patch.object(bookings, "sell_locked_hold", sell_when_the_closure_is_at_it):
        return at_once([confirm, close_then, let_it_wait])


def test_who_is_just_being_booked_has_a_case() -> None:
    mine = make_hold()

    (booking, _), (_, touched), _ = close_while_one_is_confirmed(mine)

    assert [each.pk for each in touched.bookings] == [booking.pk]
    assert Case.objects.get().subject_id == str(booking.pk)


def test_without_the_lock_of_the_hold_the_booking_would_have_no_case() -> None:
    mine = make_hold()
    # As if the later look at closures, which belongs to paid holds, were not there.
    with (
        patch.object(closures, "lock_holds_on", lambda *_: []),
        patch.object(bookings.conflicts, "report_conflict", lambda _: None),
    ):
        (booking, _), (_, touched), _ = close_while_one_is_confirmed(mine)

    assert booking.status == "CONFIRMED"
    assert touched.bookings == []
    assert not Case.objects.exists()


def test_a_crowd_and_a_closure_leave_nobody_inside_unknown() -> None:
    for _ in range(20):
        court = make_resource(units=3)
        crowd = [hold(court) for _ in range(4)]

        *outcomes, closed = at_once([*crowd, partial(close, court)])

        assert not isinstance(closed, Exception), closed
        assert {type(error) for error in errors_in(outcomes)} <= {
            SlotUnavailable,
            ResourceClosed,
        }
        inside = BookingHold.objects.filter(resource=court)
        assert {each.pk for each in closed[1].holds} == {each.pk for each in inside}
        assert closed_minutes(court) == 3 * DAY - 60 * inside.count()


def test_a_cancellation_and_a_closure_at_once_leave_no_case_and_no_gap() -> None:
    for _ in range(20):
        booking = make_booking()
        cancel = partial(
            cancelling.cancel_booking,
            booking_id=booking.pk,
            customer_id=booking.customer_id,
        )

        outcomes = at_once([cancel, partial(close, booking.resource)])

        assert errors_in(outcomes) == []
        assert not Case.objects.filter(status="OPEN").exists()
        assert closed_minutes(booking.resource) == DAY


def test_two_closures_at_once_share_what_is_free() -> None:
    for _ in range(10):
        venue = make_venue()
        court = make_resource(venue=venue, units=2)
        booking = make_booking(resource=court)

        outcomes = at_once([partial(close, venue), partial(close, court)])

        assert errors_in(outcomes) == []
        assert closed_minutes(court) == 2 * DAY - 60
        assert Case.objects.get(subject_id=str(booking.pk)).status == "OPEN"


def test_a_closure_that_is_taken_back_while_another_is_made_leaves_that_one() -> None:
    for _ in range(10):
        court = make_resource(units=2)
        booking = make_booking(resource=court)
        first, _ = close(court)

        outcomes = at_once([partial(take_back, first), partial(close, court.venue)])

        assert errors_in(outcomes) == []
        assert closed_minutes(court) == 2 * DAY - 60
        assert Case.objects.get(subject_id=str(booking.pk)).status == "OPEN"


def test_a_move_into_a_closure_is_refused_or_stands_in_a_case() -> None:
    for _ in range(20):
        booking = make_booking(start=in_two_days(8))

        moved, closed = at_once(
            [
                partial(move, booking, in_two_days(20)),
                partial(close, booking.resource),
            ]
        )

        assert not isinstance(closed, Exception), closed
        assert isinstance(moved, (Booking, SlotUnavailable, ResourceClosed)), moved
        # It was inside before and after: somebody sees to it either way.
        assert Case.objects.get(subject_id=str(booking.pk)).status == "OPEN"


def test_of_two_who_move_to_one_time_and_one_who_holds_it_one_has_it() -> None:
    for units in (1, 2) * 8:
        court = make_resource(units=units)
        movers = [
            make_booking(resource=court, start=in_two_days(hour), units=units)
            for hour in (8, 10)
        ]

        outcomes = at_once(
            [
                *(partial(move, each, in_two_days()) for each in movers),
                partial(
                    holds.create_hold,
                    customer_id=make_customer().pk,
                    wanted=wanted(court, units=units),
                ),
            ]
        )

        assert [type(error) for error in errors_in(outcomes)] == [SlotUnavailable] * 2
        for each in movers:
            assert SlotClaim.objects.filter(hold=each.hold_id).count() == units
        assert invariants.find_violations(safety_only=True) == []


def test_of_two_who_swap_their_times_nobody_loses_one() -> None:
    for _ in range(10):
        court = make_resource()
        one, two = (
            make_booking(resource=court, start=in_two_days(hour)) for hour in (8, 10)
        )

        at_once(
            [partial(move, one, in_two_days(10)), partial(move, two, in_two_days(8))]
        )

        assert SlotClaim.objects.filter(hold__resource=court).count() == 2
        assert invariants.find_violations(safety_only=True) == []


def test_a_booking_that_is_moved_and_cancelled_at_once_is_cancelled() -> None:
    for _ in range(20):
        booking = make_booking()
        cancel = partial(
            cancelling.cancel_booking,
            booking_id=booking.pk,
            customer_id=booking.customer_id,
        )

        _, cancelled = at_once([partial(move, booking, in_two_days(18)), cancel])

        assert not isinstance(cancelled, Exception), cancelled
        assert Booking.objects.get(pk=booking.pk).status == "CANCELLED"
        assert not SlotClaim.objects.filter(hold=booking.hold_id).exists()
