"""PostgreSQL ends a transaction for a conflict: all of it is done again, or nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from rest_framework.test import APIClient

from bookings.models import Booking, BookingHold
from recovery.models import AuditEntry, IdempotencyRecord, OutboxEvent
from slotbase.accounts.models import User
from slotbase.lib.db import MAX_ATTEMPTS
from tests.bookings.routes import client_of
from tests.factories import make_customer, make_hold
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k1"
SOMEBODY_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> %s"


@pytest.fixture
def alice() -> User:
    return make_customer()


@pytest.fixture
def hold(alice: User) -> BookingHold:
    return make_hold(customer=alice)


def confirm(alice: User, hold: BookingHold) -> Any:
    api: APIClient = client_of(alice)
    address = f"/api/v1/holds/{hold.pk}/confirm/"
    return api.post(address, {}, "json", headers={"Idempotency-Key": KEY})


@contextmanager
def beside(action: Callable[[], None]) -> Iterator[None]:
    """Somebody else does this at the same time."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    assert errors == []


class Rival:
    """Another session, which gets in the way of a confirmation."""

    def __init__(self, alice: User, hold: BookingHold) -> None:
        self._alice, self._hold = alice, hold
        self._session = psycopg.connect(**connection.get_connection_params())
        self._session.execute("SET deadlock_timeout = '60s'")  # they find out first
        self._session.commit()
        self.is_ready, self.rounds = threading.Event(), 0

    def close(self) -> None:
        self._session.close()

    def lock_hold(self) -> None:
        self._session.execute(
            "SELECT FROM bookings_bookinghold WHERE id = %s FOR UPDATE", [self._hold.pk]
        )
        self.is_ready.set()

    def wait_until_it_is_waited_for(self) -> None:
        pid = self._session.info.backend_pid
        eventually(lambda: self._one(SOMEBODY_WAITS, pid), seconds=20)

    def want_their_key(self) -> None:
        """What they have, while they want what this session has: a deadlock."""
        self._session.execute(
            "INSERT INTO recovery_idempotencyrecord"
            " (principal, key, route, body_hash, status, object_id) VALUES"
            " (%s, %s, '', '', 201, gen_random_uuid()) ON CONFLICT DO NOTHING",
            [str(self._alice.pk), KEY],
        )

    def deadlock(self, times: int) -> None:
        """So many of their attempts end in a deadlock."""
        for _ in range(times):
            self.lock_hold()
            self.wait_until_it_is_waited_for()
            self.want_their_key()
            self._session.rollback()
            self.rounds += 1

    def change_hold(self) -> None:
        """They have read what is changed now."""
        self._session.execute(
            "UPDATE bookings_bookinghold SET expires_at = expires_at WHERE id = %s",
            [self._hold.pk],
        )
        self.is_ready.set()
        self.wait_until_it_is_waited_for()
        self._session.commit()

    def _one(self, sql: str, *parameters: Any) -> Any:
        row = self._session.execute(sql.encode(), parameters).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def rival(alice: User, hold: BookingHold) -> Iterator[Rival]:
    """Who makes this test's own session find that there is a deadlock, after 3 s."""
    rival = Rival(alice, hold)
    with connection.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '3s'")
    yield rival
    with connection.cursor() as cursor:
        cursor.execute("RESET deadlock_timeout")
    rival.close()


def effects(hold: BookingHold) -> tuple[int, int, int]:
    """Bookings, their events, and entries of the hold's end."""
    events = OutboxEvent.objects.filter(type="booking.confirmed").count()
    moves = AuditEntry.objects.filter(subject_id=str(hold.pk), to_state="CONFIRMED")
    return Booking.objects.filter(hold=hold).count(), events, moves.count()


@pytest.mark.parametrize("times", [1, MAX_ATTEMPTS - 1])
def test_after_a_deadlock_the_whole_transaction_is_done_again(
    alice: User, hold: BookingHold, rival: Rival, times: int
) -> None:
    with beside(lambda: rival.deadlock(times)):
        assert rival.is_ready.wait(10)
        answer = confirm(alice, hold)

    assert answer.status_code == 201, answer.content
    assert rival.rounds == times
    assert effects(hold) == (1, 1, 1)


def test_after_three_deadlocks_it_is_given_up_and_nothing_is_left(
    alice: User, hold: BookingHold, rival: Rival
) -> None:
    with beside(lambda: rival.deadlock(MAX_ATTEMPTS)):
        assert rival.is_ready.wait(10)
        answer = confirm(alice, hold)

    assert (answer.status_code, answer.json()["code"]) == (503, "try_again")
    assert int(answer["Retry-After"]) <= 5
    assert rival.rounds == MAX_ATTEMPTS
    assert effects(hold) == (0, 0, 0)
    assert not IdempotencyRecord.objects.exists()

    assert confirm(alice, hold).status_code == 201
    assert effects(hold) == (1, 1, 1)


@pytest.fixture
def stricter() -> Iterator[None]:
    """This session reads a snapshot, as under REPEATABLE READ and stricter levels."""
    level = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL"
    with connection.cursor() as cursor:
        cursor.execute(f"{level} REPEATABLE READ")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"{level} READ COMMITTED")


@pytest.mark.usefixtures("stricter")
def test_after_a_serialization_failure_it_is_done_again(
    alice: User, hold: BookingHold, rival: Rival
) -> None:
    with beside(rival.change_hold):
        assert rival.is_ready.wait(10)
        answer = confirm(alice, hold)

    assert answer.status_code == 201, answer.content
    assert effects(hold) == (1, 1, 1)


@pytest.mark.usefixtures("stricter")
def test_without_another_attempt_the_conflict_would_be_the_answer(
    alice: User,
    hold: BookingHold,
    rival: Rival,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positive control: the conflict is real."""
    monkeypatch.setattr("slotbase.lib.db.MAX_ATTEMPTS", 1)
    with beside(rival.change_hold):
        assert rival.is_ready.wait(10)
        answer = confirm(alice, hold)

    assert answer.status_code == 503
    assert effects(hold) == (0, 0, 0)
