"""The running product tells of its own parts: what is dead cannot do it."""

import signal
from collections.abc import Iterator

import pytest

from tests.product import Product, eventually, started

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

HEARD_OF_BEAT = "SELECT 1 FROM recovery_heartbeat WHERE starts_with(name, 'beat@')"


@pytest.fixture
def product() -> Iterator[Product]:
    """One of its own: what was told a while ago is not told again."""
    with started() as product:
        eventually(lambda: product.rows(HEARD_OF_BEAT))
        yield product


def told(product: Product) -> str:
    """All that whoever is on call was told."""
    return str(product.sandbox("effects", provider="alerts")["effects"])


def test_web_processes_tell_of_a_dead_beat_without_beat_workers_and_redis(
    product: Product,
) -> None:
    words = "Beat has been silent for two minutes"
    for name in ("WORKER_PIDS", "BEAT_PID", "VALKEY_PID"):
        product.signal(name, signal.SIGSTOP)

    product.move_clock("+125s")

    eventually(lambda: words in told(product), seconds=60)
