"""Workflows: steps that all happen, in order, whatever dies in between.

A run is a due row, and each of its steps one turn of the row queue: call, then effect
and record in one transaction. A step that cannot be done turns the run back, and what
was begun is undone in reverse; from the pivot on there is only forward. What goes
neither on nor back has a case (docs/explanation/how-slotbase-recovers.md).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict, Unpack
from uuid import UUID

from django.conf import settings
from django.db.models import F, QuerySet

from recovery import rowqueue, steps
from recovery.errors import WorkflowIsRunning
from recovery.models import WorkflowRun, WorkflowStep
from recovery.runs import abandon, end, open_case, resume, tell
from recovery.states import RUN_MOVES, STEP_MOVES, RunStatus, StepStatus
from recovery.steps import Step, UnknownDefinition, Workflow, register, unregister
from slotbase.lib import request_id
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.states import require_move

__all__ = [
    "About",
    "Step",
    "Workflow",
    "abandon",
    "advance",
    "register",
    "resume",
    "start",
    "unregister",
]

SLOW_SECONDS = 3600  # between attempts once there is a case


# --- Start --------------------------------------------------------------------


class About(TypedDict, total=False):
    """Whose run it is, and what people call it."""

    venue_id: int | None
    customer_id: UUID | None
    reference: str
    title: str


@transaction_required
def start(
    name: str,
    *,
    subject_type: str,
    subject_id: Any,
    input: Mapping[str, Any] | None = None,  # noqa: A002 - of the run
    done: Sequence[str] = (),
    **about: Unpack[About],
) -> UUID:
    """Start a workflow in the transaction that makes it necessary; returns its id.

    That transaction has done the steps in `done` itself; they can be undone, too.

    Raises:
        WorkflowIsRunning: one of this name is not finished for this subject.
    """
    workflow = steps.get(name)
    run = WorkflowRun(
        name=name,
        subject_type=subject_type,
        subject_id=str(subject_id),
        input=dict(input or {}),
        limit_at=Now() + timedelta(seconds=workflow.limit_seconds),
        request_id=request_id.current(),
        **about,
    )
    WorkflowRun.objects.bulk_create([run], ignore_conflicts=True)
    if not WorkflowRun.objects.filter(pk=run.pk).exists():
        raise WorkflowIsRunning(f"Its {name} is running.")
    tell(run, "started", move=("", RunStatus.RUNNING))
    _make_steps(run, workflow, done)
    after_commit("recovery.advance_workflows", id=run.pk)
    return run.pk


@transaction_required
def _make_steps(run: WorkflowRun, workflow: Workflow, done: Sequence[str]) -> None:
    WorkflowStep.objects.bulk_create(
        WorkflowStep(run_id=run.pk, position=position, name=name)
        for position, name in enumerate(workflow.names, 1)
    )
    for name in done:
        workflow.step(name)  # or it is misspelt
        run.steps.filter(name=name).update(
            status=StepStatus.DONE, started_at=Now(), finished_at=Now()
        )
        tell(run, "step_done", reason=name)


# --- Advance ------------------------------------------------------------------


def advance(**only: Any) -> int:
    """Take the steps that are due, one after the other; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


class _Turn(NamedTuple):
    """What is done next: to run a step or, on the way back, to undo it."""

    row: WorkflowStep
    step: Step


def _next(run: WorkflowRun) -> _Turn | None:
    """The next step forward, or back; None if there is none left.

    Raises:
        UnknownDefinition: nobody knows how it is done.
    """
    workflow = steps.get(run.name)
    for row in _steps_ahead(run):
        step = workflow.step(row.name)
        if run.status == RunStatus.RUNNING or step.compensate or step.compensate_call:
            return _Turn(row, step)
    return None


def _steps_ahead(run: WorkflowRun) -> QuerySet[WorkflowStep]:
    if run.status == RunStatus.RUNNING:
        return run.steps.filter(status=StepStatus.PENDING).order_by("position")
    begun = run.steps.filter(status__in=[StepStatus.DONE, StepStatus.FAILED])
    return begun.order_by("-started_at", "-position")


