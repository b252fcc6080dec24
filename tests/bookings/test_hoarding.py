"""F10, S4: whoever keeps slots from others and never books is made to wait."""

from datetime import timedelta

import pytest
from django.db.models import F
from pytest_django import Settings

from bookings.errors import CoolDown
from bookings.models import BookingHold, Resource
from bookings.services import bookings, holds, waitlist
from bookings.services.claims import retire_expired_holds
from slotbase.accounts.models import User
from slotbase.devstack.ports import any_free_port
from slotbase.lib.clock import read_clock
from tests.bookings.routes import client_of
from tests.factories import in_two_days, make_customer, make_hold, make_resource, wanted

pytestmark = pytest.mark.django_db
TTL = timedelta(minutes=5)


def run_out(hold: BookingHold, *, ago: timedelta = timedelta(0)) -> None:
    """A hold that has lasted for its five minutes, and ended so long ago."""
    ended = read_clock() - ago
    BookingHold.objects.filter(pk=hold.pk).update(
        created_at=ended - TTL, expires_at=ended
    )


def last_for(hold: BookingHold, lasted: timedelta) -> None:
    """A hold that the customer made so long ago, and has still."""
    BookingHold.objects.filter(pk=hold.pk).update(
        created_at=F("created_at") - lasted, expires_at=F("expires_at") - lasted
    )


def waste(customer: User, times: int = 3, *, ago: timedelta = timedelta(0)) -> None:
    for _ in range(times):
        run_out(make_hold(customer=customer), ago=ago)


def hoard(customer: User, resource: Resource, rounds: int) -> int:
    """The script: hold, let it run out, hold again; how often that worked."""
    for done in range(rounds):
        try:
            run_out(make_hold(resource=resource, customer=customer))
        except CoolDown:
            return done
    return rounds


def test_a_script_that_holds_again_and_again_is_stopped_after_three() -> None:
    assert hoard(make_customer(), make_resource(), rounds=10) == 3


def test_without_the_cool_down_it_would_go_on_for_ever(settings: Settings) -> None:
    """The control: `UNUSED_HOLDS_SECONDS=0` takes the guard away."""
    settings.UNUSED_HOLDS_SECONDS = 0

    assert hoard(make_customer(), make_resource(), rounds=10) == 10


def test_twenty_accounts_of_one_person_are_each_stopped() -> None:
    """F10: behind one address; with the slot free for others in between."""
    court = make_resource()

    kept = sum(hoard(make_customer(), court, rounds=10) for _ in range(20))

    assert kept == 20 * 3
    assert make_hold(resource=court)


def test_the_customer_is_told_when_to_come_again() -> None:
    alice, court = make_customer(), make_resource()
    waste(alice, ago=timedelta(minutes=10))
    start = in_two_days()
    wish = {
        "resource": court.pk,
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(hours=1)).isoformat(),
    }

    answer = client_of(alice).post(
        "/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "k"}
    )

    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 290 <= int(answer["Retry-After"]) <= 300


def test_after_a_quarter_of_an_hour_all_is_forgotten() -> None:
    alice = make_customer()
    waste(alice, ago=timedelta(minutes=15))

    assert make_hold(customer=alice)


def test_to_find_the_hold_one_has_is_no_new_one() -> None:
    alice, court = make_customer(), make_resource()
    hold = make_hold(resource=court, customer=alice)
    waste(alice, times=2)
    run_out(make_hold(customer=alice))

    again = holds.create_hold(customer_id=alice.pk, wanted=wanted(court))

    assert again.hold.pk == hold.pk


def test_what_is_given_back_soon_was_not_hoarded() -> None:
    """People look around: that keeps nothing from anybody for long."""
    alice = make_customer()
    for _ in range(5):
        hold = make_hold(customer=alice)
        holds.release_hold(hold_id=hold.pk, customer_id=alice.pk)

    assert make_hold(customer=alice)


def test_what_is_given_back_late_was_kept_from_others_all_the_same() -> None:
    """F10: to release just before the end is the same script."""
    alice = make_customer()
    for _ in range(3):
        hold = make_hold(customer=alice)
        last_for(hold, timedelta(minutes=4))
        holds.release_hold(hold_id=hold.pk, customer_id=alice.pk)

    with pytest.raises(CoolDown):
        make_hold(customer=alice)


def test_what_was_booked_was_not_wasted() -> None:
    alice = make_customer()
    for _ in range(4):
        hold = make_hold(customer=alice)
        last_for(hold, timedelta(minutes=4))
        bookings.confirm_hold(hold_id=hold.pk, customer_id=alice.pk)

    assert make_hold(customer=alice)


def test_the_line_is_no_way_around_it() -> None:
    """F10: to wait for what is free gives a hold at once, which lasts longer."""
    alice, court = make_customer(), make_resource()
    waste(alice)

    with pytest.raises(CoolDown):
        waitlist.join_waitlist(customer_id=alice.pk, wanted=wanted(court))


def test_offers_that_run_out_count_as_holds_do() -> None:
    alice = make_customer()
    for _ in range(3):
        waitlist.join_waitlist(customer_id=alice.pk, wanted=wanted(make_resource()))
    for offer in BookingHold.objects.filter(customer=alice):
        run_out(offer)
        retire_expired_holds([offer.pk], part="sweep")

    with pytest.raises(CoolDown):
        make_hold(customer=alice)


def test_it_holds_without_redis(settings: Settings) -> None:
    """F10: counted from the rows."""
    nowhere = f"redis://127.0.0.1:{any_free_port()}/1"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": nowhere}}

    assert hoard(make_customer(), make_resource(), rounds=5) == 3
