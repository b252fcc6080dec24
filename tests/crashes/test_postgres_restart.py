"""PostgreSQL is restarted at once, without a clean end, while customers work."""

import signal

import pytest

from slotbase.schedule import HEARTBEAT_SECONDS, QUEUES
from tests.crashes.load import (
    NO_ANSWER,
    Ledger,
    Load,
    make_holds_that_run_out,
    require_all_is_done,
    slowest,
    statuses,
)
from tests.product import Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PARTS = ("WEB_PID", "WORKER_PIDS", "BEAT_PID")
EXPECTED = {200, 201, 204, 503, NO_ANSWER}


def signs_of_life(product: Product) -> dict[str, str]:
    """When beat and each queue were last heard of."""
    return dict(product.rows("SELECT name, beat_at::text FROM recovery_heartbeat"))


def are_all_alive(product: Product, before: dict[str, str]) -> bool:
    """Whether beat and a worker of every queue were heard of since."""
    heard = {
        name.split()[-1].split("@")[0]
        for name, at in signs_of_life(product).items()
        if before.get(name) != at
    }
    return heard >= {"beat", *QUEUES}


def test_requests_succeed_or_get_503_and_every_process_recovers(
    product: Product,
) -> None:
    make_holds_that_run_out(product, seconds=15)
    parts = {name: product.pids(name) for name in PARTS}
    with Load(product) as load:
        ledger = Ledger(product, load)
        load.during(5)
        before = signs_of_life(product)
        product.signal("POSTGRES_PID", signal.SIGQUIT)
        load.during(20)

    assert set(statuses(load.answers)) <= EXPECTED
    assert all(a.retry_after for a in load.answers if a.status == 503)
    assert slowest(load.answers) < 10
    # They beat every half minute; nobody was started anew.
    eventually(lambda: are_all_alive(product, before), seconds=HEARTBEAT_SECONDS + 30)
    assert parts == {name: product.pids(name) for name in PARTS}
    # What a worker had begun waits for the end of its lease.
    product.move_clock("+600s")
    eventually(lambda: not ledger.owed(), seconds=55)
    require_all_is_done(product, ledger)
