"""The running product tells of its own parts: what is dead cannot do it."""

import signal

import pytest

from tests.product import Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def told(product: Product) -> str:
    """All that whoever is on call was told."""
    return str(product.sandbox("effects", provider="alerts")["effects"])


def test_web_processes_tell_of_a_dead_beat_without_beat_workers_and_redis(
    product: Product,
) -> None:
    words = "Beat has been silent for two minutes"
    before = told(product).count(words)
    for name in ("WORKER_PIDS", "BEAT_PID", "VALKEY_PID"):
        product.signal(name, signal.SIGSTOP)

    product.move_clock("+125s")

    eventually(lambda: told(product).count(words) > before, seconds=60)
