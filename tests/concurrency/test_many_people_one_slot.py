"""However many come at one instant, a slot is sold once and nobody gets a 5xx.

Each race has its positive control: the same race with the guard taken away is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest
from django.db import connection

from bookings.errors import HoldLimit, SlotUnavailable
from bookings.models import BookingHold, Resource, SlotClaim
from bookings.services import holds
from recovery import invariants
from slotbase.accounts.models import User
from tests.concurrency.race import at_once, errors_in
from tests.factories import in_two_days, make_customer, make_resource, wanted

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 40


def try_to_hold(customer: User, resource: Resource, **over: Any) -> Callable[[], Any]:
    wish = wanted(resource, **over)
    return partial(holds.create_hold, customer_id=customer.pk, wanted=wish)


def crowd_for(resource: Resource, shifts: tuple[int, ...] = (0,)) -> list[Any]:
    """Everybody wants the same hour, shifted by some minutes each."""
    return at_once(
        [
            try_to_hold(
                make_customer(),
                resource,
                start=in_two_days() + timedelta(minutes=shifts[n % len(shifts)]),
            )
            for n in range(CROWD)
        ]
    )


@contextmanager
def without_constraint() -> Iterator[None]:
    """The database as it would be without the exclusion constraint."""
    constraint = next(
        c for c in SlotClaim._meta.constraints if c.name.endswith("no_overlap")
    )
    with connection.schema_editor() as editor:
        editor.remove_constraint(SlotClaim, constraint)
    try:
        yield
    finally:
        SlotClaim.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(SlotClaim, constraint)


def without(name: str) -> Any:
    """The code as it would be without this lock."""
    return mock.patch(name)


@pytest.mark.parametrize("round_", range(5))
def test_of_a_crowd_for_one_slot_one_gets_it(round_: int) -> None:
    outcomes = crowd_for(make_resource())

    losers = errors_in(outcomes)
    assert len(losers) == CROWD - 1
    assert {type(error) for error in losers} == {SlotUnavailable}


@pytest.mark.parametrize("round_", range(5))
def test_of_a_crowd_for_overlapping_slots_one_gets_it(round_: int) -> None:
    resource = make_resource(step_minutes=5, min_minutes=5)

    outcomes = crowd_for(
        resource, shifts=(0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)
    )

    # 12:00 and 13:00 do not overlap, but nobody wants 13:00: all twelve have 12:55.
    losers = errors_in(outcomes)
    assert len(losers) == CROWD - 1
    assert {type(error) for error in losers} == {SlotUnavailable}


@pytest.mark.breaks_invariants
def test_without_the_constraint_the_slot_would_be_sold_more_than_once() -> None:
    resource = make_resource()

    with without_constraint():
        outcomes = crowd_for(resource)

    assert len(errors_in(outcomes)) < CROWD - 1
    assert "I1" in {violation.id for violation in invariants.find_violations()}


@pytest.mark.parametrize("round_", range(3))
def test_of_a_crowd_for_a_class_of_twelve_just_twelve_get_a_place(round_: int) -> None:
    outcomes = crowd_for(make_resource(units=12))

    losers = errors_in(outcomes)
    assert len(losers) == CROWD - 12
    assert {type(error) for error in losers} == {SlotUnavailable}
    numbers = [n for hold in BookingHold.objects.all() for n in hold.units]
    assert sorted(numbers) == list(range(1, 13))


@pytest.mark.breaks_invariants
def test_without_lock_and_constraint_a_class_would_be_oversold() -> None:
    resource = make_resource(units=12)

    with without_constraint(), without("bookings.services.claims.lock_resource"):
        outcomes = crowd_for(resource)

    assert len(errors_in(outcomes)) < CROWD - 12
    assert "I1" in {violation.id for violation in invariants.find_violations()}


def twelve_wishes_of_one_customer() -> list[Any]:
    alice = make_customer()
    return at_once([try_to_hold(alice, make_resource()) for _ in range(12)])


@pytest.mark.parametrize("round_", range(3))
def test_of_twelve_wishes_of_one_customer_just_three_are_held(round_: int) -> None:
    outcomes = twelve_wishes_of_one_customer()

    refused = errors_in(outcomes)
    assert len(refused) == 9
    assert {type(error) for error in refused} == {HoldLimit}


def test_without_the_lock_on_the_customer_more_than_three_would_be_held() -> None:
    with without("bookings.services.holds.lock_active_customer"):
        outcomes = twelve_wishes_of_one_customer()

    assert len(errors_in(outcomes)) < 9
