"""Who holds a slot hears that it runs out: once, in time, and only while it is so."""

import threading
from collections.abc import Callable
from datetime import time, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
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
from tests.product import eventually

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


def book(hold: BookingHold) -> None:
    confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)


def let_go(hold: BookingHold) -> None:
    release_hold(hold_id=hold.pk, customer_id=hold.customer_id)


@pytest.mark.parametrize("_", range(10))
@pytest.mark.parametrize("end", [book, let_go])
def test_whoever_books_or_lets_go_at_that_moment_is_not_told(
    clock: Clock, end: Callable[[BookingHold], None], _: int
) -> None:
    hold = make_hold_with_device()
    before_the_end(clock, hold, 60)

    outcomes = at_once([warn, partial(end, hold)])

    assert errors_in(outcomes) == []
    assert warn() == 0
    assert {status for _, status in warnings()} <= {"CANCELLED"}


class Meanwhile:
    """Something that happens between the look of a sweep and its warning."""

    def __init__(self, action: Callable[[], Any], lock: Callable[..., Any]) -> None:
        self.action, self.lock = action, lock
        self.thread = threading.Thread(target=self._run)
        self.is_over = threading.Event()

    def __call__(self, expiring: QuerySet[BookingHold], limit: int) -> Any:
        found = self.lock(expiring, limit)
        self.thread.start()
        eventually(lambda: self.is_over.is_set() or self._waits_for_us())
        return found

    def _run(self) -> None:
        try:
            self.action()
            self.is_over.set()
        finally:
            connection.close()

    def _waits_for_us(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("""
                SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
                    AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))
            """)
            [(is_waiting,)] = cursor.fetchall()
        return bool(is_waiting)


def just_read(expiring: QuerySet[BookingHold], limit: int) -> list[BookingHold]:
    """The guard is gone: nothing is locked."""
    return list(expiring[:limit])


@pytest.mark.parametrize("end", [book, let_go])
@pytest.mark.parametrize(
    ("lock", "left"), [(expiring.lock_unattended, "CANCELLED"), (just_read, "PENDING")]
)
def test_without_the_lock_of_the_sweep_it_would_be_told_what_is_over(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[BookingHold], None],
    lock: Callable[..., Any],
    left: str,
) -> None:
    """The race above and its control, always in the order that loses it."""
    hold = make_hold_with_device()
    before_the_end(clock, hold, 60)
    meanwhile = Meanwhile(partial(end, hold), lock)
    monkeypatch.setattr(expiring, "lock_unattended", meanwhile)

    assert warn() == 1

    meanwhile.thread.join(60)
    assert meanwhile.is_over.is_set()
    assert warnings() == [("PUSH", left)]


def test_making_a_hold_costs_no_statement_for_it() -> None:
    customer, resource = make_customer(), make_resource()
    with CaptureQueriesContext(connection) as captured:
        make_hold(customer=customer, resource=resource)

    assert not [q for q in captured.captured_queries if "notifications_" in q["sql"]]
