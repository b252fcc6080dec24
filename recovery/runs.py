"""Runs of workflows as rows: their history, their end, their cases, and what staff do.

`recovery.workflows` advances them. Whoever opens or closes the case of a run locks the
run first, so that no case is opened about one that is just finished.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from recovery import audit, cases, steps
from recovery.locks import lock_late_runs, lock_run
from recovery.models import Case, WorkflowRun
from recovery.states import RUN_MOVES, RunStatus
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.states import require_move

SUBJECT = WorkflowRun.subject()
ENGINE = audit.Actor.system("workflow")


@transaction_required
def tell(
    run: WorkflowRun,
    verb: str,
    *,
    move: tuple[str, str] = ("", ""),
    reason: str = "",
    actor: audit.Actor = ENGINE,
) -> None:
    """Add to the history of a run; `reason` is the name of a step."""
    audit.record(
        actor=actor,
        action=f"workflow.{verb}",
        subject=SUBJECT,
        ids=[run.pk],
        move=move,
        reason=reason,
    )


@transaction_required
def end(
    run: WorkflowRun, to: RunStatus, why: str, actor: audit.Actor = ENGINE
) -> Mapping[str, Any]:
    """Move a run to its end and close its case; returns the columns to write."""
    require_move(RUN_MOVES, run.status, to)
    lock_run(run.pk)
    cases.close_by_itself(fingerprint_of(run.pk), why)
    tell(run, to.lower(), move=(run.status, to), actor=actor)
    return {"status": to, "finished_at": Now(), "next_run_at": None}


def fingerprint_of(run_id: UUID) -> str:
    """Of the case about a run, whatever its kind."""
    return f"workflow:{run_id}"


@transaction_required
def open_case(run: WorkflowRun, cause: str) -> None:
    """A person is needed; `cause` says in our words what for."""
    lock_run(run.pk)
    workflow = steps.find(run.name)
    cases.open_case(
        cases.Opening(
            kind=workflow.case_kind if workflow else "workflow_stuck",
            fingerprint=fingerprint_of(run.pk),
            title=f"Not finished: {run}",
            subject_type=SUBJECT,
            subject_id=str(run.pk),
            cause=cause,
            details={
                "workflow": run.name,
                "steps": [f"{step}: {step.status}" for step in run.timeline()],
            },
            venue_id=run.venue_id,
            customer_id=run.customer_id,
            reference=run.reference,
        )
    )


def list_runs(
    *, is_stuck: bool = False, name: str = "", subject: str = "", limit: int
) -> list[WorkflowRun]:
    """The newest runs: all, of a workflow, about a subject (its id), or the stuck ones.

    Stuck is what is not finished, and late, in a case, or waiting for a person.
    """
    rows = WorkflowRun.objects.order_by("-pk")
    if name:
        rows = rows.filter(name=name)
    if subject:
        rows = rows.filter(subject_id=subject)
    if is_stuck:
        is_waiting = Q(next_run_at__isnull=True) | Q(is_late=True)
        in_case = Q(pk__in=[UUID(id_) for id_ in _subjects_of_open_cases()])
        rows = rows.filter(is_waiting | in_case, finished_at__isnull=True)
    return list(rows[:limit])


def _subjects_of_open_cases() -> Iterable[str]:
    about_runs = Case.objects.filter(subject_type=SUBJECT, status__in=cases.IS_OPEN)
    return about_runs.values_list("subject_id", flat=True)


def case_of(run: WorkflowRun) -> Case | None:
    """The newest case about a run, open or not."""
    about = Case.objects.filter(fingerprint=fingerprint_of(run.pk))
    return about.order_by("-id").first()


@retry_on_conflict
def report_late_runs(*, limit: int) -> int:
    """Open a case, once, for each run that is over its time limit; returns how many."""
    late = lock_late_runs(limit)
    for run in late:
        WorkflowRun.objects.filter(pk=run.pk).update(is_late=True)
        open_case(run, "It is over its time limit.")
    return len(late)


@retry_on_conflict
def resume(*, run_id: UUID, actor: audit.Actor) -> None:
    """A person lets a run go on at once, with all its attempts.

    Raises:
        NotFound: there is none.
        InvalidState: it is finished.
    """
    run = lock_run(run_id)
    if run.finished_at is not None:
        raise InvalidState(f"It is {run.status}: there is nothing to resume.")
    WorkflowRun.objects.filter(pk=run.pk).update(
        next_run_at=Now(), attempts=0, deaths=0
    )
    tell(run, "resumed", actor=actor)
    after_commit("recovery.advance_workflows", id=run.pk)


@retry_on_conflict
def abandon(*, run_id: UUID, actor: audit.Actor, reason: str) -> None:
    """A person gives a run up as it is: nothing more is done, and nothing undone.

    Raises:
        NotFound: there is none.
        ValidationFailed: without a reason.
        InvalidState: it is finished, or a worker is at it now.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why, and who does what is left.")
    run = lock_run(run_id)
    if run.lease_until is not None and run.lease_until > read_clock():
        raise InvalidState("A worker is at it now. Try again in a moment.")
    values = end(run, RunStatus.ABANDONED, "It was abandoned.", actor)
    # Without its lease, what a worker that was only paused finds out is refused.
    no_lease = {"lease_token": None, "lease_until": None}
    WorkflowRun.objects.filter(pk=run.pk).update(
        abandoned_because=reason[:200], **no_lease, **values
    )


@retry_on_conflict
def purge_finished_runs(*, limit: int) -> int:
    """Forget runs that ended WORKFLOW_RETENTION_DAYS ago; returns how many."""
    age = timedelta(days=settings.WORKFLOW_RETENTION_DAYS)
    old = WorkflowRun.objects.filter(finished_at__lte=Now() - age)
    ids = list(old.order_by("finished_at").values_list("pk", flat=True)[:limit])
    WorkflowRun.objects.filter(pk__in=ids).delete()
    return len(ids)
