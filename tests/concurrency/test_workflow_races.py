"""Several workers at one workflow: each step has one effect, no case is left over."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from recovery import locks, rowqueue, runs, workflows
from recovery.errors import WorkflowIsRunning
from recovery.models import Case, WorkflowRun
from recovery.tasks import advance_workflows
from slotbase.lib.clock import read_clock
from tests.concurrency.race import at_once, errors_in
from tests.workflow import (
    STEPS,
    Script,
    effects,
    registered,
    start,
    take_one_turn,
    the_run,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 10


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    with registered(script):
        yield script


def test_three_workers_at_one_run_take_each_step_once(script: Script) -> None:
    for number in range(ROUNDS):
        run_id = str(start(str(number)))

        outcomes = at_once([lambda each=run_id: advance_workflows(id=each)] * 3)

        assert errors_in(outcomes) == []
        workflows.advance()  # whoever came second may have found it at work
    assert effects() == list(STEPS) * ROUNDS
    assert set(WorkflowRun.objects.values_list("status", flat=True)) == {"DONE"}


def test_three_workers_on_the_way_back_undo_each_step_once(script: Script) -> None:
    script.fails["charge"] = ValueError()
    for number in range(ROUNDS):
        run_id = str(start(str(number)))

        at_once([lambda each=run_id: advance_workflows(id=each)] * 3)

        workflows.advance()
    assert effects() == ["reserve", "undo charge", "undo reserve"] * ROUNDS
    assert set(WorkflowRun.objects.values_list("status", flat=True)) == {"COMPENSATED"}


def test_without_the_lease_a_step_would_have_three_effects(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the claim without its lock and its lease."""
    careless = locks._CLAIM.replace("FOR UPDATE SKIP LOCKED", "").replace(
        "AND (lease_until IS NULL OR lease_until <= (SELECT slotbase_now()))", ""
    )
    monkeypatch.setattr(locks, "_CLAIM", careless)
    monkeypatch.setattr("recovery.rowqueue.give_back_lease", lambda *_: None)
    barrier, call = threading.Barrier(3, timeout=10), script._call

    def meet(name: str, run: WorkflowRun) -> str:
        barrier.wait()
        return call(name, run)

    monkeypatch.setattr(script, "_call", meet)
    start()

    at_once([take_one_turn] * 3)

    assert effects() == ["reserve"] * 3


def test_of_two_that_start_it_for_one_subject_one_is_refused(script: Script) -> None:
    for number in range(ROUNDS):
        outcomes = at_once([lambda each=number: start(str(each))] * 2)

        assert [type(each) for each in errors_in(outcomes)] == [WorkflowIsRunning]


def test_without_the_constraint_there_would_be_two(script: Script) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX recovery_workflow_once")
    try:
        start("1")
        start("1")
        assert WorkflowRun.objects.count() == 2
    finally:
        WorkflowRun.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE UNIQUE INDEX recovery_workflow_once ON recovery_workflowrun"
                " (name, subject_type, subject_id) WHERE finished_at IS NULL"
            )


def finish_while_the_late_are_reported(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """A run comes to its end at the moment at which it is found to be late."""
    start(done=STEPS)
    WorkflowRun.objects.update(limit_at=read_clock())
    reported, close = [], runs.cases.close_by_itself

    def close_and_let_report(*values: Any) -> None:
        close(*values)
        if not reported:
            reported.extend(at_once([lambda: runs.report_late_runs(limit=10)]))

    monkeypatch.setattr(runs.cases, "close_by_itself", close_and_let_report)
    workflows.advance()
    assert the_run().status == "DONE"
    return reported


def test_no_case_is_opened_about_a_run_that_is_just_finished(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finish_while_the_late_are_reported(script, monkeypatch) == [0]
    assert not Case.objects.exists()


def test_without_the_lock_a_finished_run_would_keep_its_case(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "lock_run", lambda _: None)

    assert finish_while_the_late_are_reported(script, monkeypatch) == [1]
    assert Case.objects.get().status == "OPEN"


def test_a_case_that_is_just_being_opened_is_closed_by_the_end(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(done=STEPS)
    WorkflowRun.objects.update(limit_at=read_clock())
    claimed = rowqueue._claim(workflows.QUEUE, {}, due_before=read_clock())
    assert claimed is not None
    has_lock, open_case = threading.Event(), runs.open_case

    def open_while_the_other_waits(run: WorkflowRun, cause: str) -> None:
        has_lock.set()
        open_case(run, cause)

    def finish() -> None:
        has_lock.wait(10)
        rowqueue._run(workflows.QUEUE, claimed)

    monkeypatch.setattr(runs, "open_case", open_while_the_other_waits)
    outcomes = at_once([lambda: runs.report_late_runs(limit=10), finish])

    assert errors_in(outcomes) == []
    assert (the_run().status, Case.objects.get().status) == ("DONE", "RESOLVED")
