"""Two beats at once: twice the wake-ups, and every effect once."""

import os
import signal

import pytest

from slotbase.schedule import SCHEDULE
from tests.crashes.load import (
    Ledger,
    Load,
    make_holds_that_run_out,
    require_all_is_done,
)
from tests.product import Product, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

BEAT = ("-m", "celery", "-A", "slotbase.celery", "beat", "--pidfile=")


def expiries(product: Product, holds: list[str]) -> list[int]:
    """How often each of these holds expired."""
    rows = product.rows(
        "SELECT count(*) FROM recovery_auditentry WHERE action = 'hold.expired'"
        " AND subject_id = ANY(%s) GROUP BY subject_id",
        holds,
    )
    return [number for (number,) in rows]


def test_two_beats_do_no_harm_and_one_of_them_is_enough(product: Product) -> None:
    second = product.program(*BEAT)
    try:
        holds = make_holds_that_run_out(product, seconds=3)
        with Load(product) as load:
            ledger = Ledger(product, load)
            load.during(10)
        eventually(lambda: not ledger.owed(), seconds=60)
        assert second.poll() is None
    finally:
        os.kill(second.pid, signal.SIGKILL)
        second.communicate()

    assert expiries(product, holds) == [1] * len(holds)
    require_all_is_done(product, ledger)
    entries = product.rows("SELECT name FROM django_celery_beat_periodictask")
    assert {name for (name,) in entries} == set(SCHEDULE)

    product.move_clock("reset")
    more = make_holds_that_run_out(product, seconds=1)
    eventually(lambda: expiries(product, more) == [1] * len(more), seconds=60)
