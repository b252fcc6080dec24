"""The same request twice has one effect and one answer (Idempotency-Key)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connection
from rest_framework.test import APIClient

from bookings.models import Booking, BookingHold, Resource
from bookings.services import holds
from recovery.idempotency import purge_old_records
from recovery.models import AuditEntry, IdempotencyRecord
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from tests.bookings.document import check_against_document
from tests.bookings.refusals import read_problem
from tests.bookings.routes import client_of
from tests.concurrency.race import at_once
from tests.factories import (
    expire,
    make_booking,
    make_customer,
    make_hold,
    make_resource,
)

pytestmark = pytest.mark.django_db(transaction=True)


def send(
    api: APIClient, path: str, body: dict[str, Any], key: str | None = "k1"
) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post(f"/api/v1/{path}/", body, "json", headers=headers)


def is_replay(answer: Any) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


def insist(ask: Callable[[], Any]) -> Any:
    """Ask as an app does: again, for as long as it is told to (on a slow computer)."""
    answer = ask()
    while answer.status_code == 503 or (
        answer.status_code == 409
        and read_problem(answer, 409, "idempotency_in_progress")
    ):
        answer = ask()
    return answer


def test_twenty_equal_requests_at_once_make_one_hold(
    alice: User, wish: dict[str, Any]
) -> None:
    hold = partial(send, client_of(alice), "holds", wish)

    answers = at_once([partial(insist, hold)] * 20)

    require_one_made(answers, BookingHold.objects.get())
    assert AuditEntry.objects.count() == 1


def require_one_made(answers: list[Any], it: BookingHold | Booking) -> None:
    """The others got the same."""
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["id"] for answer in answers} == {str(it.pk)}
    assert [is_replay(answer) for answer in answers].count(False) == 1


def test_twenty_equal_confirmations_at_once_make_one_booking(alice: User) -> None:
    hold = make_hold(customer=alice)
    confirm = partial(send, client_of(alice), f"holds/{hold.pk}/confirm", {})

    answers = at_once([partial(insist, confirm)] * 20)

    require_one_made(answers, Booking.objects.get())


def test_requests_with_different_keys_find_the_hold_there_is(
    alice: User, wish: dict[str, Any]
) -> None:
    answers = at_once(
        [partial(send, client_of(alice), "holds", wish, f"k{n}") for n in range(10)]
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert not any(is_replay(answer) for answer in answers)


@pytest.mark.parametrize(
    "change", [{"units": 1}, {"resource": 10**6}, {"end_time": "2030-01-01T00:00Z"}]
)
def test_a_key_with_another_body_is_refused(
    api: APIClient, wish: dict[str, Any], change: dict[str, Any]
) -> None:
    send(api, "holds", wish)

    answer = send(api, "holds", {**wish, **change})

    read_problem(answer, 422, "idempotency_key_reused")
    assert BookingHold.objects.count() == 1


def test_a_key_with_another_address_is_refused(api: APIClient, alice: User) -> None:
    paths = [f"holds/{make_hold(customer=alice).pk}/confirm" for _ in range(2)]
    assert send(api, paths[0], {}).status_code == 201

    read_problem(send(api, paths[1], {}), 422, "idempotency_key_reused")

    assert Booking.objects.count() == 1


def test_the_order_of_the_fields_does_not_make_another_body(
    api: APIClient, wish: dict[str, Any]
) -> None:
    send(api, "holds", wish)

    answer = send(api, "holds", dict(reversed(wish.items())))

    assert (answer.status_code, is_replay(answer)) == (201, True)


def test_after_a_taken_slot_the_same_key_works(
    api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    taken = make_hold(resource=court)
    read_problem(send(api, "holds", wish), 409, "slot_unavailable")
    expire(taken)

    answer = send(api, "holds", wish)

    assert (answer.status_code, is_replay(answer)) == (201, False)


def test_after_any_refusal_the_same_key_works_for_something_else(
    api: APIClient, wish: dict[str, Any]
) -> None:
    read_problem(send(api, "holds", {**wish, "units": 0}), 400, "validation_error")
    read_problem(send(api, "holds", {**wish, "units": 2}), 400, "validation_error")
    read_problem(send(api, "holds", {**wish, "resource": 10**6}), 404, "not_found")
    assert not IdempotencyRecord.objects.exists()

    assert send(api, "holds", wish).status_code == 201


def test_after_the_limit_the_same_key_works(
    api: APIClient, alice: User, wish: dict[str, Any]
) -> None:
    first, *_ = [make_hold(customer=alice) for _ in range(3)]
    read_problem(send(api, "holds", wish), 429, "hold_limit")
    holds.release_hold(hold_id=first.pk, customer_id=alice.pk)

    assert send(api, "holds", wish).status_code == 201


def test_a_replay_shows_the_object_as_it_is_now_with_the_first_status(
    api: APIClient, wish: dict[str, Any]
) -> None:
    hold = send(api, "holds", wish).json()
    api.delete(f"/api/v1/holds/{hold['id']}/")

    answer = send(api, "holds", wish)

    assert (answer.status_code, is_replay(answer)) == (201, True)
    assert answer.json() == {**hold, "status": "RELEASED"}
    check_against_document(answer)


def test_a_replay_of_a_found_hold_keeps_its_200(
    api: APIClient, wish: dict[str, Any]
) -> None:
    send(api, "holds", wish)
    found = send(api, "holds", wish, "k2")

    again = send(api, "holds", wish, "k2")

    assert (found.status_code, is_replay(found)) == (200, False)
    assert (again.status_code, is_replay(again)) == (200, True)


def test_a_replay_of_a_confirmation_shows_that_it_was_cancelled_since(
    api: APIClient, alice: User
) -> None:
    hold = make_hold(customer=alice)
    booking = send(api, f"holds/{hold.pk}/confirm", {}).json()
    cancelled = send(api, f"bookings/{booking['id']}/cancel", {}, "k2").json()

    again = send(api, f"holds/{hold.pk}/confirm", {})

    assert (again.status_code, is_replay(again)) == (201, True)
    assert again.json()["status"] == cancelled["status"] == "CANCELLED"


def test_a_cancellation_is_answered_again_and_happens_once(
    api: APIClient, alice: User
) -> None:
    path = f"bookings/{make_booking(customer=alice).pk}/cancel"

    first, again, other = [
        send(api, path, {"reason": "ill"}, key) for key in ("k1", "k1", "k2")
    ]

    assert {each.status_code for each in (first, again, other)} == {200}
    assert first.json() == again.json() == other.json()
    assert [is_replay(each) for each in (first, again, other)] == [False, True, False]
    assert AuditEntry.objects.filter(action="booking.cancelled").count() == 1


def test_a_key_belongs_to_its_customer(api: APIClient, wish: dict[str, Any]) -> None:
    bob, his_wish = client_of(make_customer()), {**wish, "resource": make_resource().pk}
    send(api, "holds", wish)

    his = send(bob, "holds", his_wish, "k2")
    hers = send(api, "holds", wish, "k2")
    again = send(bob, "holds", his_wish, "k2")

    assert (hers.status_code, his.status_code) == (200, 201)
    assert [is_replay(answer) for answer in (his, hers, again)] == [False, False, True]
    assert (again.status_code, again.json()) == (201, his.json())
    assert bob.get(f"/api/v1/holds/{hers.json()['id']}/").status_code == 404


def test_every_visible_character_can_be_in_a_key_of_255(
    api: APIClient, wish: dict[str, Any]
) -> None:
    key = "".join(map(chr, range(0x21, 0x7F))).ljust(255, "x")

    assert send(api, "holds", wish, key).status_code == 201
    assert is_replay(send(api, "holds", wish, key))


def test_commands_that_need_no_key_work_without_one(
    api: APIClient, alice: User
) -> None:
    hold = make_hold(customer=alice)

    first, again = [send(api, f"holds/{hold.pk}/confirm", {}, None) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 200)
    assert not IdempotencyRecord.objects.exists()


@contextmanager
def running_twin(customer: User) -> Iterator[None]:
    """An earlier request with the key `k1` that has not committed."""
    other = psycopg.connect(
        os.environ["DATABASE_URL"], dbname=connection.settings_dict["NAME"]
    )
    with other, other.transaction(force_rollback=True):
        other.execute(
            "INSERT INTO recovery_idempotencyrecord"
            " (principal, key, route, body_hash, status, object_id)"
            " VALUES (%s, 'k1', '', '', 201, gen_random_uuid())",
            [str(customer.pk)],
        )
        yield


@contextmanager
def short_waits() -> Iterator[None]:
    """What the role of the web process sets, but shorter."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
        yield
        cursor.execute("RESET lock_timeout")


