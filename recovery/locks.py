"""Every lock of this app, last in the lock order of the product (bookings/locks.py).

Among themselves: WorkflowRun, DeadLetter, Case, then any other due row. The engine
writes a due row last of all; those of a workflow and of a dead letter are locked
before, since who opens or closes the case of one must know whether it is over.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db.models import F

from recovery.errors import CaseNotFound
from recovery.models import Case, DeadLetter, DueRow, InboxEvent, WorkflowRun
from recovery.states import CaseStatus
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.errors import NotFound

Row = TypeVar("Row", bound=DueRow)

# One statement: of several workers each gets another row, and nobody waits. A lease
# that ran out may be taken over; whoever had it did not live to settle: a death.
_CLAIM = """
UPDATE {table} SET lease_token = %(token)s, lease_until = slotbase_now() + %(lease)s,
    attempts = attempts + 1, deaths = deaths + (lease_token IS NOT NULL)::int {changes}
WHERE id = (
    SELECT id FROM {table}
    WHERE next_run_at <= (SELECT slotbase_now()) AND next_run_at <= %(due_before)s
      AND (lease_until IS NULL OR lease_until <= (SELECT slotbase_now())) {conditions}
    ORDER BY next_run_at {order} LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""


@transaction_required
def claim_due_row(
    model: type[Row],
    *,
    lease: timedelta,
    due_before: datetime,
    newest: bool,
    changes: Mapping[str, Any],
    conditions: Mapping[str, Any],
) -> Row | None:
    """Take a due row that nobody works on, if there is one: the oldest or the newest.

    It comes with a lease token of its own. `changes` are written into it; `conditions`
    narrow the choice, such as to one id.
    """
    sql = _CLAIM.format(
        table=model.table(),
        order="DESC" if newest else "ASC",
        changes="".join(f", {name} = %(set_{name})s" for name in changes),
        conditions="".join(f" AND {name} = %({name})s" for name in conditions),
    )
    parameters = {
        **{f"set_{name}": value for name, value in changes.items()},
        **conditions,
        "token": uuid4(),
        "lease": lease,
        "due_before": due_before,
    }
    return next(iter(model.rows().raw(sql, parameters)), None)


@transaction_required
def lock_case(case_id: UUID) -> Case:
    """A case, locked.

    Raises:
        CaseNotFound: there is none.
    """
    case = Case.objects.select_for_update(of=("self",)).filter(pk=case_id).first()
    if case is None:
        raise CaseNotFound
    return case


@transaction_required
def lock_case_of(fingerprint: str) -> Case | None:
    """The newest case of this fingerprint, locked."""
    cases = Case.objects.select_for_update(of=("self",))
    return cases.filter(fingerprint=fingerprint).order_by("-id").first()


@transaction_required
def lock_stale_claims(limit: int) -> list[Case]:
    """Claimed cases whose time is over, locked."""
    stale = Case.objects.filter(status=CaseStatus.CLAIMED, claimed_until__lte=Now())
    return list(stale.order_by("pk").select_for_update(skip_locked=True)[:limit])


@transaction_required
def lock_inbox_event(event_id: UUID) -> InboxEvent:
    """A webhook, locked.

    Raises:
        NotFound: there is none.
    """
    events = InboxEvent.objects.select_for_update().filter(pk=event_id)
    if (event := events.first()) is None:
        raise NotFound
    return event


@transaction_required
def lock_run(run_id: UUID) -> WorkflowRun:
    """A run of a workflow, locked.

    Raises:
        NotFound: there is none.
    """
    runs = WorkflowRun.objects.select_for_update(of=("self",)).filter(pk=run_id)
    if (run := runs.first()) is None:
        raise NotFound
    return run


@transaction_required
def lock_late_runs(limit: int) -> list[WorkflowRun]:
    """Runs that should be finished by now and of which nobody was told, locked."""
    late = WorkflowRun.objects.filter(
        finished_at__isnull=True, is_late=False, limit_at__lte=Now()
    ).order_by("limit_at")
    return list(late.select_for_update(skip_locked=True, of=("self",))[:limit])


@transaction_required
def lock_dead_letter_of(key: str) -> DeadLetter | None:
    """The dead letter of a task with its arguments, locked: the open or last one."""
    letters = DeadLetter.objects.select_for_update().filter(key=key)
    return letters.order_by(F("ended_at").desc(nulls_first=True)).first()


@transaction_required
def lock_dead_letter(letter_id: UUID) -> DeadLetter:
    """A dead letter, locked.

    Raises:
        NotFound: there is none.
    """
    letters = DeadLetter.objects.select_for_update().filter(pk=letter_id)
    if (letter := letters.first()) is None:
        raise NotFound
    return letter
