"""Redis is flushed, gone, frozen or full while customers work: they do not notice."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
import redis

from slotbase.schedule import QUEUES
from tests.crashes.load import (
    Ledger,
    Load,
    make_holds_that_run_out,
    median,
    require_all_is_done,
    slowest,
)
from tests.product import Product, eventually
from tests.signals import (
    are_stopped_between_transactions,
    workers_paused_between_transactions,
)

pytestmark = pytest.mark.stack

Fault = Callable[[Product], AbstractContextManager[None]]


def broker(product: Product) -> redis.Redis:
    return redis.from_url(product.env["REDIS_URL"])


@contextmanager
def flushed(product: Product) -> Iterator[None]:
    """FLUSHALL, and once more when the workers have let hundreds of tasks pile up."""
    with broker(product) as client:
        client.flushall()
        with workers_paused_between_transactions(product):
            yield
            assert sum(client.llen(queue) for queue in QUEUES) >= 200
            client.flushall()


@contextmanager
def refused(product: Product) -> Iterator[None]:
    """Nobody listens, since the supervisor that would start it again is stopped."""
    product.signal("SUPERVISOR_PID", signal.SIGSTOP)
    product.signal("VALKEY_PID", signal.SIGKILL)
    try:
        yield
    finally:
        product.signal("SUPERVISOR_PID", signal.SIGCONT)


@contextmanager
def frozen(product: Product) -> Iterator[None]:
    """It takes connections and does not answer."""
    product.signal("VALKEY_PID", signal.SIGSTOP)
    try:
        yield
    finally:
        product.signal("VALKEY_PID", signal.SIGCONT)


@contextmanager
def full(product: Product) -> Iterator[None]:
    """It takes no more, rather than forget what it has."""
    with broker(product) as client:
        client.config_set("maxmemory", "1mb")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("fault", "seconds", "survived"),
    # A worker ends when it cannot say what it did; the supervisor starts another one.
    [
        (flushed, 15, True),
        (refused, 20, True),
        (frozen, 30, True),
        (full, 15, False),
    ],
)
def test_customers_do_not_notice_and_all_is_done_within_a_minute(
    product: Product, fault: Fault, seconds: int, *, survived: bool
) -> None:
    make_holds_that_run_out(product, seconds=20)
    workers_and_beat = product.pids("WORKER_PIDS") + product.pids("BEAT_PID")
    with Load(product) as load:
        ledger = Ledger(product, load)
        undisturbed = load.during(10)
        with fault(product):
            disturbed = load.during(seconds)
            assert set(ledger.owed()) == {"holds", "webhooks", "deliveries"}
        load.during(5)

    eventually(lambda: not ledger.owed(), seconds=55)
    if survived:
        now = product.pids("WORKER_PIDS") + product.pids("BEAT_PID")
        assert now == workers_and_beat
    assert [each for each in load.answers if each.status not in {200, 201, 204}] == []
    assert slowest(load.answers) < 10
    assert median(disturbed) <= 2 * median(undisturbed)
    require_all_is_done(product, ledger)


def test_a_transaction_that_a_stopped_worker_would_keep_open_is_seen(
    product: Product,
) -> None:
    try:
        with psycopg.connect(product.env["DATABASE_URL"]) as as_a_worker:
            as_a_worker.execute("SELECT 1")
            assert not are_stopped_between_transactions(product)
        eventually(lambda: are_stopped_between_transactions(product), seconds=30)
    finally:
        product.signal("WORKER_PIDS", signal.SIGCONT)
