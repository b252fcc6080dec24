"""Redis is down for long, emptied, slow or forgetful: nothing was only there."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import requests

from tests.crashes.test_parts_that_stop import hold_status, somebody
from tests.crashes.test_redis_outages import broker, refused
from tests.product import Product, eventually
from tests.signals import paused

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def book(product: Product, slot: dict[str, Any], who: str) -> str:
    """Hold and confirm, each within a second or so; returns the booking's id."""
    hold = product.call("POST", "/api/v1/holds/", who, **slot)
    assert hold.status_code == 201, hold.text
    confirm = product.call("POST", f"/api/v1/holds/{hold.json()['id']}/confirm/", who)
    assert confirm.status_code == 201, confirm.text
    booking: str = confirm.json()["id"]
    return booking


def is_told(product: Product, booking: str) -> bool:
    """Whether everybody has had the events of a booking."""
    [(waiting,)] = product.rows(
        "SELECT count(*) FROM recovery_eventdelivery d"
        " JOIN recovery_outboxevent e ON e.id = d.event_id"
        " WHERE subject_id = %s AND status = 'PENDING'",
        booking,
    )
    return bool(waiting == 0)


def test_ten_minutes_without_redis_cost_no_request_and_are_caught_up_within_a_minute(
    product: Product,
) -> None:
    slots = product.free_slots(product.resource("court-1"), days=22)
    lapsing = product.call("POST", "/api/v1/holds/", somebody(), **slots[0])
    people = [somebody() for _ in range(4)]
    bookings = []
    with refused(product):
        bookings += [
            book(product, slot, who)
            for slot, who in zip(slots[1:], people[:2], strict=False)
        ]
        product.move_clock("+600s")
        bookings += [
            book(product, slot, who)
            for slot, who in zip(slots[3:], people[2:], strict=False)
        ]
        cancel = f"/api/v1/bookings/{bookings[0]}/cancel/"
        assert product.call("POST", cancel, people[0]).status_code == 200
        assert product.call("GET", "/health/live").ok
        assert not is_told(product, bookings[1])

    back = time.monotonic()
    eventually(lambda: all(is_told(product, each) for each in bookings), seconds=60)
    hold = lapsing.json()["id"]
    eventually(lambda: hold_status(product, hold) == "EXPIRED", seconds=60)
    assert time.monotonic() - back < 60
    assert eventually(lambda: product.violations() == [], seconds=90)


def test_staff_stay_signed_in_when_redis_is_emptied(product: Product) -> None:
    site = product.env["SLOTBASE_URL"]
    with requests.Session() as browser:
        steps = {
            "login/?next=/admin/": {"username": "manager", "password": "slotbase-demo"},
            "login/code/": {"code": product.code("manager")},
        }
        for page, typed in steps.items():
            form = browser.get(f"{site}/admin/{page}", timeout=30).text
            token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', form)[0]
            sent = browser.post(
                f"{site}/admin/{page}",
                data={**typed, "csrfmiddlewaretoken": token},
                headers={"Referer": site},
                timeout=30,
            )
        assert sent.url == f"{site}/admin/"
        with broker(product) as client:
            client.flushall()

        index = browser.get(f"{site}/admin/", timeout=30, allow_redirects=False)

    assert index.status_code == 200


@contextmanager
def slow(product: Product) -> Iterator[None]:
    """Redis answers nobody for five seconds, and then everybody."""
    with broker(product) as client:
        client.execute_command("CLIENT", "PAUSE", "5000", "ALL")
        yield


@contextmanager
def frozen(product: Product) -> Iterator[None]:
    """Redis takes connections and does not answer."""
    with paused(product, "VALKEY_PID"):
        yield


@pytest.mark.parametrize("fault", [slow, frozen])
def test_while_redis_does_not_answer_no_request_hangs(
    product: Product, fault: Callable[[Product], Any]
) -> None:
    token = product.token(somebody())
    site = product.env["SLOTBASE_URL"]

    def look(path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{site}{path}", headers=headers, timeout=30)

    assert look("/api/v1/bookings/").status_code == 200
    with fault(product):
        answers = [look("/api/v1/bookings/") for _ in range(10)]
        answers += [look("/health/live"), look("/health/ready")]

    assert {answer.status_code for answer in answers} == {200}
    times = [answer.elapsed.total_seconds() for answer in answers]
    assert max(times) < 1.2
    assert sorted(times)[len(times) // 2] < 0.3


def test_a_redis_that_throws_messages_away_is_warned_of_and_loses_nothing(
    product: Product,
) -> None:
    slots = product.free_slots(product.resource("court-1"), days=24)
    with broker(product) as client:
        try:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("maxmemory", "2mb")
            with product.another_worker("warns") as worker:
                eventually(lambda: worker.said("broker_may_evict"))
                bookings = []
                for slot in slots[:4]:
                    _fill(client)
                    bookings.append(book(product, slot, somebody()))
                done = lambda: all(is_told(product, each) for each in bookings)  # noqa: E731
                eventually(done, seconds=60)
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
            for name in client.scan_iter("filler:*"):
                client.delete(name)
    assert eventually(lambda: product.violations() == [], seconds=90)


def _fill(client: redis.Redis) -> None:
    """More than there is room for: queues are thrown away with all else."""
    for _ in range(300):
        client.set(f"filler:{uuid.uuid4().hex}", "x" * 10_000)
    assert client.info("stats")["evicted_keys"] > 0
