"""Everything is restarted while customers work: no request fails, no task is lost."""

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import requests

from tests.crashes.load import (
    NO_ANSWER,
    Ledger,
    Load,
    make_holds_that_run_out,
    require_all_is_done,
    statuses,
)
from tests.product import Product, eventually
from tests.signals import paused

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


def restart(product: Product, name: str) -> None:
    """End each process of a part properly; wait for who comes in its place."""
    for pid in product.pids(name):
        os.kill(pid, signal.SIGTERM)
        eventually(lambda gone=pid: gone not in product.pids(name), seconds=100)
    eventually(lambda: product.devstack("up").returncode == 0, seconds=60)


def test_a_rolling_restart_under_load_fails_no_request(product: Product) -> None:
    make_holds_that_run_out(product, seconds=5)
    (before,) = product.pids("WEB_PID")
    port = int(product.env["SLOTBASE_URL"].rpartition(":")[2])
    with Load(product) as load:
        ledger = Ledger(product, load)
        # At the same address: two web servers may share a port on Linux.
        with product.another_web(port=port) as other:
            restart(product, "WEB_PID")
            restart(product, "WORKER_PIDS")
            restart(product, "BEAT_PID")
            other.process.send_signal(signal.SIGTERM)
            assert other.process.wait(60) == 0
        load.during(2)

    assert set(statuses(load.answers)) <= {200, 201, 204}
    assert product.pids("WEB_PID") != [before]
    eventually(lambda: not ledger.owed(), seconds=60)
    require_all_is_done(product, ledger)


def test_without_another_server_requests_would_fail(product: Product) -> None:
    """The positive control: the load notices an address where nobody listens."""
    with Load(product) as load:
        load.during(1)
        restart(product, "WEB_PID")

    assert NO_ANSWER in statuses(load.answers)


def test_a_web_server_that_is_told_to_end_finishes_what_it_began(
    product: Product,
) -> None:
    court = product.resource("court-1")
    slot = product.free_slot(court, days=17)
    headers = {
        "Authorization": f"Bearer {product.token(f'user_{uuid.uuid4().hex[:12]}')}",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with product.another_web() as web, ThreadPoolExecutor() as thread:

        def hold() -> requests.Response:
            address = f"{web.site}/api/v1/holds/"
            return requests.post(address, json=slot, headers=headers, timeout=30)

        with psycopg.connect(product.env["DATABASE_OWNER_URL"]) as other:
            lock = f"SELECT FROM bookings_resource WHERE id = {court} FOR UPDATE"
            other.execute(lock.encode())
            answer = thread.submit(hold)
            eventually(lambda: product.rows(waits)[0][0] > 0)
            web.process.send_signal(signal.SIGTERM)
            eventually(lambda: web.said("Shutting down"))
        assert answer.result().status_code == 201
        assert web.process.wait(30) == 0
        with pytest.raises(requests.ConnectionError):
            hold()


def test_a_worker_that_is_told_to_end_finishes_its_task(product: Product) -> None:
    delivery = (
        "SELECT attempts, deaths, status, lease_token IS NOT NULL"
        " FROM recovery_eventdelivery d JOIN recovery_outboxevent e"
        " ON e.id = d.event_id WHERE subject_id = %s AND subscriber = 'analytics'"
    )
    slowly = "outbox.called=sleep:4"
    with (
        paused(product, "WORKER_PIDS"),
        product.another_worker("ending", FAILPOINTS=slowly) as worker,
    ):
        wish = product.free_slot(product.resource("court-1"), days=18)
        who = f"user_{uuid.uuid4().hex[:12]}"
        hold = product.call("POST", "/api/v1/holds/", who, **wish).json()["id"]
        eventually(lambda: any(row[3] for row in product.rows(delivery, hold)))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0

        assert product.rows(delivery, hold) == [(1, 0, "DONE", False)]
