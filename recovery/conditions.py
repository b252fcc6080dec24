"""Conditions: what no single row can tell, looked for again and again.

Each names what is wrong now; an alert is over when its condition has not been seen for
the `quiet` time of its category. Beat lets a worker look, and each web process looks as
well: beat and the workers are among what is looked at.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.db import DatabaseError, connection

from recovery import alerts, outbox
from recovery.alerts import BATCH, Report
from recovery.heartbeats import QUEUES
from recovery.notices import channels
from recovery.severities import CONDITIONS
from slotbase.lib.errors import Unavailable
from slotbase.providers.reports import EXPENDABLE

log = structlog.get_logger(__name__)

#: What no finder here looks for may be seen by another version for a while.
FORGOTTEN = timedelta(hours=1)
#: What is wrong now: a title for each fingerprint.
Found = Mapping[str, str]


def _of(sql: str, title: str, **values: Any) -> Callable[[], Found]:
    """A condition by a query that names what is wrong; `{}` in the title is its name.

    `values` are called when it runs.
    """

    def find() -> Found:
        with connection.cursor() as cursor:
            cursor.execute(sql, {name: value() for name, value in values.items()})
            names = [str(row[0]) for row in cursor.fetchall()]
        return {name: title.format(name) for name in names}

    return find


def _needed() -> list[str]:
    return [x.name for x in outbox.subscribers().values() if not x.is_expendable]


def _expendable() -> list[str]:
    return [x.name for x in outbox.subscribers().values() if x.is_expendable]


_BEAT_SILENT = """
SELECT 'beat' FROM recovery_heartbeat WHERE name LIKE 'beat@%%'
HAVING max(beat_at) < slotbase_now() - interval '2 minutes'
"""
# Workers give their sign when beat asks for it, so a silent beat says nothing of them.
# A queue that nobody ever served, or not for a day, has no row: it counts from when
# beat began, which is forgotten after a day as well.
_WORKER_SILENT = """
SELECT queue FROM unnest(%(queues)s::text[]) AS queue
CROSS JOIN (SELECT max(beat_at) FILTER (WHERE name LIKE 'beat@%%')
        - interval '90 seconds' AS ago,
    max(beat_at) FILTER (WHERE name LIKE 'beat-began@%%') AS began
    FROM recovery_heartbeat) AS beat
LEFT JOIN recovery_heartbeat ON split_part(name, ' ', 2) = queue
GROUP BY queue, ago, began HAVING coalesce(max(beat_at), began, '-infinity') < ago
"""
_OUTBOX_LAG = """
SELECT name FROM unnest(%(needed)s::text[]) AS name
WHERE EXISTS (SELECT FROM recovery_eventdelivery WHERE subscriber = name
    AND next_run_at < (SELECT slotbase_now()) - interval '2 minutes'
    AND coalesce(lease_until, next_run_at)
        < (SELECT slotbase_now()) - interval '2 minutes')
"""
_INBOX_LAG = """
SELECT 'webhooks' WHERE EXISTS (SELECT FROM recovery_inboxevent
    WHERE next_run_at < (SELECT slotbase_now()) - interval '2 minutes'
    AND coalesce(lease_until, next_run_at)
        < (SELECT slotbase_now()) - interval '2 minutes')
"""
_BAD_SIGNATURES = """
SELECT DISTINCT split_part(name, ':', 2) FROM recovery_count
WHERE name LIKE 'bad_signature:%%' AND number > 20
AND minute > (SELECT slotbase_now()) - interval '2 minutes'
"""
_PROVIDER_DOWN = """
SELECT split_part(name, ':', 2) AS provider FROM recovery_count
WHERE name LIKE 'breaker_opened:%%'
AND minute > (SELECT slotbase_now()) - interval '5 minutes'
AND split_part(name, ':', 2) <> ALL(%(expendable)s::text[])
GROUP BY provider HAVING sum(number) >= 3
"""
_ALERT_CHANNEL = """
SELECT DISTINCT d.channel FROM recovery_noticedelivery d
JOIN recovery_alertnotice n ON n.id = d.notice_id
WHERE d.channel = ANY(%(channels)s::text[]) AND (d.next_run_at IS NOT NULL
    AND n.created_at < (SELECT slotbase_now()) - interval '5 minutes'
OR d.status IN ('FAILED', 'EXPIRED')
    AND d.settled_at > (SELECT slotbase_now()) - interval '1 hour')
