"""The line under pressure: nobody outside of it gets what somebody in it waits for.

Each race has its positive control: the same race with the guard taken away is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest

from bookings import locks
from bookings.errors import HoldHasExpired, NothingOffered, SlotUnavailable
from bookings.models import BookingHold, Resource, ResourceUnit, WaitlistEntry
from bookings.services import bookings, cancelling, holds, waitlist
from bookings.states import HoldStatus, WaitlistStatus
from recovery import invariants
from slotbase.lib import db
from slotbase.lib.clock import read_clock
from slotbase.lib.errors import InvalidState
from tests.concurrency.race import at_once, errors_in
from tests.factories import (
    HOUR,
    expire,
    in_two_days,
    make_booking,
    make_customer,
    make_entry,
    make_hold,
    make_resource,
    wanted,
)

pytestmark = pytest.mark.django_db(transaction=True)

CROWD, ROUNDS = 6, 20


def newcomers(resource: Resource, number: int = CROWD) -> list[Callable[[], Any]]:
    wish = wanted(resource)
    return [
        partial(holds.create_hold, customer_id=make_customer().pk, wanted=wish)
        for _ in range(number)
    ]


def release(hold: BookingHold) -> Callable[[], Any]:
    return partial(holds.release_hold, hold_id=hold.pk, customer_id=hold.customer_id)


def sweep() -> Callable[[], Any]:
    return partial(holds.expire_due_holds, limit=10)


def states(*entries: WaitlistEntry) -> list[str]:
    return [WaitlistEntry.objects.get(pk=entry.pk).status for entry in entries]


def offer_of(entry: WaitlistEntry) -> BookingHold:
    return BookingHold.objects.get(waitlist_entry=entry)


def active() -> list[BookingHold]:
    return list(BookingHold.objects.filter(status=HoldStatus.ACTIVE))


def let_run_out_soon(hold: BookingHold, round_: int) -> None:
    """Starting the threads takes some milliseconds: sometimes less, sometimes more."""
    soon = read_clock() + timedelta(milliseconds=40 * round_)
    BookingHold.objects.filter(pk=hold.pk).update(expires_at=soon)


def violations() -> set[str]:
    return {violation.id for violation in invariants.find_violations()}


@contextmanager
def without_passing_on() -> Iterator[None]:
    """What is released goes to nobody."""
    with mock.patch("bookings.services.holds.pass_on", return_value=0):
        yield


@contextmanager
def without_guard() -> Iterator[None]:
    """Newcomers do not look at the line, neither in the statement nor before it."""
    with ExitStack() as patches:
        rude = partial(locks.Terms, may_pass=True)
        nobody = WaitlistEntry.objects.none()
        patches.enter_context(mock.patch("bookings.services.claims.Terms", rude))
        patches.enter_context(
            mock.patch("bookings.services.claims.waiting_in", return_value=nobody)
        )
        patches.enter_context(
            mock.patch("bookings.services.claims.replace", lambda terms, **_: terms)
        )
        yield


@contextmanager
def without_locks_on_the_line() -> Iterator[None]:
    """Those who hand time on do not take turns."""

    def read(entries: Any) -> list[WaitlistEntry]:
        return list(entries.order_by("pk").select_related("resource__venue"))

    with mock.patch("bookings.locks._lock_entries", read):
        yield


# --- Offer against newcomer ---------------------------------------------------


def a_slot_that_stands_free() -> tuple[Resource, WaitlistEntry]:
    """As after a release whose hand-over was lost; nothing is swept."""
    court = make_resource()
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)
    with without_passing_on():
        release(hold)()
    return court, entry


def a_unit_that_was_added() -> tuple[Resource, WaitlistEntry]:
    court = make_resource()
    make_hold(resource=court)
    entry = make_entry(resource=court)
    ResourceUnit.objects.create(resource=court, number=2)
    return court, entry


def a_hold_that_ran_out() -> tuple[Resource, WaitlistEntry]:
    court = make_resource()
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)
    expire(hold)
    return court, entry


FREE = [a_slot_that_stands_free, a_unit_that_was_added, a_hold_that_ran_out]


@pytest.mark.parametrize("free", FREE)
def test_a_crowd_of_newcomers_leaves_a_free_slot_to_whoever_waits(
    free: Callable[[], tuple[Resource, WaitlistEntry]],
) -> None:
    for _ in range(5):
        court, entry = free()

        outcomes = at_once(newcomers(court))

        assert {type(each) for each in outcomes} == {SlotUnavailable}
        assert states(entry) == [WaitlistStatus.OFFERED]
        assert offer_of(entry).status == HoldStatus.ACTIVE


@pytest.mark.parametrize("free", FREE[:2])
def test_without_the_guard_a_newcomer_would_get_it(
    free: Callable[[], tuple[Resource, WaitlistEntry]],
) -> None:
    court, entry = free()

    with without_guard():
        outcomes = at_once(newcomers(court))

    assert len(errors_in(outcomes)) == CROWD - 1
    assert states(entry) == [WaitlistStatus.WAITING]


def test_without_passing_on_a_newcomer_would_get_what_ran_out() -> None:
    court, entry = a_hold_that_ran_out()

    with (
        without_guard(),
        mock.patch("bookings.services.claims.pass_on", return_value=0),
    ):
        outcomes = at_once(newcomers(court))

    assert len(errors_in(outcomes)) == CROWD - 1
    assert states(entry) == [WaitlistStatus.WAITING]


def release_among_newcomers() -> tuple[list[Any], WaitlistEntry]:
    court = make_resource()
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)
    _, *outcomes = at_once([release(hold), *newcomers(court)])
    return outcomes, entry


def test_what_is_released_among_newcomers_goes_to_whoever_waits() -> None:
    for _ in range(ROUNDS):
        outcomes, entry = release_among_newcomers()

        assert {type(each) for each in outcomes} == {SlotUnavailable}
        assert states(entry) == [WaitlistStatus.OFFERED]


def test_without_hand_over_and_guard_a_newcomer_would_get_what_is_released() -> None:
    snatched = 0
    with without_passing_on(), without_guard():
        for _ in range(ROUNDS):
            outcomes, _ = release_among_newcomers()
            snatched += len(outcomes) - len(errors_in(outcomes))

    assert snatched > 0


def test_what_is_cancelled_among_newcomers_goes_to_whoever_waits() -> None:
    for _ in range(ROUNDS // 2):
        court = make_resource()
        booking = make_booking(resource=court)
        entry = make_entry(resource=court)
        cancel = partial(
            cancelling.cancel_booking,
            booking_id=booking.pk,
            customer_id=booking.customer_id,
        )

        _, *outcomes = at_once([cancel, *newcomers(court)])

        assert {type(each) for each in outcomes} == {SlotUnavailable}
        assert states(entry) == [WaitlistStatus.OFFERED]


# --- Decline against lapse ----------------------------------------------------


def offered_and_next() -> tuple[Resource, WaitlistEntry, WaitlistEntry]:
    court = make_resource()
    hold = make_hold(resource=court)
    first, second = make_entry(resource=court), make_entry(resource=court)
    release(hold)()
    return court, first, second


def decline(entry: WaitlistEntry) -> Callable[[], Any]:
    return partial(
        waitlist.decline_offer, entry_id=entry.pk, customer_id=entry.customer_id
    )


def test_an_offer_that_is_declined_as_it_lapses_ends_once_and_serves_the_next() -> None:
    seen = set()
    for round_ in range(ROUNDS):
        court, first, second = offered_and_next()
        let_run_out_soon(offer_of(first), round_)

        declined, *_, newcomer = at_once(
            [decline(first), sweep(), sweep(), *newcomers(court, 1)]
        )
        holds.expire_due_holds(limit=10)

        assert isinstance(newcomer, SlotUnavailable)
        assert declined is None or isinstance(declined, NothingOffered)
        (state,) = states(first)
        assert (state == WaitlistStatus.LEFT) is (declined is None)
        assert states(second) == [WaitlistStatus.OFFERED]
        assert active() == [offer_of(second)]
        seen.add(state)
        release(offer_of(second))()
    assert seen == {WaitlistStatus.LEFT, WaitlistStatus.LAPSED}


def run_out_and_be_swept(hold: BookingHold) -> None:
    expire(hold)
    holds.expire_due_holds(limit=10)


@pytest.mark.breaks_invariants
def test_without_the_lock_an_offer_would_end_twice() -> None:
    _, first, _ = offered_and_next()

    def read(entry_id: Any, **_: Any) -> WaitlistEntry:
        """What was found is stale: the sweep comes in between."""
        entry = WaitlistEntry.objects.select_related("hold", "resource__venue").get(
            pk=entry_id
        )
        at_once([partial(run_out_and_be_swept, entry.hold)])
        return entry

    with mock.patch("bookings.services.waitlist.lock_entry_with_hold", read):
        decline(first)()

    assert violations() & {"I6.hold", "I6.waitlist"}


def test_an_offer_that_is_confirmed_as_it_lapses_is_sold_or_goes_to_the_next() -> None:
    seen = set()
    for round_ in range(ROUNDS):
        _, first, second = offered_and_next()
        offer = offer_of(first)
        let_run_out_soon(offer, round_)
        confirm = partial(
            bookings.confirm_hold, hold_id=offer.pk, customer_id=first.customer_id
        )

        outcome, _ = at_once([confirm, sweep()])
        holds.expire_due_holds(limit=10)

        if isinstance(outcome, Exception):
            assert isinstance(outcome, HoldHasExpired)
            expected = [WaitlistStatus.LAPSED, WaitlistStatus.OFFERED]
        else:
            expected = [WaitlistStatus.CLAIMED, WaitlistStatus.WAITING]
        assert states(first, second) == expected
        seen.add(expected[0])
    assert seen == {WaitlistStatus.LAPSED, WaitlistStatus.CLAIMED}


# --- Two releases at once -----------------------------------------------------


def two_releases(waiting: int) -> tuple[list[Any], list[WaitlistEntry]]:
    yoga = make_resource(units=2)
    both = [make_hold(resource=yoga) for _ in range(2)]
    entries = [make_entry(resource=yoga) for _ in range(waiting)]
    return at_once([release(hold) for hold in both]), entries


def test_two_releases_at_once_serve_two_who_wait() -> None:
    for _ in range(ROUNDS):
        outcomes, entries = two_releases(waiting=3)

        assert errors_in(outcomes) == []
        assert states(*entries) == [
            *(WaitlistStatus.OFFERED, WaitlistStatus.OFFERED, WaitlistStatus.WAITING)
        ]
        assert sorted(n for e in entries[:2] for n in offer_of(e).units) == [1, 2]


def test_two_releases_at_once_make_one_offer_to_one_who_waits() -> None:
    for _ in range(ROUNDS):
        outcomes, (entry,) = two_releases(waiting=1)

        assert errors_in(outcomes) == []
        assert active() == [offer_of(entry)]
        release(offer_of(entry))()


def test_without_locks_on_the_line_both_would_offer_to_the_same_one() -> None:
    """Whoever comes second is refused, and with it the release of a customer."""
    failed: list[Exception] = []
    with without_locks_on_the_line():
        for _ in range(5 * ROUNDS):
            outcomes, _ = two_releases(waiting=2)
            if failed := errors_in(outcomes):
                break

    assert {type(each) for each in failed} == {InvalidState}


# --- Everything at once -------------------------------------------------------


def test_who_joins_as_the_slot_is_released_is_served() -> None:
    for _ in range(ROUNDS):
        court, alice = make_resource(), make_customer()
        hold = make_hold(resource=court)
        join = partial(
            waitlist.join_waitlist, customer_id=alice.pk, wanted=wanted(court)
        )

        outcomes = at_once([join, release(hold)])
        WaitlistEntry.objects.update(looked_at=read_clock() - HOUR)
        waitlist.offer_free_slots(limit=1000)

        assert errors_in(outcomes) == []
        assert states(*WaitlistEntry.objects.filter(customer=alice)) == [
            WaitlistStatus.OFFERED
        ]


def test_of_twelve_wishes_to_wait_of_one_customer_five_are_entered() -> None:
    court, alice = make_resource(max_minutes=600), make_customer()
    make_hold(resource=court, start=in_two_days(8), length=10 * HOUR)
    wishes = [wanted(court, in_two_days(8) + n * HOUR / 2) for n in range(12)]

    outcomes = at_once(
        [
            partial(waitlist.join_waitlist, customer_id=alice.pk, wanted=wish)
            for wish in wishes
        ]
    )

    assert len(errors_in(outcomes)) == 7
    assert WaitlistEntry.objects.count() == 5


def test_without_the_lock_on_the_customer_more_than_five_would_be_entered() -> None:
    court, alice = make_resource(max_minutes=600), make_customer()
    make_hold(resource=court, start=in_two_days(8), length=10 * HOUR)
    wishes = [wanted(court, in_two_days(8) + n * HOUR / 2) for n in range(12)]

    with mock.patch("bookings.services.waitlist.lock_active_customer"):
        at_once(
            [
                partial(waitlist.join_waitlist, customer_id=alice.pk, wanted=wish)
                for wish in wishes
            ]
        )

    assert WaitlistEntry.objects.count() > 5


def test_releases_sweeps_newcomers_and_leavers_collide_without_a_deadlock() -> None:
    refused = {SlotUnavailable, NothingOffered}
    with mock.patch.object(
        db, "_wait_or_give_up", side_effect=db._wait_or_give_up
    ) as conflicts:
        for _ in range(ROUNDS):
            yoga = make_resource(units=3, max_minutes=240)
            first, second, third = (make_hold(resource=yoga) for _ in range(3))
            entries = [
                make_entry(resource=yoga, units=1 + n % 2, length=(1 + n % 3) * HOUR)
                for n in range(6)
            ]
            expire(third)

            outcomes = at_once(
                [
                    *(release(first), release(second), sweep()),
                    *newcomers(yoga, 2),
                    partial(waitlist.leave_waitlist, **owner_of(entries[0])),
                    decline(entries[1]),
                    partial(waitlist.offer_free_slots, limit=10),
                ]
            )

            assert {type(error) for error in errors_in(outcomes)} <= refused
    assert conflicts.call_count == 0


def owner_of(entry: WaitlistEntry) -> dict[str, Any]:
    return {"entry_id": entry.pk, "customer_id": entry.customer_id}
