"""The line to PostgreSQL breaks in a transaction, or right after its end: one effect.

Nobody can say whether a COMMIT was done whose answer is lost: "error" never means "did
not happen". A customer's key and a worker's lease know.
"""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.db import connection

from tests.conftest import Sandbox
from tests.crashes.test_kill_points import DELIVER, require_all_is_well, settled, sweep
from tests.crashes.test_paused_worker import refused
from tests.crashes.worker import (
    CONFIRMED,
    PAUSED,
    Workers,
    delivery_to,
    effects,
    end_leases,
)
from tests.faultproxy import FaultProxy
from tests.product import Product
from tests.row_queue import make_due, publish

in_tests_database = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def line() -> Iterator[FaultProxy]:
    """What the workers of this page talk to PostgreSQL through."""
    with FaultProxy(os.environ["DATABASE_URL"]) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def _far_parent(django_db_setup: None, line: FaultProxy) -> Iterator[Workers]:
    parent = Workers(connection.settings_dict["NAME"], line.address)
    yield parent
    parent.close()


@pytest.fixture
def far_workers(_far_parent: Workers, workers: Workers) -> Iterator[Workers]:
    """Workers behind the proxy."""
    yield _far_parent
    _far_parent.kill_all()


def pause(far_workers: Workers) -> int:
    """A worker that stops right before it commits what it did."""
    point = "outbox.recorded=stop"
    pid = far_workers.start(DELIVER, failpoints=point, subscriber="tester")
    assert far_workers.wait(pid) == PAUSED
    return pid


@in_tests_database
def test_a_worker_whose_commit_was_not_answered_had_one_effect(
    far_workers: Workers, sandbox: Sandbox, line: FaultProxy
) -> None:
    publish("a", event=CONFIRMED)
    worker = pause(far_workers)
    line.drop_reply()

    assert far_workers.go_on(worker) == 0

    assert line.was_dropped.is_set()
    assert effects() == ["a"]
    assert delivery_to("tester").items() >= settled("DONE", deaths=0).items()
    # It wanted to record a failure; the lease was gone with the commit.
    assert len(refused("outbox")) == 1
    assert far_workers.run(DELIVER, subscriber="tester") == 0
    assert effects() == ["a"]
    sweep()
    require_all_is_well(sandbox)


@in_tests_database
def test_who_takes_a_lost_answer_for_a_failure_has_two_effects(
    far_workers: Workers, line: FaultProxy
) -> None:
    """The positive control: what failed is done again, without a row that knows."""
    insist = "tests.crashes.worker.insist_on_effect"
    pid = far_workers.start(insist, failpoints="effect.left=stop", subject="a")
    assert far_workers.wait(pid) == PAUSED
    line.drop_reply()

    assert far_workers.go_on(pid) == PAUSED  # it comes there again
    assert far_workers.go_on(pid) == 0

    assert effects() == ["a", "a"]


@in_tests_database
def test_a_worker_whose_line_breaks_in_the_transaction_had_no_effect_and_tries_again(
    far_workers: Workers, sandbox: Sandbox, line: FaultProxy
) -> None:
    publish("a", event=CONFIRMED)
    worker = pause(far_workers)
    line.reset()

    assert far_workers.go_on(worker) == 0
    assert effects() == []
    assert delivery_to("tester")["lease_token"] is None
    make_due()
    assert far_workers.run(DELIVER, subscriber="tester") == 0

    assert effects() == ["a"]
    sweep()
    require_all_is_well(sandbox)


@in_tests_database
def test_a_claim_whose_commit_was_not_answered_is_taken_over(
    far_workers: Workers, workers: Workers, sandbox: Sandbox, line: FaultProxy
) -> None:
    publish("a", event=CONFIRMED)
    line.drop_reply()

    with pytest.raises(AssertionError, match="OperationalError"):
        far_workers.run(DELIVER, subscriber="tester")
    assert line.was_dropped.is_set()
    assert delivery_to("tester")["lease_token"] is not None
    end_leases()
    assert workers.run(DELIVER, subscriber="tester") == 0

    assert effects() == ["a"]
    assert delivery_to("tester").items() >= settled("DONE", deaths=1).items()
    sweep()
    require_all_is_well(sandbox)


def holds_of(product: Product, slot: dict[str, Any]) -> int:
    [(number,)] = product.rows(
        "SELECT count(*) FROM bookings_bookinghold"
        " WHERE resource_id = %s AND start_time = %s",
        *(slot["resource"], slot["start_time"]),
    )
    return int(number)


@pytest.mark.stack
def test_a_customer_whose_answer_was_lost_repeats_the_request_and_has_one_hold(
    product: Product,
) -> None:
    headers = {"Authorization": f"Bearer {product.token(f'user_{uuid.uuid4().hex}')}"}
    kept, lost, again = product.free_slots(product.resource("court-1"), days=9)[:3]
    with (
        FaultProxy(product.env["DATABASE_URL"]) as line,
        product.another_web(DATABASE_URL=line.address) as web,
    ):

        def hold(slot: dict[str, Any], key: str) -> requests.Response:
            keyed = headers | {"Idempotency-Key": key}
            address = f"{web.site}/api/v1/holds/"
            return requests.post(address, json=slot, headers=keyed, timeout=30)

        assert hold(kept, "kept").status_code == 201
        line.drop_reply()
        unsure = hold(lost, "lost")
        assert line.was_dropped.is_set()
        assert (unsure.status_code, unsure.json()["code"]) == (503, "try_again")
        assert int(unsure.headers["Retry-After"]) <= 5
        assert holds_of(product, lost) == 1  # it was done, though nobody said so
        repeated = hold(lost, "lost")
        assert repeated.status_code == 201
        assert repeated.headers["Idempotent-Replayed"] == "true"
        assert holds_of(product, lost) == 1

        line.set("refuse")
        line.reset()
        undone = hold(again, "again")
        assert undone.status_code == 503
        assert holds_of(product, again) == 0
        line.set("pass")
        repeated = hold(again, "again")
        assert repeated.status_code == 201
        assert "Idempotent-Replayed" not in repeated.headers
    assert product.violations() == []
