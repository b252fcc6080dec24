"""Request limits: exact with Redis, and still there while Redis is dead or frozen."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from pytest_django import Settings
from rest_framework.test import APIClient

from slotbase.accounts.models import User
from slotbase.devstack.ports import any_free_port
from slotbase.devstack.valkey import Valkey
from slotbase.lib import counts
from slotbase.lib.counts import count_request
from tests.factories import make_customer

pytestmark = pytest.mark.django_db
BOOKINGS, VENUES, HOLDS = "/api/v1/bookings/", "/api/v1/venues/", "/api/v1/holds/"


@pytest.fixture(autouse=True)
def _with_redis_and_early_in_a_minute() -> Iterator[None]:
    if (left := 60 - time.time() % 60) < 10:
        time.sleep(left)
    counts.forget()
    yield
    counts.forget()


@pytest.fixture
def api(db: None) -> APIClient:
    return client_of(make_customer())


def client_of(customer: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(customer)
    return client


def statuses(client: APIClient, path: str, times: int, **more: Any) -> list[int]:
    return [client.get(path, **more).status_code for _ in range(times)]


# --- With Redis ---------------------------------------------------------------


def test_whoever_is_over_the_limit_is_told_when_to_come_again(
    api: APIClient, settings: Settings
) -> None:
    settings.THROTTLE_USER_PER_MINUTE = 3

    assert statuses(api, BOOKINGS, 3) == [200] * 3
    answer = api.get(BOOKINGS)

    assert answer.status_code == 429
    assert answer["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["retryable"]) == ("rate_limited", True)
    assert 1 <= int(answer["Retry-After"]) <= 60


def test_each_customer_has_a_limit_of_their_own(
    api: APIClient, settings: Settings
) -> None:
    settings.THROTTLE_USER_PER_MINUTE = 1

    assert statuses(api, BOOKINGS, 2) == [200, 429]
    assert statuses(client_of(make_customer()), BOOKINGS, 2) == [200, 429]


def test_holds_have_a_limit_of_their_own(api: APIClient, settings: Settings) -> None:
    settings.THROTTLE_HOLDS_PER_MINUTE = 2

    answers = [api.post(HOLDS, {}, "json").status_code for _ in range(3)]

    assert answers == [400, 400, 429]
    assert api.get(BOOKINGS).status_code == 200


def test_without_a_token_the_address_is_limited(settings: Settings) -> None:
    settings.THROTTLE_ADDRESS_PER_MINUTE = 2
    nobody = APIClient()

    assert statuses(nobody, VENUES, 3) == [200, 200, 429]
    assert statuses(nobody, VENUES, 1, REMOTE_ADDR="203.0.113.9") == [200]
    assert statuses(client_of(make_customer()), VENUES, 1) == [200]


def test_a_made_up_forwarded_address_does_not_give_a_new_limit(
    settings: Settings,
) -> None:
    settings.THROTTLE_ADDRESS_PER_MINUTE = 2
    nobody = APIClient()

    answers = [
        nobody.get(VENUES, headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code
        for n in range(3)
    ]

    assert answers == [200, 200, 429]


def test_health_is_never_limited(settings: Settings) -> None:
    settings.THROTTLE_ADDRESS_PER_MINUTE = 0

    settings.THROTTLE_SHARED_ADDRESS_PER_MINUTE = 0

    for path in ("/health/live", "/health/ready", "/health"):
        assert 429 not in statuses(APIClient(), path, 5)


def in_a_crowd(action: Callable[[], Any]) -> list[Any]:
    """What 50 threads get that begin at one moment and do this 200 times in all.

    None needs the database; Redis takes a hundred connections of one process.
    """
    barrier = threading.Barrier(50)

    def act(_: int) -> list[Any]:
        barrier.wait()
        return [action() for _ in range(4)]

    with ThreadPoolExecutor(50) as threads:
        return [each for some in threads.map(act, range(50)) for each in some]


def test_of_a_crowd_at_once_just_as_many_as_allowed_get_through() -> None:
    name = f"crowd-{uuid4()}"

    # Each as another process, which has counted nothing itself.
    numbers = in_a_crowd(partial(counts._increment_in_redis, name))

    assert sorted(numbers) == list(range(1, 201))


def test_of_200_parallel_requests_no_more_pass_than_are_allowed() -> None:
    """S6: DRF's own throttle reads first and writes then, and lets a crowd through."""
    name = f"crowd-{uuid4()}"

    passed = in_a_crowd(partial(counts.is_within, 100, "crowd", name))

    assert sum(passed) == 100