def test_a_first_request_that_still_runs_is_told_with_a_time_to_wait(
    api: APIClient, alice: User, wish: dict[str, Any]
) -> None:
    with running_twin(alice), short_waits():
        answer = send(api, "holds", wish)

    problem = read_problem(answer, 409, "idempotency_in_progress")
    assert (problem["retryable"], answer["Retry-After"]) == (True, "1")
    assert send(api, "holds", wish).status_code == 201


def test_keys_are_forgotten_after_a_day(api: APIClient, wish: dict[str, Any]) -> None:
    for key in ("k1", "k2"):
        send(api, "holds", wish, key)
    first = IdempotencyRecord.objects.filter(key="k1")
    first.update(created_at=Now() - timedelta(hours=23, minutes=59))
    assert purge_old_records(limit=10) == 0

    first.update(created_at=Now() - timedelta(hours=24))
    assert purge_old_records(limit=10) == 1

    assert [record.key for record in IdempotencyRecord.objects.all()] == ["k2"]
    again = send(api, "holds", wish)
    assert (again.status_code, is_replay(again)) == (200, False)


def test_old_keys_are_forgotten_in_batches_the_oldest_first(
    api: APIClient, wish: dict[str, Any]
) -> None:
    for age, key in enumerate(["k1", "k2", "k3"]):
        send(api, "holds", wish, key)
        old = Now() - timedelta(hours=25 + age)
        IdempotencyRecord.objects.filter(key=key).update(created_at=old)

    assert purge_old_records(limit=2) == 2
    assert IdempotencyRecord.objects.get().key == "k1"
