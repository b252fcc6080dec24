"""`kill -9` at each boundary of each step, forward and back: one end, one effect.

Each test takes some turns, lets a worker die in the next one, lets the time of its
lease pass, and sweeps.
"""

from typing import Any

import pytest

from recovery import invariants
from recovery.models import AuditEntry, Case
from recovery.rowqueue import MAX_DEATHS
from tests.crashes import saga
from tests.crashes.test_kill_points import AFTER_COMMIT, OF_A_FAILURE, WITH_A_LEASE
from tests.crashes.worker import KILLED, PAUSED, Workers
from tests.workflow import (
    STEPS,
    effects,
    end_leases,
    start,
    states,
    take_one_turn,
    the_run,
)

pytestmark = pytest.mark.django_db(transaction=True)

ADVANCE, BEGIN = "tests.crashes.saga.advance", "tests.crashes.saga.begin"
OF_A_SUCCESS = (*WITH_A_LEASE, "settled")
BACK = ["undo charge", "undo reserve"]


def begin(fails: str = "", *, turns: int = 0) -> None:
    """A run of which so many turns are taken."""
    with saga.known(fails):
        start()
        for _ in range(turns):
            take_one_turn()


def kill(workers: Workers, point: str, task: str = ADVANCE, **arguments: Any) -> None:
    """A worker dies there, and time passes."""
    end = workers.run(task, failpoints=f"{point}=kill", **arguments)
    assert end == KILLED, f"{task} does not come to {point}"
    end_leases()


def sweep(fails: str = "", **how: Any) -> None:
    """What living workers do; twice, as it goes on for ever."""
    for _ in range(2):
        saga.advance(fails, **how)


def require_end(status: str, *happened: str, asked: tuple[str, ...] = ()) -> None:
    """How it ended: each effect once, here and at the provider, and the rules hold."""
    run = the_run()
    assert run.status == status
    assert (run.next_run_at, run.lease_token) == (None, None)
    assert effects() == list(happened)
    assert saga.asked(run) == list(asked or happened)
    told = AuditEntry.objects.filter(action__startswith="workflow.step_")
    assert told.count() == len(asked or happened)
    assert invariants.find_violations() == []


@pytest.mark.parametrize("turns", range(len(STEPS)))
@pytest.mark.parametrize("point", OF_A_SUCCESS)
def test_on_the_way_forward_each_step_has_its_effect_once(
    workers: Workers, point: str, turns: int
) -> None:
    begin(turns=turns)

    kill(workers, f"workflow.{point}")
    assert effects() == list(STEPS[: turns + (point == "settled")])
    sweep()

    require_end("DONE", *STEPS)
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    ("point", "turns"),
    [
        *((point, 1) for point in OF_A_FAILURE),
        *((point, turns) for point in OF_A_SUCCESS for turns in (2, 3)),
    ],
)
def test_on_the_way_back_each_compensation_has_its_effect_once(
    workers: Workers, point: str, turns: int
) -> None:
    begin("charge", turns=turns)

    kill(workers, f"workflow.{point}", fails="charge")
    sweep("charge")

    asked = ("reserve", "charge", *BACK)
    require_end("COMPENSATED", "reserve", *BACK, asked=asked)
    assert states()["ship"] == "PENDING"
    assert not Case.objects.exists()


@pytest.mark.parametrize("point", OF_A_FAILURE)
def test_a_run_that_is_stuck_has_one_case(workers: Workers, point: str) -> None:
    begin("ship", turns=2)

    kill(workers, f"workflow.{point}", fails="ship")
    sweep("ship")

    assert (the_run().status, effects()) == ("RUNNING", list(STEPS[:2]))
    assert Case.objects.get().occurrences == 1
    assert invariants.find_violations() == []


def test_workers_that_die_after_each_step_come_to_the_same_end(
    workers: Workers,
) -> None:
    begin("charge")

    for _ in range(4):
        kill(workers, "workflow.settled", fails="charge")

    asked = ("reserve", "charge", *BACK)
    require_end("COMPENSATED", "reserve", *BACK, asked=asked)


@pytest.mark.parametrize("point", ["called", "recorded"])
def test_a_step_that_kills_its_workers_turns_the_run_back(
    workers: Workers, point: str
) -> None:
    begin(turns=1)

    for _ in range(MAX_DEATHS):
        kill(workers, f"workflow.{point}")
    sweep()

    asked = ("reserve", "charge", *BACK)
    require_end("COMPENSATED", "reserve", *BACK, asked=asked)


def test_a_step_that_kills_its_workers_after_the_pivot_waits_for_a_person(
    workers: Workers,
) -> None:
    begin(turns=2)

    for _ in range(MAX_DEATHS):
        kill(workers, "workflow.called")
    sweep()

    assert (the_run().status, the_run().next_run_at) == ("RUNNING", None)
    assert Case.objects.get().cause == "Its worker died three times."
    assert effects() == list(STEPS[:2])
    assert invariants.find_violations() == []


def test_a_run_that_was_committed_goes_on_though_its_service_died_at_once(
    workers: Workers,
) -> None:
    kill(workers, AFTER_COMMIT, BEGIN, subject="1")
    assert effects() == ["begin"]

    sweep()

    require_end("DONE", "begin", *STEPS, asked=STEPS)


# PostgreSQL ends the transaction of one that is paused later, long before its lease
# runs out (idle_in_transaction_session_timeout): that is as if it had been killed.
@pytest.mark.parametrize("point", ["claimed", "called"])
def test_a_worker_that_was_paused_past_its_lease_changes_nothing(
    workers: Workers, point: str
) -> None:
    begin()
    late = workers.start(ADVANCE, failpoints=f"workflow.{point}=stop")
    assert workers.wait(late) == PAUSED
    end_leases()

    assert workers.run(ADVANCE) == 0
    assert workers.go_on(late) == 0

    require_end("DONE", *STEPS)
    refused = AuditEntry.objects.get(action="late_record_refused")
    assert (refused.actor_id, refused.subject_id) == ("workflow", str(the_run().pk))


# Positive control.


def test_an_effect_outside_of_the_recording_transaction_would_happen_twice(
    workers: Workers,
) -> None:
    begin()

    kill(workers, "workflow.called", careless=True)
    sweep(careless=True)

    assert effects() == ["reserve", *STEPS]
    assert the_run().status == "DONE"