def test_a_count_that_reads_first_would_let_the_crowd_through() -> None:
    """S6: the control, as DRF's own throttle does it."""
    name = f"crowd-{uuid4()}"

    def read_then_write() -> bool:
        seen = cache.get(name, 0)
        cache.set(name, seen + 1)
        return seen < 100

    assert sum(in_a_crowd(read_then_write)) > 105


def test_the_next_minute_counts_from_one() -> None:
    name = f"minutes-{uuid4()}"

    assert [count_request(name, window) for window in (1, 1, 2, 1)] == [1, 2, 1, 3]


# --- Without Redis ------------------------------------------------------------


def test_a_flushed_redis_gives_nobody_a_new_limit(
    api: APIClient, settings: Settings
) -> None:
    """S6: `FLUSHALL` while somebody is at their limit."""
    settings.THROTTLE_USER_PER_MINUTE = 3
    assert statuses(api, BOOKINGS, 3) == [200] * 3

    cache.clear()

    assert statuses(api, BOOKINGS, 1) == [429]


def use_redis(settings: Settings, address: str) -> None:
    """Point the cache elsewhere."""
    default = {**settings.CACHES["default"], "LOCATION": address}
    settings.CACHES = {"default": default}


def timed(client: APIClient, path: str) -> tuple[int, float]:
    """Status and seconds."""
    start = time.monotonic()
    status = client.get(path).status_code
    return status, time.monotonic() - start


def test_with_a_dead_redis_requests_pass_at_once_and_stay_limited(
    api: APIClient, settings: Settings
) -> None:
    settings.THROTTLE_USER_PER_MINUTE = 5
    use_redis(settings, f"redis://127.0.0.1:{any_free_port()}/1")

    answers = [timed(api, BOOKINGS) for _ in range(7)]

    assert [status for status, _ in answers] == [200] * 5 + [429] * 2
    assert max(seconds for _, seconds in answers) < 1


def test_with_an_unreachable_redis_requests_pass_within_a_second(
    api: APIClient, settings: Settings
) -> None:
    settings.THROTTLE_USER_PER_MINUTE = 5
    # An address of documentation (RFC 5737): nobody answers, not even with a refusal.
    use_redis(settings, "redis://192.0.2.1:6379/1")

    answers = [timed(api, BOOKINGS) for _ in range(7)]

    assert [status for status, _ in answers] == [200] * 5 + [429] * 2
    assert max(seconds for _, seconds in answers) < 1


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that a test may freeze, and its address."""
    valkey = Valkey(tmp_path)
    valkey.prepare()
    with subprocess.Popen(valkey.command(), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 10
        while not valkey.is_ready():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process, valkey.url(1)
        process.send_signal(signal.SIGCONT)
        process.terminate()


def test_with_a_frozen_redis_requests_pass_within_a_second_and_stay_limited(
    api: APIClient,
    settings: Settings,
    own_valkey: tuple[subprocess.Popen[bytes], str],
) -> None:
    settings.THROTTLE_USER_PER_MINUTE = 5
    process, address = own_valkey
    use_redis(settings, address)
    assert timed(api, BOOKINGS)[0] == 200  # a connection is open

    os.kill(process.pid, signal.SIGSTOP)
    answers = [timed(api, BOOKINGS) for _ in range(7)]

    # This process has counted all along.
    assert [status for status, _ in answers] == [200] * 4 + [429] * 3
    assert max(seconds for _, seconds in answers) < 1
    # Only the first one waited; then Redis is left alone for some seconds.
    assert max(seconds for _, seconds in answers[1:]) < 0.25


def test_when_redis_is_back_it_counts_again(
    settings: Settings, own_valkey: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, address = own_valkey
    use_redis(settings, address)
    name = f"back-{uuid4()}"
    assert [count_request(name, 1) for _ in range(2)] == [1, 2]

    os.kill(process.pid, signal.SIGSTOP)
    assert [count_request(name, 1) for _ in range(2)] == [3, 4]
    os.kill(process.pid, signal.SIGCONT)
    assert count_request(name, 1) == 5  # still left alone

    counts.forget()  # as another process would, that counted nothing itself
    # The one that was sent while it was frozen may have been counted late.
    assert count_request(name, 1) in {3, 4}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer forged"}])
def test_requests_without_a_good_token_are_limited_by_their_address(
    settings: Any, headers: dict[str, str]
) -> None:
    settings.THROTTLE_ADDRESS_PER_MINUTE = 3

    statuses = [
        APIClient().get("/api/v1/bookings/", headers=headers).status_code
        for _ in range(5)
    ]

    assert statuses == [401] * 3 + [429] * 2
