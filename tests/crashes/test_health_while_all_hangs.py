"""Health answers within 100 ms, over real sockets, while all it tells of hangs."""

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from slotbase.devstack.environment import OPS_TOKEN
from tests.product import Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

LIMIT_SECONDS = 0.1
REQUESTS = 30
OPERATOR = {"Authorization": f"Bearer {OPS_TOKEN}"}
OTHERS = ("VALKEY_PID", "SANDBOX_PID", "WORKER_PIDS", "BEAT_PID")


def backends(postmaster: int) -> list[int]:
    """The processes of PostgreSQL, each in a group of its own, the first one last."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    return [*map(int, children.split()), postmaster]


@contextmanager
def hanging(product: Product, *, database: bool = True) -> Iterator[None]:
    """Nothing that the web processes ask answers; the kernel takes what is sent."""
    [postmaster] = product.pids("POSTGRES_PID")
    stopped: list[int] = []
    product.signal("SUPERVISOR_PID", signal.SIGSTOP)  # it would mend things
    for name in OTHERS:
        product.signal(name, signal.SIGSTOP)
    try:
        if database:
            # First whoever makes new ones.
            os.kill(postmaster, signal.SIGSTOP)
            stopped = backends(postmaster)
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        for name in (*OTHERS, "SUPERVISOR_PID"):
            product.signal(name, signal.SIGCONT)


def ask(product: Product, path: str, session: Any = requests) -> requests.Response:
    answer: requests.Response = session.get(
        f"{product.env['SLOTBASE_URL']}{path}", headers=OPERATOR, timeout=30
    )
    return answer


def slow_answers(product: Product, path: str) -> list[float]:
    """Ask one request after the other; how long the slow ones took.

    A computer on which other tests run may stop us for longer than the limit now and
    then, so a fifth of the requests may be slow: the way that waits is slow each time.
    """
    took = []
    with requests.Session() as session:
        for _ in range(REQUESTS):
            took.append(ask(product, path, session).elapsed.total_seconds())
            time.sleep(0.02)
    return [each for each in took if each >= LIMIT_SECONDS]


def is_ready(product: Product) -> bool:
    """Every web process is asked: each connection goes to any of them."""
    return all(ask(product, "/health/ready").ok for _ in range(6))


def unhealthy_in_all(product: Product) -> bool:
    """Likewise."""
    return {ask(product, "/health").status_code for _ in range(9)} == {503}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health"])
def test_health_answers_at_once_while_everything_hangs(
    product: Product, path: str
) -> None:
    eventually(lambda: is_ready(product))
    with hanging(product):
        # At once: nobody has noticed anything yet.
        early = slow_answers(product, path)
        eventually(lambda: not ask(product, "/health/ready").ok, seconds=20)
        late = slow_answers(product, path)

    assert len(early) <= REQUESTS // 5, early
    assert len(late) <= REQUESTS // 5, late
    eventually(lambda: is_ready(product), seconds=20)


ASKS_ITSELF = """
import os, time
from django import setup
os.environ["DJANGO_SETTINGS_MODULE"] = "slotbase.settings"
setup()
from django.db import DatabaseError, connection, transaction
while True:
    began = time.monotonic()
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '1s'")
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
    print(time.monotonic() - began, flush=True)
    time.sleep(0.05)
"""


def test_whoever_asks_the_database_in_the_request_waits_for_it(
    product: Product,
) -> None:
    """The control: readiness as it was found before, with its time-out of a second."""
    with product.program("-c", ASKS_ITSELF) as asks:
        assert asks.stdout is not None
        assert asks.stdout.readline(), "it does not ask"
        with hanging(product):
            time.sleep(3)
        slowest = 0.0
        while slowest < 2:  # the one that came before, and the one that waited
            slowest = float(asks.stdout.readline())
        asks.kill()


def test_what_hangs_is_told_and_what_comes_back_is_seen(product: Product) -> None:
    eventually(lambda: is_ready(product))
    with hanging(product):
        eventually(lambda: unhealthy_in_all(product), seconds=30)
        told = ask(product, "/health").json()
        assert told["status"] == "unhealthy"
        assert told["checks"]["database"]["detail_code"] == "no_answer"
        assert told["checks"]["cases"]["status"] == "unknown"
        ready = ask(product, "/health/ready")
        assert told["checks"]["stripe"]["status"] == "unknown"
        assert (ready.status_code, ready.json()["missing"]) == (503, "database")
        assert ask(product, "/health/live").status_code == 200

    eventually(lambda: is_ready(product), seconds=20)
    eventually(lambda: ask(product, "/health").status_code == 200, seconds=30)


def test_with_the_database_alone_alive_it_is_ready_and_degraded(
    product: Product,
) -> None:
    with hanging(product, database=False):
        eventually(
            lambda: (
                ask(product, "/health").json()["checks"]["redis"]["status"]
                == "degraded"
            ),
            seconds=30,
        )
        # Of both web processes, one of which may remember the test before.
        eventually(
            lambda: {ask(product, "/health").status_code for _ in range(9)} == {200}
        )
        assert is_ready(product)

    def is_redis_well() -> bool:
        checks = ask(product, "/health").json()["checks"]
        return bool(checks["redis"]["status"] == "healthy")

    eventually(is_redis_well, seconds=30)


def test_a_database_that_is_gone_is_noticed_at_once_and_so_is_its_return(
    product: Product,
) -> None:
    eventually(lambda: is_ready(product))
    product.signal("POSTGRES_PID", signal.SIGQUIT)

    eventually(lambda: not ask(product, "/health/ready").ok, seconds=20)
    eventually(lambda: is_ready(product), seconds=60)


def test_a_product_that_was_just_used_tells_how_its_providers_are(
    product: Product,
) -> None:
    """The calls that its customers make are all that is known, and enough."""
    alice = f"user_{uuid.uuid4().hex[:12]}"
    [(court,)] = product.rows(
        "SELECT id FROM bookings_resource WHERE slug = 'court-2'"
        " AND payment_mode = 'ONLINE' LIMIT 1"
    )
    wish = product.free_slot(court, days=4)
    hold = product.call("POST", "/api/v1/holds/", alice, **wish).json()
    paid = product.call("POST", f"/api/v1/holds/{hold['id']}/payment/", alice)
    assert paid.status_code in {201, 202}, paid.text

    def known() -> Any:
        checks = ask(product, "/health").json()["checks"]
        wanted = ("stripe", "clerk", "worker", "beat")
        return all(checks[n]["status"] == "healthy" for n in wanted) and checks

    stripe = eventually(known, seconds=120)["stripe"]
    assert stripe["breaker"] == "closed"
    assert stripe["last_success_at"]
