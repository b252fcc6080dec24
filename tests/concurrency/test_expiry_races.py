"""A hold that runs out while others confirm it, sweep it or want its slot."""

from datetime import timedelta
from functools import partial

import pytest

from bookings.errors import HoldHasExpired, SlotUnavailable
from bookings.models import Booking, BookingHold, SlotClaim
from bookings.services import bookings, cancelling, holds
from bookings.states import HoldStatus
from slotbase.lib.clock import read_clock
from tests.concurrency.race import at_once, errors_in
from tests.factories import expire, make_customer, make_hold, make_resource, wanted

pytestmark = pytest.mark.django_db(transaction=True)


def test_sweeps_and_newcomers_collide_without_a_deadlock() -> None:
    resource = make_resource()
    for _ in range(200):
        expire(make_hold(resource=resource))
        newcomers = [make_customer(), make_customer()]

        outcomes = at_once(
            [
                partial(holds.expire_due_holds, limit=10),
                *(
                    partial(
                        holds.create_hold, customer_id=c.pk, wanted=wanted(resource)
                    )
                    for c in newcomers
                ),
                partial(holds.expire_due_holds, limit=10),
            ]
        )

        # At most one newcomer loses, and only to the other one.
        assert [type(error) for error in errors_in(outcomes)] == [SlotUnavailable]
        winner = BookingHold.objects.get(status=HoldStatus.ACTIVE)
        holds.release_hold(hold_id=winner.pk, customer_id=winner.customer_id)


def test_confirm_and_expiry_in_the_same_millisecond_have_one_outcome() -> None:
    resource = make_resource()
    confirmed, milliseconds = 0, 20.0
    for _run in range(200):
        alice, ben = make_customer(), make_customer()
        hold = make_hold(resource=resource, customer=alice)
        soon = read_clock() + timedelta(milliseconds=milliseconds)
        BookingHold.objects.filter(pk=hold.pk).update(expires_at=soon)

        outcome, _, newcomer = at_once(
            [
                partial(bookings.confirm_hold, hold_id=hold.pk, customer_id=alice.pk),
                partial(holds.expire_due_holds, limit=10),
                partial(holds.create_hold, customer_id=ben.pk, wanted=wanted(resource)),
            ]
        )

        if isinstance(outcome, Exception):
            assert isinstance(outcome, HoldHasExpired)
            assert not Booking.objects.filter(hold=hold).exists()
            milliseconds *= 1.2  # how long threads take to start, the machine knows
        else:
            confirmed += 1
            milliseconds *= 0.8
            assert isinstance(newcomer, SlotUnavailable)
            assert SlotClaim.objects.filter(hold=hold).count() == 1
            cancelling.cancel_booking(booking_id=outcome[0].pk, customer_id=alice.pk)
        for left in BookingHold.objects.filter(status=HoldStatus.ACTIVE):
            expire(left)
        holds.expire_due_holds(limit=10)
    assert 0 < confirmed < 200  # both outcomes have really been seen


def test_two_sweeps_at_once_expire_each_hold_once() -> None:
    for _ in range(30):
        expire(make_hold())

    outcomes = at_once([partial(holds.expire_due_holds, limit=20) for _ in range(4)])

    assert errors_in(outcomes) == []
    assert sum(outcomes) == 30


def test_confirming_twenty_times_at_once_makes_one_booking() -> None:
    hold = make_hold()
    confirm = partial(
        bookings.confirm_hold, hold_id=hold.pk, customer_id=hold.customer_id
    )

    outcomes = at_once([confirm] * 20)

    assert errors_in(outcomes) == []
    assert len({booking.pk for booking, _ in outcomes}) == 1
    assert sum(is_new for _, is_new in outcomes) == 1
