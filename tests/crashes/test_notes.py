"""`kill -9` at every point of enhancing notes, then sweeps only: nothing is lost.

A second call costs tokens, and harms nobody. What was taken of the budget stays taken.
"""

import pytest

from bookings.models import SessionFeedback, TokenBudget
from bookings.tasks import enhance_feedback
from recovery import invariants
from recovery.rowqueue import MAX_DEATHS
from slotbase.providers.breaker import Breaker
from slotbase.providers.openai import client
from tests.bookings.notes import calls, fault, now_of
from tests.bookings.sessions import NOTES, make_feedback
from tests.conftest import Sandbox
from tests.crashes.test_kill_points import kill
from tests.crashes.worker import KILLED, Workers, end_leases
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ENHANCE = "bookings.tasks.enhance_feedback"
# How often OpenAI is asked in all, if a worker dies once at each point.
POINTS = {
    "claimed": 1,
    "prepared": 1,
    "called": 2,
    "recorded": 2,
    "settled": 1,
}


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai"))


def require_done(row: SessionFeedback) -> None:
    now = now_of(row)
    assert (now.status, now.notes, now.next_run_at) == ("DONE", NOTES, None)
    assert now.enhanced_text != ""
    assert invariants.find_violations() == []


@pytest.mark.parametrize(("point", "asked"), POINTS.items())
def test_who_dies_is_taken_over_and_the_notes_are_enhanced(
    workers: Workers, sandbox: Sandbox, point: str, asked: int
) -> None:
    row = make_feedback()

    kill(workers, f"ai.{point}", 1, ENHANCE)
    enhance_feedback()

    require_done(row)
    assert calls(sandbox) == asked
    assert TokenBudget.objects.get().taken > 0


def test_who_dies_in_the_call_is_taken_over(workers: Workers, sandbox: Sandbox) -> None:
    row = make_feedback()
    fault(sandbox, "accept_then_hang", count=1)

    caller = workers.start(ENHANCE)
    eventually(lambda: calls(sandbox) == 1)
    assert workers.kill(caller) == KILLED
    assert now_of(row).status == "RUNNING"
    end_leases()
    enhance_feedback()

    require_done(row)


def test_notes_that_kill_their_workers_are_left_as_they_are(
    workers: Workers, sandbox: Sandbox
) -> None:
    row = make_feedback()

    kill(workers, "ai.prepared", MAX_DEATHS, ENHANCE)
    enhance_feedback()

    now = now_of(row)
    assert (now.status, now.fallback_reason) == ("FAILED", "UNAVAILABLE")
    assert now.notes == NOTES
    assert calls(sandbox) == 0


def test_who_dies_over_a_failure_is_taken_over(
    workers: Workers, sandbox: Sandbox
) -> None:
    row = make_feedback()
    fault(sandbox, "5xx", count=1)

    kill(workers, "ai.failed", 1, ENHANCE)
    enhance_feedback()

    require_done(row)
    assert calls(sandbox) == 2
