"""Alerts: what somebody should know of, each opened once and resolved when it is over.

Cases have alerts without code in their paths: `follow_cases` finds the open ones that
have none, whoever opened them. `recovery.conditions` finds what no case is about, and
`recovery.alerting` takes reports from anywhere. Nobody resolves an alert by hand: it is
over when its case is closed, or when it has not been seen for a while.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Greatest

from recovery import audit, cases, outbox, severities
from recovery.locks import (
    lock_alert,
    lock_alerts_of,
    lock_alerts_of_closed_cases,
    lock_forgotten_alerts,
    lock_quiet_alerts,
    try_lock_following,
)
from recovery.models import Alert, Case
from recovery.severities import TELLINGS, TOLD_EVERY
from recovery.states import ALERT_MOVES, AlertStatus, CaseSeverity
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.states import require_move

BATCH = 500  # in one transaction
FRESH = timedelta(seconds=30)
REOPENS_WITHIN = timedelta(hours=24)
ENGINE = audit.Actor.system("alerts")
IS_RESOLVED = Q(status=AlertStatus.RESOLVED)


@dataclass(frozen=True)
class Report:
    """Something to raise an alert about, in our own words: no personal data.

    `times` is how often it happened; 0: it is still so. A case may be more severe than
    its category.
    """

    category: str
    fingerprint: str
    title: str
    times: int = 1
    severity: CaseSeverity | None = None
    case_id: UUID | None = None


@retry_on_conflict
def raise_alerts(reports: Sequence[Report]) -> None:
    """`raise_these` in a transaction of its own."""
    raise_these(reports)


@transaction_required
def raise_these(reports: Sequence[Report]) -> None:
    """Open an alert for each, or see it again, or open it again; at most BATCH."""
    of_each = {each.fingerprint: each for each in reports}
    known = _lock(of_each)
    fresh = {name: each for name, each in of_each.items() if name not in known}
    opened = _open(fresh)
    # Of two at once one inserts; the other waits for it and then finds its alert.
    known |= _lock({name for name in fresh if name not in opened})
    for name, alert in sorted(known.items()):
        _see_again(alert, of_each[name])


def are_fresh(reports: Sequence[Report]) -> bool:
    """Whether all of these were seen so lately that nobody need write it again."""
    names = [each.fingerprint for each in reports]
    seen = Alert.objects.filter(fingerprint__in=names, last_seen_at__gt=Now() - FRESH)
    return seen.exclude(IS_RESOLVED).count() == len(names)


def _lock(fingerprints: Iterable[str]) -> dict[str, Alert]:
    return lock_alerts_of(sorted(fingerprints), resolved_within=REOPENS_WITHIN)


@transaction_required
def _open(reports: Mapping[str, Report]) -> set[str]:
    """Insert what nobody else has inserted; returns the fingerprints of these."""
    new = [_new_alert(reports[name]) for name in sorted(reports)]
    Alert.objects.bulk_create(new, ignore_conflicts=True)
    ids = Alert.objects.filter(pk__in=[each.pk for each in new])
    ours = set(ids.values_list("pk", flat=True))
    opened = [each for each in new if each.pk in ours]
    if opened:
        _tell("opened", opened, ("", AlertStatus.OPEN))
    return {each.fingerprint for each in opened}


def _new_alert(report: Report) -> Alert:
    category = severities.find(report.category)
    severity = report.severity or (category.severity if category else CaseSeverity.HIGH)
    return Alert(
        category=report.category,
        fingerprint=report.fingerprint,
        severity=severity,
        audience=category.audience if category else "operations",
        title=report.title[:200],
        case_id=report.case_id,
        occurrences=max(report.times, 1),
        tell_at=Now() + TELLINGS[severity].first,
    )


@transaction_required
def _see_again(alert: Alert, report: Report) -> None:
    values: dict[str, Any] = {
        "occurrences": F("occurrences") + report.times,
        "last_seen_at": Now(),
    }
    if alert.status == AlertStatus.RESOLVED:
        require_move(ALERT_MOVES, alert.status, AlertStatus.OPEN)
        first = TELLINGS[CaseSeverity(alert.severity)].first
        values |= {"status": AlertStatus.OPEN, "resolved_at": None}
        values |= {"acked_by": None, "acked_at": None, "tell_at": _not_sooner(first)}
        _tell("reopened", [alert], (AlertStatus.RESOLVED, AlertStatus.OPEN))
    Alert.objects.filter(pk=alert.pk).update(**values)


def _not_sooner(wait: timedelta) -> Any:
    """After this wait; what was told lately waits until it may be told again."""
    # PostgreSQL leaves out what is NULL: what was never told.
    return Greatest(Now() + wait, F("told_at") + TOLD_EVERY)


@transaction_required
def _tell(verb: str, alerts: Sequence[Alert], move: tuple[str, str]) -> None:
    """History and events of alerts that are open now, or again."""
    _record(verb, alerts, move)
    facts = {
        alert.pk: {"category": alert.category, "severity": alert.severity}
        for alert in alerts
    }
    outbox.publish("recovery.alert_raised", subject="alert", facts=facts)


def _record(
    verb: str,
    alerts: Sequence[Alert],
    move: tuple[str, str],
    actor: audit.Actor = ENGINE,
) -> None:
    ids = [alert.pk for alert in alerts]
    audit.record(
        actor=actor, action=f"alert.{verb}", subject="alert", ids=ids, move=move
    )


# --- The end ------------------------------------------------------------------


@retry_on_conflict
def acknowledge(*, alert_id: UUID, staff_id: UUID) -> None:
    """A person has seen it: it is not told again while it is open.

    Raises:
        NotFound: there is none.
        InvalidState: somebody has acknowledged it, or it is over.
    """
    alert = lock_alert(alert_id)
    require_move(ALERT_MOVES, alert.status, AlertStatus.ACKED)
    Alert.objects.filter(pk=alert.pk).update(
        status=AlertStatus.ACKED, acked_by=staff_id, acked_at=Now(), tell_at=None
    )
    move = (alert.status, AlertStatus.ACKED)
    _record("acknowledged", [alert], move, audit.Actor.staff(staff_id))


@transaction_required
def _resolve(alerts: Sequence[Alert]) -> None:
    for status in (AlertStatus.OPEN, AlertStatus.ACKED):
        over = [alert for alert in alerts if alert.status == status]
        if over:
            require_move(ALERT_MOVES, status, AlertStatus.RESOLVED)
            _record("resolved", over, (status, AlertStatus.RESOLVED))
    ids = [alert.pk for alert in alerts]
    rows = Alert.objects.filter(pk__in=ids)
    rows.update(status=AlertStatus.RESOLVED, resolved_at=Now())
    tells = [severity for severity, each in TELLINGS.items() if each.tells_end]
    # What was not told yet is told with its end; other notices are left as they are.
    rows.filter(severity__in=tells).update(tell_at=_not_sooner(timedelta()))


@retry_on_conflict
def resolve_quiet_alerts(category: str, quiet: timedelta, *, limit: int) -> int:
    """What has not been seen for so long is over; returns how many."""
    over = lock_quiet_alerts(category, quiet, limit)
    if over:
        _resolve(over)
    return len(over)


@retry_on_conflict
def resolve_forgotten_alerts(
    looked_for: Collection[str], quiet: timedelta, *, limit: int
) -> int:
    """What no case is about and nobody looks for is over when it is quiet; how many."""
    over = lock_forgotten_alerts(looked_for, quiet, limit)
    if over:
        _resolve(over)
    return len(over)


# --- Cases --------------------------------------------------------------------


def follow_cases(*, limit: int = BATCH) -> int:
    """Raise alerts for open cases without, resolve those of closed ones; how many.

    Every open case has an alert within seconds, however it was opened, and though every
    event about it was lost.
    """
    return _raise_for_open_cases(limit) + _resolve_those_of_closed_cases(limit)


@retry_on_conflict
def _raise_for_open_cases(limit: int) -> int:
    if not try_lock_following():
        return 0
    has_one = Alert.objects.filter(case=OuterRef("pk")).exclude(IS_RESOLVED)
    without = Case.objects.filter(~Exists(has_one), status__in=cases.IS_OPEN)
    columns = ("pk", "kind", "severity", "title")
    found = list(without.order_by("due_at").values_list(*columns)[:limit])
    raise_these(
        [
            Report(
                kind,
                f"case:{pk}",
                title,
                severity=CaseSeverity(severity),
                case_id=pk,
            )
            for pk, kind, severity, title in found
        ]
    )
    return len(found)


@retry_on_conflict
def _resolve_those_of_closed_cases(limit: int) -> int:
    over = lock_alerts_of_closed_cases(limit)
    if over:
        _resolve(over)
    return len(over)


@retry_on_conflict
def purge_old_alerts(*, limit: int) -> int:
    """Forget alerts resolved ALERT_RETENTION_DAYS ago; their history stays."""
    age = timedelta(days=settings.ALERT_RETENTION_DAYS)
    old = Alert.objects.filter(resolved_at__lte=Now() - age)
    ids = list(old.order_by("resolved_at").values_list("pk", flat=True)[:limit])
    Alert.objects.filter(pk__in=ids).delete()
    return len(ids)
