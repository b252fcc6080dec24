"""Who holds a slot hears that it runs out: once, in time, and only while it is so."""

from datetime import time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bookings.models import BookingHold
from bookings.services import expiring
from bookings.services.bookings import confirm_hold
from bookings.services.holds import release_hold
from notifications.models import Notification
from tests.adversity import Clock
from tests.bookings.messages import make_device, pushes
from tests.concurrency.race import at_once, errors_in
from tests.factories import (
    make_customer,
    make_entry,
    make_hold,
    make_resource,
    make_venue,
)

pytestmark = pytest.mark.django_db(transaction=True)

KIND = "hold_expiring"


def make_hold_with_device(devices: int = 1) -> BookingHold:
    alice = make_customer()
    for _ in range(devices):
        make_device(alice)
    return make_hold(customer=alice)


def warn() -> int:
    return expiring.warn_of_expiring_holds(limit=10)


def warnings() -> list[tuple[str, str]]:
    mine = Notification.objects.filter(template=KIND).order_by("channel")
    return [*mine.values_list("channel", "status")]


def before_the_end(clock: Clock, hold: BookingHold, seconds: float) -> None:
    clock.stop_at(hold.expires_at - timedelta(seconds=seconds))


def make_offer(**venue: Any) -> BookingHold:
    """Alice was offered what Bob gave back."""
    resource = make_resource(venue=make_venue(**venue))
    held = make_hold(resource=resource)
    entry = make_entry(resource=resource)
    release_hold(hold_id=held.pk, customer_id=held.customer_id)
    entry.refresh_from_db()
    assert entry.hold is not None
    return entry.hold


def test_each_device_is_told_once_that_a_hold_runs_out(clock: Clock) -> None:
    hold = make_hold_with_device(2)
    before_the_end(clock, hold, 80)
    assert warn() == 0
    before_the_end(clock, hold, 70)

    assert [warn(), warn()] == [1, 0]

    assert warnings() == [("PUSH", "PENDING")] * 2
    [push, _] = pushes(KIND)
    assert push.not_after == hold.expires_at
    assert push.context["expires_at"] == hold.expires_at.isoformat()


def test_who_has_no_device_is_not_even_looked_at(clock: Clock) -> None:
    hold = make_hold()
    before_the_end(clock, hold, 70)

    assert warn() == 0
    assert warnings() == []


def test_a_hold_that_was_made_for_a_minute_is_not_about_to_run_out(
    clock: Clock, settings: Any
) -> None:
    settings.HOLD_TTL_SECONDS = 60
    make_hold_with_device()

    assert warn() == 0


def test_who_lets_it_go_or_books_it_is_not_told_any_more(clock: Clock) -> None:
    holds = [make_hold_with_device(), make_hold_with_device()]
    before_the_end(clock, holds[0], 70)
    assert warn() == 2

    release_hold(hold_id=holds[0].pk, customer_id=holds[0].customer_id)
    confirm_hold(hold_id=holds[1].pk, customer_id=holds[1].customer_id)

    assert warnings() == [("PUSH", "CANCELLED")] * 2


@pytest.mark.parametrize("seconds", [0, -10])
def test_what_has_run_out_is_not_about_to(clock: Clock, seconds: float) -> None:
    before_the_end(clock, make_hold_with_device(), seconds)

    assert warn() == 0


def test_an_offer_is_told_of_minutes_before_by_mail_too(clock: Clock) -> None:
    hold = make_offer()
    make_device(hold.customer)
    before_the_end(clock, hold, 310)
    assert warn() == 0
    before_the_end(clock, hold, 290)

    assert [warn(), warn()] == [1, 0]
    assert warnings() == [("EMAIL", "PENDING"), ("PUSH", "PENDING")]


def test_at_night_nobody_is_woken_by_an_offer(clock: Clock) -> None:
    hold = make_offer()
    make_device(hold.customer)
    venue = hold.resource.venue
    now = (hold.expires_at - timedelta(seconds=290)).astimezone(venue.zone)
    venue.quiet_from = (now - timedelta(hours=1)).time()
    venue.quiet_until = (now + timedelta(hours=1)).time()
    venue.save()
    assert isinstance(venue.quiet_from, time)
    before_the_end(clock, hold, 290)

    assert warn() == 1
    assert warnings() == [("EMAIL", "PENDING")]


def test_two_sweeps_at_once_tell_each_once(clock: Clock) -> None:
    holds = [make_hold_with_device() for _ in range(4)]
    before_the_end(clock, holds[0], 60)

    outcomes = at_once([warn] * 4)

    assert errors_in(outcomes) == []
    assert warn() == 0
    assert len(warnings()) == 4


@pytest.mark.parametrize("_", range(5))
def test_whoever_books_at_that_moment_is_not_told(clock: Clock, _: int) -> None:
    hold = make_hold_with_device()
    before_the_end(clock, hold, 60)
    mine = {"hold_id": hold.pk, "customer_id": hold.customer_id}

    outcomes = at_once([warn, lambda: confirm_hold(**mine)])

    assert errors_in(outcomes) == []
    assert warn() == 0
    assert {status for _, status in warnings()} <= {"CANCELLED"}


def test_making_a_hold_costs_no_statement_for_it() -> None:
    customer, resource = make_customer(), make_resource()
    with CaptureQueriesContext(connection) as captured:
        make_hold(customer=customer, resource=resource)

    assert not [q for q in captured.captured_queries if "notifications_" in q["sql"]]
