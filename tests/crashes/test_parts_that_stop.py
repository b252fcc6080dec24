"""Parts of the running product are killed, stopped or frozen; the promise holds."""

import signal
import time
import uuid

import pytest

from tests.product import Product, eventually

pytestmark = pytest.mark.stack


def somebody() -> str:
    return f"user_{uuid.uuid4().hex[:12]}"


def hold_status(product: Product, hold_id: str) -> str:
    [(status,)] = product.rows(
        "SELECT status FROM bookings_bookinghold WHERE id = %s", hold_id
    )
    return str(status)


def test_without_worker_and_beat_an_expired_hold_is_free_at_once(
    product: Product,
) -> None:
    wish = product.free_slot(product.resource("court-1"))
    first = product.call("POST", "/api/v1/holds/", somebody(), **wish)
    product.signal("WORKER_PIDS", signal.SIGSTOP)
    product.signal("BEAT_PID", signal.SIGSTOP)

    product.move_clock("+301s")
    assert hold_status(product, first.json()["id"]) == "ACTIVE"
    second = product.call("POST", "/api/v1/holds/", somebody(), **wish)

    assert second.status_code == 201, second.text
    assert hold_status(product, first.json()["id"]) == "EXPIRED"


def test_moving_the_clock_by_a_day_moves_web_worker_and_beat_alike(
    product: Product,
) -> None:
    alice = somebody()
    wish = product.free_slot(product.resource("court-1"), days=5)
    hold = product.call("POST", "/api/v1/holds/", alice, **wish).json()

    product.move_clock("+1d")

    # Web: the hold is over at once, and a new one is dated a day ahead.
    late = product.call("POST", f"/api/v1/holds/{hold['id']}/confirm/", alice)
    assert (late.status_code, late.json()["code"]) == (410, "hold_expired")
    again = product.call("POST", "/api/v1/holds/", alice, **wish).json()
    assert again["expires_at"][:10] > hold["expires_at"][:10]
    # Beat wakes the worker, whose sweep sees the new day, too.
    other = product.free_slot(product.resource("court-1"), days=5)
    swept = product.call("POST", "/api/v1/holds/", alice, **other).json()
    product.move_clock("+2d")
    eventually(lambda: hold_status(product, swept["id"]) == "EXPIRED")


def test_two_workers_sweep_without_harm(product: Product) -> None:
    room = product.resource("room")
    ids = [
        product.call(
            "POST", "/api/v1/holds/", somebody(), **product.free_slot(room)
        ).json()["id"]
        for _ in range(10)
    ]
    product.move_clock("+10m")

    eventually(lambda: {hold_status(product, each) for each in ids} == {"EXPIRED"})

    [(entries,)] = product.rows(
        "SELECT count(*) FROM recovery_auditentry"
        " WHERE action = 'hold.expired' AND subject_id = ANY(%s)",
        ids,
    )
    assert entries == len(ids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_redis_requests_pass_within_a_second_and_stay_limited(
    product: Product, number: signal.Signals
) -> None:
    alice = somebody()
    assert product.call("GET", "/api/v1/bookings/", alice).status_code == 200
    product.signal("VALKEY_PID", number)

    slowest, statuses = 0.0, set()
    end = time.monotonic() + 60
    while 429 not in statuses and time.monotonic() < end:
        before = time.monotonic()
        statuses.add(product.call("GET", "/api/v1/bookings/", alice).status_code)
        slowest = max(slowest, time.monotonic() - before)

    assert statuses == {200, 429}
    assert slowest < 1.5  # the promise is 1 s; the rest is minting the token
    if number == signal.SIGKILL:
        eventually(lambda: product.call("GET", "/health/ready").ok)


@pytest.mark.parametrize("name", ["WEB_PID", "WORKER_PIDS", "BEAT_PID", "SANDBOX_PID"])
def test_a_part_that_is_killed_comes_back(product: Product, name: str) -> None:
    before = product.pids(name)
    product.signal(name, signal.SIGKILL)

    eventually(lambda: set(product.pids(name)).isdisjoint(before))
    eventually(lambda: product.devstack("up").returncode == 0, seconds=60)

    assert product.call("GET", "/api/v1/venues/").status_code == 200


def test_a_killed_postgres_comes_back_with_its_data(product: Product) -> None:
    alice = somebody()
    wish = product.free_slot(product.resource("court-1"), days=8)
    hold = product.call("POST", "/api/v1/holds/", alice, **wish).json()
    product.signal("POSTGRES_PID", signal.SIGKILL)

    def looks_again() -> bool:
        answer = product.call("GET", f"/api/v1/holds/{hold['id']}/", alice)
        assert answer.status_code in {200, 503}
        return answer.status_code == 200

    eventually(looks_again)
