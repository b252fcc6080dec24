"""PostgreSQL lives and cannot do everything: its disk is full, it only reads, it is full
of connections, or a table is locked. Requests that need more get 503, soon, and all goes
on by itself when it can again."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.crashes.load import (
    Ledger,
    Load,
    make_holds_that_run_out,
    require_all_is_done,
    slowest,
    statuses,
)
from tests.product import Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

Fault = Callable[[Product], AbstractContextManager[None]]
PARTS = ("WEB_PID", "WORKER_PIDS", "BEAT_PID")
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = 'slotbase_app'"
)
# What every change, and every webhook, writes into.
WRITTEN = ("recovery_auditentry", "recovery_inboxevent")
FILL_DISK = """
CREATE TABLE on_full_disk (n integer);
CREATE FUNCTION write_to_full_disk() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER AS $$
    BEGIN INSERT INTO on_full_disk VALUES (1); RETURN NEW; END $$
"""


@contextmanager
def full_disk(product: Product) -> Iterator[None]:
    """Writing fails as it does then: the file system says ENOSPC.

    A table lies on /dev/full, the disk that is always full, and whoever writes into one
    of ours writes into that one, too. A small disk of its own would need root.
    """
    [(data,)] = _ask(product, "SHOW data_directory")
    product.superuser(FILL_DISK)
    [(path,)] = _ask(product, "SELECT pg_relation_filepath('on_full_disk')")
    file = Path(data, path)
    file.unlink()
    file.symlink_to("/dev/full")
    try:
        for table in WRITTEN:
            product.superuser(
                f"CREATE TRIGGER full_disk BEFORE INSERT ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION write_to_full_disk()"
            )
        yield
    finally:
        product.superuser(
            "DROP FUNCTION write_to_full_disk CASCADE", "DROP TABLE on_full_disk"
        )


def _ask(product: Product, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(product.superuser_address, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


@contextmanager
def read_only(product: Product) -> Iterator[None]:
    """As after a failover to a copy that is not yet in charge."""
    product.superuser(
        "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
    )
    try:
        yield
    finally:
        product.superuser(
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )


@contextmanager
def no_connections(product: Product) -> Iterator[None]:
    """Others have taken every connection that there is."""
    product.superuser("ALTER ROLE slotbase_app CONNECTION LIMIT 0", END_SESSIONS)
    try:
        yield
    finally:
        product.superuser("ALTER ROLE slotbase_app CONNECTION LIMIT -1")


@pytest.mark.parametrize(
    ("fault", "reads"),
    [(full_disk, True), (read_only, True), (no_connections, False)],
)
def test_what_cannot_be_done_now_is_answered_with_503_and_goes_on_by_itself(
    product: Product, fault: Fault, *, reads: bool
) -> None:
    alice = f"user_{uuid.uuid4().hex[:12]}"
    assert product.call("GET", "/api/v1/bookings/", alice).status_code == 200
    make_holds_that_run_out(product, seconds=5)
    parts = {name: product.pids(name) for name in PARTS}
    with Load(product) as load:
        ledger = Ledger(product, load)
        load.during(1)
        with fault(product):
            disturbed = load.during(6)
            seen = product.call("GET", "/api/v1/bookings/", alice).status_code
            live = product.call("GET", "/health/live")
        healed = time.monotonic()
        load.during(3)

    assert set(statuses(load.answers)) <= {200, 201, 204, 503}
    refused = [answer for answer in load.answers if answer.status == 503]
    assert {"hold", "webhook"} <= {answer.what for answer in refused}
    assert all(int(answer.retry_after or 9) <= 5 for answer in refused)
    assert slowest(disturbed) < 4
    assert seen == (200 if reads else 503)
    assert (live.status_code, live.elapsed.total_seconds() < 1) == (200, True)
    late = [answer for answer in refused if answer.at > healed + 10]
    assert late == []
    assert parts == {name: product.pids(name) for name in PARTS}
    # What a worker had begun waits for the end of its lease.
    product.move_clock("+600s")
    eventually(lambda: not ledger.owed(), seconds=55)
    require_all_is_done(product, ledger)


@contextmanager
def locked(product: Product, table: str) -> Iterator[None]:
    """A migration, or somebody who analyses, has the table."""
    with psycopg.connect(product.env["DATABASE_OWNER_URL"]) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


def test_a_locked_table_costs_its_own_requests_three_seconds_and_no_others(
    product: Product,
) -> None:
    alice = f"user_{uuid.uuid4().hex[:12]}"
    first, second = product.free_slots(product.resource("court-1"), days=12)[:2]
    hold = product.call("POST", "/api/v1/holds/", alice, **first).json()
    due = make_holds_that_run_out(product, seconds=1)
    product.move_clock("reset")
    keyed = {
        "Authorization": f"Bearer {product.token(alice)}",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    site = product.env["SLOTBASE_URL"]

    def confirm() -> requests.Response:
        address = f"{site}/api/v1/holds/{hold['id']}/confirm/"
        return requests.post(address, json={}, headers=keyed, timeout=30)

    with locked(product, "bookings_booking"):
        refused = confirm()
        assert refused.status_code == 503, refused.text
        assert 2.9 < refused.elapsed.total_seconds() < 5
        other = product.call("POST", "/api/v1/holds/", alice, **second)
        assert other.status_code == 201, other.text
        product.move_clock("+301s")
        eventually(lambda: _are_expired(product, due))
        product.move_clock("reset")

    assert confirm().status_code == 201
    assert product.violations() == []


def _are_expired(product: Product, holds: list[str]) -> bool:
    sql = "SELECT status FROM bookings_bookinghold WHERE id = ANY(%s)"
    return {status for (status,) in product.rows(sql, holds)} == {"EXPIRED"}


def test_when_every_thread_waits_for_a_lock_the_rest_is_refused_at_once(
    product: Product,
) -> None:
    site = product.env["SLOTBASE_URL"]

    def look(path: str) -> requests.Response:
        return requests.get(f"{site}{path}", timeout=30)

    slow = "/api/v1/venues/"
    with (
        ThreadPoolExecutor(100) as crowd,
        locked(product, "accounts_venue"),
    ):
        waiting = [crowd.submit(look, slow) for _ in range(100)]
        time.sleep(1.5)  # the patience of a process, and a half
        lives = [look("/health/live") for _ in range(4)]
        answers = [each.result() for each in waiting]

    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["Retry-After"] for answer in answers)
    times = sorted(answer.elapsed.total_seconds() for answer in answers)
    assert times[-1] < 8
    assert [live.status_code for live in lives] == [200] * 4
    assert max(live.elapsed.total_seconds() for live in lives) < 2
    eventually(lambda: look(slow).status_code == 200, seconds=10)