def _call(run: WorkflowRun) -> tuple[_Turn | None, Any]:
    turn = _next(run)
    if turn is None:
        return None, None
    if run.status == RunStatus.COMPENSATING:
        undo = turn.step.compensate_call
        return turn, undo and undo(run, turn.row.output)
    _begin(turn.row)
    return turn, turn.step.call(run)


@retry_on_conflict
def _begin(row: WorkflowStep) -> None:
    """Durable before anything happens: when the run turns, what was begun is undone."""
    WorkflowStep.objects.filter(pk=row.pk, started_at=None).update(started_at=Now())


def _record(run: WorkflowRun, called: tuple[_Turn | None, Any]) -> Mapping[str, Any]:
    turn, answer = called
    if turn and run.status == RunStatus.RUNNING:
        output = turn.step.run(run, answer)
        _move(run, turn.row, StepStatus.DONE, output=output)
    elif turn:
        if turn.step.compensate:
            turn.step.compensate(run, turn.row.output)
        _move(run, turn.row, StepStatus.COMPENSATED)
    if turn and _steps_ahead(run).exists():
        return _go_on(run)
    is_forward = run.status == RunStatus.RUNNING
    to = RunStatus.DONE if is_forward else RunStatus.COMPENSATED
    return end(run, to, "It is finished.")


def _go_on(run: WorkflowRun) -> Mapping[str, Any]:
    # Due since it was, so that the same sweep takes the next step.
    return {"next_run_at": run.next_run_at, "attempts": 0, "deaths": 0}


def _fail(
    run: WorkflowRun,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    try:
        turn = _next(run)
    except UnknownDefinition as unknown:
        return _tell_people(run, str(unknown), is_over=is_over)
    if turn and failure.was_tried:
        attempts = F("attempts") + 1
        run.steps.filter(pk=turn.row.pk).update(attempts=attempts, error=failure.error)
    if not is_over:
        return {}
    can_turn = turn and steps.get(run.name).can_turn_back(turn.row.name)
    if turn and can_turn and run.status == RunStatus.RUNNING:
        return _turn_back(run, turn)
    return _tell_people(run, failure.error, is_over=True)


@transaction_required
def _turn_back(run: WorkflowRun, turn: _Turn) -> Mapping[str, Any]:
    to = RunStatus.COMPENSATING
    require_move(RUN_MOVES, run.status, to)
    _move(run, turn.row, StepStatus.FAILED)
    tell(run, "turned_back", move=(run.status, to), reason=turn.row.name)
    return {**_go_on(run), "status": to}


@transaction_required
def _tell_people(run: WorkflowRun, cause: str, *, is_over: bool) -> Mapping[str, Any]:
    """Never given up: after the last attempt it is tried slowly.

    One whose workers die waits for a person, before it takes the next one with it.
    """
    open_case(run, cause)
    values: dict[str, Any] = {"last_error": cause}
    if is_over and run.deaths < rowqueue.MAX_DEATHS:
        values["next_run_at"] = Now() + rowqueue.with_jitter(SLOW_SECONDS)
    return values


@transaction_required
def _move(run: WorkflowRun, row: WorkflowStep, to: StepStatus, **values: Any) -> None:
    require_move(STEP_MOVES, row.status, to)
    if to != StepStatus.FAILED:  # whose attempt is counted already
        values["attempts"] = F("attempts") + 1
    run.steps.filter(pk=row.pk).update(status=to, finished_at=Now(), **values)
    tell(run, f"step_{to.lower()}", reason=row.name)


def _retry_seconds(run: WorkflowRun) -> Sequence[int]:
    workflow = steps.find(run.name)
    return workflow.retry_seconds() if workflow else settings.WORKFLOW_RETRY_SECONDS


QUEUE = rowqueue.RowQueue(
    name="workflow",
    model=WorkflowRun,
    call=_call,
    record=_record,
    fail=_fail,
    retry_seconds=_retry_seconds,
)
