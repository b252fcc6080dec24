"""PostgreSQL lives and cannot do everything.

Its disk is full, it only reads, its connections are taken, or a table is locked: what
needs more gets 503, soon, and all goes on by itself when it can again.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

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
from tests.providers.signing import payload, signed

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
    [(data,)] = product.superuser("SHOW data_directory")
    product.superuser(FILL_DISK)
    [(path,)] = product.superuser("SELECT pg_relation_filepath('on_full_disk')")
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


def send_webhook(product: Product, event_id: str) -> requests.Response:
    """Stripe tells of something."""
    body, headers = signed(
        "stripe", payload("stripe", id=event_id, type="product.created")
    )
    address = f"{product.env['SLOTBASE_URL']}/webhooks/stripe/"
    return requests.post(address, data=body, headers=headers, timeout=30)


def require_politeness(load: Load) -> None:
    """Some were refused, and told when to come back; nobody met an error."""
    # Who asks again at once, and not when told to, is told that this is too much.
    assert set(statuses(load.answers)) <= {200, 201, 204, 503, 429}
    refused = [answer for answer in load.answers if answer.status == 503]
    assert refused
    assert all(int(answer.retry_after or 9) <= 5 for answer in refused)


@pytest.mark.parametrize(
    ("fault", "reads"),
    [(full_disk, True), (read_only, True), (no_connections, False)],
)
def test_what_cannot_be_done_now_is_answered_with_503_and_goes_on_by_itself(
    product: Product, fault: Fault, *, reads: bool
) -> None:
    alice = f"user_{uuid.uuid4().hex[:12]}"
    assert product.call("GET", "/api/v1/bookings/", alice).status_code == 200
    wish = product.free_slots(product.resource("court-1"), days=25)[0]
    make_holds_that_run_out(product, seconds=5)
    parts = {name: product.pids(name) for name in PARTS}
    with Load(product) as load:
        ledger = Ledger(product, load)
        load.during(1)
        with fault(product):
            disturbed = load.during(6)
            hold = product.call("POST", "/api/v1/holds/", alice, **wish)
            webhook = send_webhook(product, f"evt_{load.name}_extra")
            seen = product.call("GET", "/api/v1/bookings/", alice).status_code
            live = product.call("GET", "/health/live")
        load.during(3)

    require_politeness(load)
    assert (hold.status_code, webhook.status_code) == (503, 503)
    assert product.call("POST", "/api/v1/holds/", alice, **wish).status_code == 201
    again = send_webhook(product, f"evt_{load.name}_extra")
    assert (again.status_code, again.json()["duplicate"]) == (200, False)
    assert slowest(disturbed) < 4
    assert seen == (200 if reads else 503)
    assert (live.status_code, live.elapsed.total_seconds() < 1) == (200, True)
    assert parts == {name: product.pids(name) for name in PARTS}
    # What a worker had begun waits for the end of its lease.
    product.move_clock("+600s")
    eventually(lambda: not ledger.owed(), seconds=55)
    require_all_is_done(product, ledger)


@contextmanager
def locked(product: Product, statement: str) -> Iterator[None]:
    """A migration, or somebody who analyses, has what this locks."""
    with psycopg.connect(product.env["DATABASE_OWNER_URL"]) as other:
        other.execute(statement.encode())
        yield


def test_a_lock_costs_those_who_need_it_three_seconds_and_nobody_else(
    product: Product,
) -> None:
    alice = f"user_{uuid.uuid4().hex[:12]}"
    here, there = product.resource("court-1"), product.resource("room")
    first, second = product.free_slots(here, days=12)[:2]
    hold = product.call("POST", "/api/v1/holds/", alice, **first).json()
    due = make_holds_that_run_out(product, seconds=1)
    product.move_clock("reset")
    address = f"/api/v1/holds/{hold['id']}/confirm/"

    with locked(product, "LOCK TABLE bookings_booking IN ACCESS EXCLUSIVE MODE"):
        _require_three_seconds(product.call("POST", address, alice))
        assert product.free_slots(there, days=12)
        product.move_clock("+301s")
        eventually(lambda: _are_expired(product, due))
        product.move_clock("reset")
    of_here = f"SELECT FROM bookings_resource WHERE id = {here} FOR UPDATE"
    with locked(product, of_here):
        _require_three_seconds(product.call("POST", "/api/v1/holds/", alice, **second))
        elsewhere = product.free_slot(there, days=12)
        other = product.call("POST", "/api/v1/holds/", alice, **elsewhere)
        assert other.status_code == 201, other.text

    assert product.call("POST", "/api/v1/holds/", alice, **second).status_code == 201
    assert product.violations() == []


def _require_three_seconds(refused: requests.Response) -> None:
    assert (refused.status_code, refused.json()["code"]) == (503, "try_again")
    assert int(refused.headers["Retry-After"]) <= 5
    assert 2.9 < refused.elapsed.total_seconds() < 5


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
        locked(product, "LOCK TABLE accounts_venue IN ACCESS EXCLUSIVE MODE"),
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
