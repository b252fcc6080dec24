"""The doctor of a running product: well when it is, and it ends whatever hangs."""

import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.crashes.test_health_while_all_hangs import hanging
from tests.product import Product, eventually, started

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """One of its own: what other tests did is not well."""
    with started() as product:
        yield product


def diagnosis(product: Product) -> Any:
    """What `manage.py doctor --json` says, with its exit code."""
    process = product.program("manage.py", "doctor", "--json")
    output, _ = process.communicate(timeout=200)
    return {"code": process.returncode, **json.loads(output)}


def said(product: Product) -> str:
    """All that is wrong."""
    return "\n".join(each["says"] for each in diagnosis(product)["findings"])


def require_well(product: Product) -> Any:
    """Soon nothing is wrong: a part may not have given its first sign of life."""
    seen: list[Any] = []

    def is_well() -> bool:
        seen.append(diagnosis(product))
        return bool(seen[-1]["is_well"])

    with suppress(AssertionError):
        eventually(is_well, seconds=150)
    assert seen[-1]["findings"] == []
    return seen[-1]


def test_a_running_product_is_well(product: Product) -> None:
    found = require_well(product)

    assert (found["code"], found["findings"], found["skipped"]) == (0, [], [])
    assert {"parts", "schedule", "invariants", "guard of the audit"} <= {*found["well"]}


def test_what_somebody_paused_or_moved_is_named(product: Product) -> None:
    require_well(product)
    pause = "UPDATE django_celery_beat_periodictask SET enabled = %s WHERE name = %s"
    product.rows(f"{pause} RETURNING 1", False, "empty old mails")
    product.move_clock("+1h")
    try:
        text = said(product)
    finally:
        product.rows(f"{pause} RETURNING 1", True, "empty old mails")
        product.move_clock("reset")

    assert "Somebody paused: empty old mails." in text
    assert "The clock has been moved" in text


def test_parts_that_do_not_live_are_named(product: Product) -> None:
    parts = ("WORKER_PIDS", "BEAT_PID")
    for name in parts:
        product.signal(name, signal.SIGSTOP)
    product.rows("DELETE FROM recovery_heartbeat RETURNING 1")
    text = said(product)
    for name in parts:
        product.signal(name, signal.SIGCONT)

    assert "Worker: No worker serves money" in text
    assert "Beat: Beat has never given a sign of life" in text


def test_while_everything_hangs_the_doctor_ends_and_names_it(product: Product) -> None:
    with hanging(product):
        found = diagnosis(product)

    says = "\n".join(each["says"] for each in found["findings"])
    assert found["code"] == 1
    assert "Database: It does not answer." in says
    assert "Redis: No answer of the broker and the cache." in says
    assert {"clock", "invariants", "schedule"} <= {*found["skipped"]}
