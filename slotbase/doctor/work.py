"""What runs by itself, what waits for a person, and what must always hold."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db.models import Count, Max, Min
from django_celery_beat.models import PeriodicTask

from recovery import invariants, senders
from recovery.cases import IS_OPEN
from recovery.models import Alert, Case, DeadLetter, NoticeDelivery
from recovery.rowqueue import MAX_DEATHS
from recovery.states import AlertStatus, CaseSeverity, DeadLetterStatus
from recovery.vitals import OVERDUE
from slotbase.doctor.examining import Examination, Trouble
from slotbase.lib.clock import Now
from slotbase.schedule import SCHEDULE, Entry

RESTART = "Restart beat: it writes its table anew from the code."


def _schedule() -> Iterable[Trouble]:
    written = {
        each.name: each for each in PeriodicTask.objects.select_related("interval")
    }
    if missing := sorted(set(SCHEDULE) - set(written)):
        yield f"Beat does not know: {', '.join(missing)}.", RESTART
    if unknown := sorted(set(written) - set(SCHEDULE)):
        yield f"Beat sends what is not of this version: {', '.join(unknown)}.", RESTART
    both = sorted(set(SCHEDULE) & set(written))
    if paused := [name for name in both if not written[name].enabled]:
        do = "Switch it on in the back office, Schedule, when the reason is over."
        yield f"Somebody paused: {', '.join(paused)}.", do
    if other := [n for n in both if not _is_written(SCHEDULE[n], written[n])]:
        yield f"Beat sends differently than the code says: {', '.join(other)}.", RESTART


def _is_written(entry: Entry, row: PeriodicTask) -> bool:
    every = row.interval and row.interval.every
    return bool(
        row.task == entry.task
        and row.queue == entry.queue
        and json.loads(row.kwargs) == dict(entry.kwargs)
        and every == entry.seconds
        and row.interval.period == "seconds"
    )


def _senders() -> Iterable[Trouble]:
    if since := senders.stopped_at():
        says = (
            f"Senders are stopped since {_at(since)}: nothing is sent, nobody can pay."
        )
        yield says, "Reconcile, then resume them: docs/runbooks/restore-detected.md"
    if not senders.has_looked_at("stripe"):
        says = "Refunds and payments wait until Stripe's list of events is read."
        yield says, "See whether Stripe answers, and a worker serves the queue money."


def _alerts() -> Iterable[Trouble]:
    severe = [CaseSeverity.CRITICAL, CaseSeverity.HIGH]
    unseen = Alert.objects.filter(status=AlertStatus.OPEN, severity__in=severe)
    by_category = unseen.values_list("severity", "category").annotate(Count("pk"))
    for severity, category, count in by_category.order_by("severity", "category"):
        do = "Acknowledge it in the back office, Alerts; it links to what to do."
        yield f"Nobody has acknowledged: {count} {severity} alerts {category}.", do
    late = NoticeDelivery.objects.filter(next_run_at__lt=Now() - OVERDUE)
    by_channel = late.values_list("channel").annotate(Count("pk")).order_by("channel")
    for channel, count in by_channel:
        do = "See whether workers and beat live: docs/runbooks/alerts/alert-channel.md"
        yield f"Notices by {channel} have been due for over 5 min: {count}.", do


def _dead_letters() -> Iterable[Trouble]:
    letters = DeadLetter.objects.filter(status=DeadLetterStatus.OPEN)
    by_task = letters.values_list("task").order_by("task")
    do = "See Dead letters in the back office, and docs/runbooks/dead-letter.md"
    for task, since, deaths in by_task.annotate(Min("first_failed_at"), Max("deaths")):
        is_quarantined = deaths >= MAX_DEATHS
        end = "; quarantined: it is not run at all." if is_quarantined else "."
        yield f"{task} has failed since {_at(since)}{end}", do


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _critical_cases() -> Iterable[Trouble]:
    critical = Case.objects.filter(status__in=IS_OPEN, severity=CaseSeverity.CRITICAL)
    by_kind = critical.values_list("kind").annotate(Count("pk")).order_by("kind")
    for kind, count in by_kind:
        do = f"Work on it in the back office; docs/runbooks/{kind.replace('_', '-')}.md"
        yield f"Critical cases are open: {count} of kind {kind}.", do


def _invariants() -> Iterable[Trouble]:
    for broken in invariants.find_violations():
        says = f"{broken.id} is broken: {broken.says} Rows: {', '.join(broken.rows)}"
        yield says, "See docs/runbooks/invariant-violation.md"


EXAMINATIONS = (
    Examination("schedule", _schedule, "tables"),
    Examination("senders", _senders, "tables"),
    Examination("alerts", _alerts, "tables"),
    Examination("dead letters", _dead_letters, "tables"),
    Examination("critical cases", _critical_cases, "tables"),
    Examination("invariants", _invariants, "tables"),
)