"""
_ALERTS_LOST = """
SELECT 'alerts_lost' WHERE EXISTS (SELECT FROM recovery_count
    WHERE name = 'alerts_lost'
    AND minute > (SELECT slotbase_now()) - interval '2 minutes')
"""
_CONTENTION = """
SELECT 'database' FROM recovery_count WHERE name = 'transaction_conflict' AND number > 1
AND minute > (SELECT slotbase_now()) - interval '11 minutes' HAVING count(*) >= 10
"""
_MAILS_FAILING = """
SELECT 'mails' FROM recovery_count WHERE name = 'mail_failed'
AND minute > (SELECT slotbase_now()) - interval '15 minutes' HAVING sum(number) >= 10
"""
_ANALYTICS_BEHIND = """
SELECT name FROM unnest(%(expendable)s::text[]) AS name
WHERE EXISTS (SELECT FROM recovery_eventdelivery WHERE subscriber = name
    AND next_run_at IS NOT NULL AND last_error <> '')
"""

_finders: dict[str, Callable[[], Found]] = {
    "beat_silent": _of(_BEAT_SILENT, "Beat has been silent for two minutes"),
    "worker_silent": _of(
        _WORKER_SILENT, "No worker serves the queue {}", queues=lambda: [*QUEUES]
    ),
    "outbox_lag": _of(_OUTBOX_LAG, "Events for {} wait too long", needed=_needed),
    "inbox_lag": _of(_INBOX_LAG, "Webhooks wait too long"),
    "bad_signatures": _of(
        _BAD_SIGNATURES, "Somebody sends forged webhooks of {}, or our secret is wrong"
    ),
    "provider_down": _of(
        _PROVIDER_DOWN,
        "{} does not answer as it should",
        expendable=lambda: [*_expendable(), *EXPENDABLE],
    ),
    "alert_channel": _of(
        _ALERT_CHANNEL, "Alerts do not go out by {}", channels=channels
    ),
    "alerts_lost": _of(_ALERTS_LOST, "There was more to report than could be kept"),
    "database_contention": _of(
        _CONTENTION, "Transactions get in each other's way all the time"
    ),
    "mails_failing": _of(_MAILS_FAILING, "Many attempts to send mails fail"),
    "analytics_behind": _of(
        _ANALYTICS_BEHIND, "Events for {} fail", expendable=_expendable
    ),
}


def register(category: str, find: Callable[[], Found]) -> None:
    """Look for a condition of another app; its category stands in `CONDITIONS`."""
    _finders[category] = find


def registered() -> Mapping[str, Callable[[], Found]]:
    """All conditions, by the category of their alerts."""
    return _finders


def check() -> None:
    """Raise what is wrong now and resolve what is not any more.

    One that cannot be looked for does not keep the others from it.
    """
    for category, find in list(_finders.items()):
        with _one_of_many(category):
            _check(category, find)
    with _one_of_many("forgotten"):
        alerts.resolve_forgotten_alerts(sorted(_finders), FORGOTTEN, limit=BATCH)


@contextmanager
def _one_of_many(category: str) -> Iterator[None]:
    try:
        yield
    except (DatabaseError, Unavailable) as error:
        log.warning(
            "condition_not_checked", category=category, error=type(error).__name__
        )


def _check(category: str, find: Callable[[], Found]) -> None:
    reports = [
        Report(category, f"{category}:{name}", title, times=0)
        for name, title in find().items()
    ]
    if reports and not alerts.are_fresh(reports):
        alerts.raise_alerts(reports[:BATCH])
    quiet = CONDITIONS[category].quiet if category in CONDITIONS else None
    if quiet:
        alerts.resolve_quiet_alerts(category, quiet, limit=BATCH)
