"""Every lock of this app, last in the lock order of the product (bookings/locks.py).

Among themselves: WorkflowRun, DeadLetter, Case, Alert, then any other due row. Many
alerts by their ids, but for those who skip what is locked. The engine writes a due row
last of all; those of a workflow and of a dead letter are locked before, since who opens
or closes the case of one must know whether it is over. An approval is the last one:
what is agreed to has locked all that it changes before.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import F, Q, QuerySet

from recovery.errors import CaseNotFound
from recovery.models import (
    Alert,
    Approval,
    Case,
    DeadLetter,
    DueRow,
    InboxEvent,
    WorkflowRun,
)
from recovery.states import AlertStatus, ApprovalStatus, CaseStatus
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
    ORDER BY {order} LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""


@transaction_required
def claim_due_row(  # noqa: PLR0913 - these make a claim
    model: type[Row],
    *,
    lease: timedelta,
    due_before: datetime,
    order: str,
    changes: Mapping[str, Any],
    conditions: Mapping[str, Any],
    only_if: str = "",
) -> Row | None:
    """Take the first due row in an order that nobody works on, if there is one.

    It comes with a lease token of its own. `changes` are written into it; `conditions`
    narrow the choice, such as to one id, and so does `only_if`, which is SQL.
    """
    all_of = [*(f"{name} = %({name})s" for name in conditions), only_if or "true"]
    sql = _CLAIM.format(
        table=model.table(),
        order=order,
        changes="".join(f", {name} = %(set_{name})s" for name in changes),
        conditions="".join(f" AND {each}" for each in all_of),
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


@transaction_required
def lock_alert(alert_id: UUID) -> Alert:
    """An alert, locked.

    Raises:
        NotFound: there is none.
    """
    alerts = Alert.objects.select_for_update(of=("self",)).filter(pk=alert_id)
    if (alert := alerts.first()) is None:
        raise NotFound
    return alert


@transaction_required
def lock_alerts_of(
    fingerprints: Collection[str], *, resolved_within: timedelta
) -> dict[str, Alert]:
    """The alert of each fingerprint that is open, or was until lately, locked."""
    recent = ~Q(status=AlertStatus.RESOLVED) | Q(
        resolved_at__gt=Now() - resolved_within
    )
    found = Alert.objects.filter(recent, fingerprint__in=fingerprints).order_by("pk")
    return {alert.fingerprint: alert for alert in found.select_for_update(of=("self",))}


@transaction_required
def lock_alerts_of_closed_cases(limit: int) -> list[Alert]:
    """Alerts whose cases are closed, locked."""
    over = Alert.objects.filter(
        case__status__in=[CaseStatus.RESOLVED, CaseStatus.DISCARDED]
    )
    return _lock_open(over, limit)


@transaction_required
def lock_quiet_alerts(category: str, age: timedelta, limit: int) -> list[Alert]:
    """Alerts of a category that have not been seen for so long, locked."""
    quiet = Alert.objects.filter(
        category=category, case__isnull=True, last_seen_at__lte=Now() - age
    )
    return _lock_open(quiet, limit)


@transaction_required
def lock_forgotten_alerts(
    looked_for: Collection[str], age: timedelta, limit: int
) -> list[Alert]:
    """Alerts without a case of other categories, not seen for so long, locked."""
    quiet = Alert.objects.filter(case__isnull=True, last_seen_at__lte=Now() - age)
    return _lock_open(quiet.exclude(category__in=looked_for), limit)


@transaction_required
def _lock_open(alerts: QuerySet[Alert], limit: int) -> list[Alert]:
    still_open = alerts.exclude(status=AlertStatus.RESOLVED).order_by("last_seen_at")
    return list(still_open.select_for_update(skip_locked=True, of=("self",))[:limit])


@transaction_required
def lock_approval(approval_id: UUID) -> Approval:
    """A proposal, locked; nothing but the audit is written after it.

    Raises:
        NotFound: there is none.
    """
    approvals = Approval.objects.select_for_update(of=("self",)).filter(pk=approval_id)
    if (approval := approvals.first()) is None:
        raise NotFound
    return approval


@transaction_required
def lock_expired_approvals(limit: int) -> list[Approval]:
    """Open proposals whose time is over, locked."""
    over = Approval.objects.filter(
        status=ApprovalStatus.PROPOSED, expires_at__lte=Now()
    ).order_by("expires_at")
    return list(over.select_for_update(skip_locked=True, of=("self",))[:limit])


@transaction_required
def lock_approvals_about(subject_ids: Collection[str]) -> list[Approval]:
    """Proposals about these, whatever became of them, locked."""
    about = Approval.objects.filter(subject_id__in=subject_ids).order_by("pk")
    return list(about.select_for_update(of=("self",)))


# Any numbers that nobody else takes.
_WRITING, _FOLLOWING = 26_26_26, 26_26_27


@transaction_required
def try_lock_writing() -> bool:
    """Whether this transaction alone may write notices now: it counts them first."""
    return _try_lock(_WRITING)


@transaction_required
def try_lock_following() -> bool:
    """Whether this transaction alone may raise alerts for cases: others need not."""
    return _try_lock(_FOLLOWING)


@transaction_required
def _try_lock(number: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        row: tuple[bool] | None = cursor.fetchone()
    return row is not None and row[0]


@transaction_required
def lock_alerts_to_tell(limit: int) -> list[Alert]:
    """Alerts that are to be told now, locked."""
    due = Alert.objects.filter(tell_at__lte=Now()).order_by("tell_at")
    return list(due.select_for_update(skip_locked=True, of=("self",))[:limit])


@transaction_required
def lock_batch(severity: str, limit: int) -> list[Alert]:
    """All alerts of a severity that wait to be told, due or not, locked."""
    waiting = Alert.objects.filter(tell_at__isnull=False, severity=severity)
    rows = waiting.order_by("tell_at")
    return list(rows.select_for_update(skip_locked=True, of=("self",))[:limit])
