"""Everything is restarted while customers work: no request fails, no task is lost."""

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import requests

from tests.crashes.load import (
    Ledger,
    Load,
    make_holds_that_run_out,
    require_all_is_done,
    statuses,
)
from tests.product import Product, eventually
from tests.signals import paused

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


def times_replaced(product: Product) -> int:
    """How many web processes have ended after a new one took their place."""
    log = (product.folder / "logs" / "web.log").read_text(errors="replace")
    return log.count("Stopped old worker-")


def test_a_rolling_restart_under_load_fails_no_request(product: Product) -> None:
    make_holds_that_run_out(product, seconds=5)
    (web,), workers, before = (
        product.pids("WEB_PID"),
        product.pids("WORKER_PIDS"),
        times_replaced(product),
    )
    with Load(product) as load:
        ledger = Ledger(product, load)
        load.during(2)
        os.kill(web, signal.SIGHUP)
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
            eventually(lambda pid=worker: pid not in product.pids("WORKER_PIDS"))
            load.during(2)
        os.kill(*product.pids("BEAT_PID"), signal.SIGTERM)
        eventually(lambda: times_replaced(product) == before + 2, seconds=60)
        load.during(2)

    assert set(statuses(load.answers)) <= {200, 201, 204}
    assert product.pids("WEB_PID") == [web]
    eventually(lambda: not ledger.owed(), seconds=60)
    require_all_is_done(product, ledger)


def test_a_web_server_that_is_told_to_end_finishes_what_it_began(
    product: Product,
) -> None:
    court = product.resource("court-1")
    slot = product.free_slot(court, days=17)
    headers = {
        "Authorization": f"Bearer {product.token(f'user_{uuid.uuid4().hex[:12]}')}",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND usename = 'slotbase_app'"
    )
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
    product.rows("SELECT 1")
    pending = (
        "SELECT attempts, deaths, status, lease_token IS NOT NULL"
        " FROM recovery_eventdelivery d JOIN recovery_outboxevent e"
        " ON e.id = d.event_id WHERE subject_id = %s AND subscriber = 'analytics'"
    )
    slow = {"provider": "analytics", "operation": "event", "fault": "slow"}
    with (
        paused(product, "WORKER_PIDS"),
        product.another_worker("ending") as worker,
    ):
        address = f"{product.env['SANDBOX_URL']}/_sandbox/faults"
        requests.post(address, json={**slow, "seconds": 4}, timeout=5)
        wish = product.free_slot(product.resource("court-1"), days=18)
        who = f"user_{uuid.uuid4().hex[:12]}"
        hold = product.call("POST", "/api/v1/holds/", who, **wish).json()["id"]
        eventually(lambda: any(row[3] for row in product.rows(pending, hold)))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0
        requests.delete(address, timeout=5)

        assert product.rows(pending, hold) == [(1, 0, "DONE", False)]
