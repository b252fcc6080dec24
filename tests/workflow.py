"""A workflow to play with: its steps say what happened, and fail when they are told to.

    reserve, charge | ship, tell        the bar is the pivot

Each can fail on the way forward (`fails["charge"] = error`) and on the way back
(`fails["undo charge"]`). An effect in the database is one row for each time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from recovery import rowqueue, workflows
from recovery.models import WorkflowRun
from recovery.workflows import Step, Workflow
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict

NAME = "tester"
STEPS = ("reserve", "charge", "ship", "tell")


def leave_effect(name: str) -> None:
    """Happen once more, in the transaction that is open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO recovery_heartbeat (name) VALUES (%s)", [f"{name}|{uuid4()}"]
        )


def effects() -> list[str]:
    """What happened, in order, as often as it did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM recovery_heartbeat ORDER BY beat_at")
        return [name.split("|")[0] for (name,) in cursor.fetchall()]


class Script:
    """What the steps do: they keep a diary of calls, and fail where it is written."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        self.calls: list[Any] = []
        self.outputs: dict[str, Any] = {}

    def step(self, name: str) -> Step:
        """A step that can be undone."""
        return Step(
            name,
            run=lambda run, answer: self._happen(name, {"answer": answer}),
            call=lambda run: self._call(name, run),
            compensate=lambda run, output: self._undo(name, output),
            compensate_call=lambda run, output: self._call(f"undo {name}", run),
        )

    def _call(self, name: str, run: WorkflowRun) -> str:
        assert not connection.in_atomic_block, "a call is made outside of transactions"
        self.calls.append(name)
        if error := self.fails.get(f"call {name}"):
            raise error
        return f"{name} of {run.subject_id}"

    def _happen(self, name: str, output: Mapping[str, Any]) -> Mapping[str, Any]:
        leave_effect(name)
        if error := self.fails.get(name):
            raise error
        return output

    def _undo(self, name: str, output: Mapping[str, Any] | None) -> None:
        self.outputs[name] = output
        self._happen(f"undo {name}", {})


def workflow(script: Script, **over: Any) -> Workflow:
    """The workflow, or another one of its kind."""
    fields: dict[str, Any] = {
        "steps": tuple(map(script.step, STEPS)),
        "limit_seconds": 1800,
        "pivot": "ship",
        "retry_seconds": list,
    }
    return Workflow(NAME, **{**fields, **over})


@contextmanager
def registered(script: Script, **over: Any) -> Iterator[Workflow]:
    """Known inside the block."""
    known = workflow(script, **over)
    workflows.register(known)
    try:
        yield known
    finally:
        workflows.unregister(NAME)


@retry_on_conflict
def start(subject: str = "1", **over: Any) -> UUID:
    """Start it for a subject."""
    return workflows.start(NAME, subject_type="thing", subject_id=subject, **over)


def take_one_turn() -> None:
    """One step, as a worker does it."""
    row = rowqueue._claim(workflows.QUEUE, {}, due_before=read_clock())
    assert row is not None, "nothing is due"
    rowqueue._run(workflows.QUEUE, row)


def the_run() -> WorkflowRun:
    """The one run."""
    return WorkflowRun.objects.get()


def states(run: WorkflowRun | None = None) -> dict[str, str]:
    """Of each step."""
    return {step.name: step.status for step in (run or the_run()).timeline()}


def make_due() -> None:
    """What waits for its next attempt need not wait any longer."""
    with transaction.atomic():
        WorkflowRun.objects.filter(next_run_at__isnull=False).update(next_run_at=Now())


def end_leases() -> None:
    """So much time has passed that no lease is valid any more."""
    WorkflowRun.objects.filter(lease_token__isnull=False).update(lease_until=Now())
