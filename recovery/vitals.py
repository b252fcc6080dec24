"""How each part is, asked of the database: one function for each check of /health.

Each is a statement or two that an index serves, and says in plain words what is wrong.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from recovery.heartbeats import BEAT, QUEUES, STALE_SECONDS
from recovery.models import DueRow
from recovery.outbox import subscribers
from recovery.provider_status import Status, list_statuses
from recovery.states import CaseSeverity
from slotbase.lib.look import Ask

# What is due has been tried by then: as invariant I11 has it.
OVERDUE = timedelta(minutes=5)
COUNTED = 1000


class Health(StrEnum):
    """How a part is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    NOT_CONFIGURED = "not_configured"


@dataclass(frozen=True)
class Check:
    """How one part is: a code for machines, words for staff, and what is measured."""

    name: str
    status: Health
    says: str
    code: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def find_vitals(ask: Ask) -> list[Check]:
    """How all parts are that the database knows of."""
    return [check for look in VITALS for check in look(ask)]


# --- Providers ----------------------------------------------------------------


def _providers(ask: Ask) -> Iterable[Check]:
    for status in list_statuses(ask):
        health, code, says = judge(status)
        yield Check(status.provider, health, says, code, _numbers_of(status))


def judge(status: Status) -> tuple[Health, str, str]:
    """How a provider is, by what came of the calls that were made anyway."""
    if not status.is_configured:
        return Health.NOT_CONFIGURED, "not_configured", "Not set up."
    if trouble := _trouble_with(status):
        return Health.DEGRADED, *trouble
    if not status.was_called:
        return Health.UNKNOWN, "not_called_yet", "Nobody has called it yet."
    return Health.HEALTHY, "", "It answers."


def _trouble_with(status: Status) -> tuple[str, str] | None:
    """A code, and words."""
    if status.refuses_us:
        return "credentials_refused", "It refuses our credentials."
    if status.breaker == "open":
        says = "It does not answer: calls are held back for some seconds at a time."
        return status.last_code or "breaker_open", says
    if status.is_failing:
        return status.last_code, "The last call failed."
    return None


def _numbers_of(status: Status) -> Mapping[str, Any]:
    return {
        "breaker": status.breaker,
        "breaker_open_since": _stamp(status.open_since),
        "last_success_at": _stamp(status.last_success_at),
        "last_failure_at": _stamp(status.last_failure_at),
        "recent_successes": status.successes,
        "recent_failures": status.failures,
    }


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


# --- Workers and beat ---------------------------------------------------------

_SILENT_FOR = """
SELECT name, greatest(extract(epoch FROM slotbase_now() - beat_at), 0)::float8
FROM recovery_heartbeat
"""


def _workers_and_beat(ask: Ask) -> Iterable[Check]:
    silent = ask(_SILENT_FOR)
    beat = [seconds for name, seconds in silent if name.startswith(BEAT)]
    yield _beat(min(beat, default=None))
    by_queue = {
        queue: min((s for name, s in silent if name.split()[-1] == queue), default=None)
        for queue in QUEUES
    }
    yield _worker(by_queue)


def _beat(silent: float | None) -> Check:
    details = {"age_seconds": _rounded(silent)}
    if silent is None or silent > STALE_SECONDS:
        says = f"Beat {_words_for(silent)}: nothing is started by itself."
        return Check("beat", Health.DEGRADED, says, "silent", details)
    return Check("beat", Health.HEALTHY, "Beat sends its wake-ups.", details=details)


def _worker(by_queue: Mapping[str, float | None]) -> Check:
    idle = [q for q, s in by_queue.items() if s is None or s > STALE_SECONDS]
    heard = [s for s in by_queue.values() if s is not None]
    details = {
        "age_seconds": _rounded(max(heard, default=None)),
        "queues": {queue: _rounded(s) for queue, s in by_queue.items()},
    }
    if idle:
        says = f"No worker serves {', '.join(idle)}: what is due there waits."
        return Check("worker", Health.DEGRADED, says, "silent", details)
    return Check("worker", Health.HEALTHY, "Every queue has a worker.", "", details)


def _words_for(silent: float | None) -> str:
    if silent is None:
        return "has never given a sign of life"
    return f"has been silent for {round(silent)} s"


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


# --- What is due --------------------------------------------------------------

# Analytics is expendable: nobody is called when it lags.
_DELIVERIES = f"""
SELECT min(next_run_at), count(*), slotbase_now() FROM unnest(%s::text[]) name,
    LATERAL (SELECT next_run_at FROM recovery_eventdelivery
        WHERE subscriber = name AND next_run_at <= (SELECT slotbase_now())
        ORDER BY next_run_at LIMIT {COUNTED}) due
"""  # noqa: S608 - our own number
_WEBHOOKS = f"""
SELECT min(next_run_at), count(*), slotbase_now() FROM (
    SELECT next_run_at FROM recovery_inboxevent
    WHERE next_run_at <= (SELECT slotbase_now())
    ORDER BY next_run_at LIMIT {COUNTED}) due
"""  # noqa: S608 - our own number
# Two indexes: those of which somebody was told, and those that are late since a moment.
_LATE_WORKFLOWS = f"""
SELECT min(limit_at), count(*), slotbase_now() FROM (
    (SELECT limit_at FROM recovery_workflowrun
     WHERE finished_at IS NULL AND is_late ORDER BY limit_at LIMIT {COUNTED})
    UNION ALL
    (SELECT limit_at FROM recovery_workflowrun
     WHERE finished_at IS NULL AND NOT is_late AND limit_at <= (SELECT slotbase_now())
     ORDER BY limit_at LIMIT {COUNTED})) late
"""  # noqa: S608 - our own number


def _outbox(ask: Ask) -> Iterable[Check]:
    names = [each.name for each in subscribers().values() if not each.is_expendable]
    yield _backlog("outbox", "events", ask(_DELIVERIES, names))


def _inbox(ask: Ask) -> Iterable[Check]:
    yield _backlog("inbox", "webhooks", ask(_WEBHOOKS))


def _backlog(name: str, what: str, rows: list[tuple[Any, ...]]) -> Check:
    [(oldest, count, now)] = rows
    details = {"age_seconds": _age(oldest, now), "count": count}
    if oldest is not None and now - oldest > OVERDUE:
        says = f"{_counted(count)} {what} are due, one for {_minutes(now - oldest)}."
        return Check(name, Health.DEGRADED, says, "backlog", details)
    return Check(name, Health.HEALTHY, f"No {what} wait for long.", "", details)


def _workflows(ask: Ask) -> Iterable[Check]:
    [(oldest, count, now)] = ask(_LATE_WORKFLOWS)
    details = {"age_seconds": _age(oldest, now), "count": count}
    if count:
        says = f"{_counted(count)} workflows are over their time limit."
        yield Check("workflows", Health.DEGRADED, says, "late", details)
    else:
        yield Check("workflows", Health.HEALTHY, "None is late.", "", details)


# --- What waits for a person --------------------------------------------------

_OPEN_CASES = f"""
SELECT count(*), min(opened_at), min(due_at), slotbase_now(),
    count(*) FILTER (WHERE severity = '{CaseSeverity.CRITICAL}')
FROM (SELECT opened_at, due_at, severity FROM recovery_case
    WHERE status IN ('OPEN', 'CLAIMED') AND {{kinds}}
    ORDER BY due_at LIMIT {COUNTED}) soonest
"""  # noqa: S608 - our own number
_OF_DEAD_LETTERS = _OPEN_CASES.format(kinds="kind = ANY(%s)")
_OF_OTHERS = _OPEN_CASES.format(kinds="kind <> ALL(%s)")
#: Kinds of case that count as dead letters.
DEAD_LETTERS = ["dead_letter"]
# A letter has no case at first, and what it is about is not done meanwhile.
_OPEN_LETTERS = f"""
SELECT count(*), count(*) FILTER (WHERE deaths >= {DueRow.MAX_DEATHS}),
    count(*) FILTER (WHERE last_failed_at > first_failed_at + interval '10 minutes')
FROM (SELECT deaths, first_failed_at, last_failed_at FROM recovery_deadletter
    WHERE status = 'OPEN' ORDER BY first_failed_at LIMIT {COUNTED}) longest
"""  # noqa: S608 - our own numbers


def _dead_letters(ask: Ask) -> Iterable[Check]:
    check = _cases("dead_letters", "dead letters", ask(_OF_DEAD_LETTERS, DEAD_LETTERS))
    yield _with_letters(check, *ask(_OPEN_LETTERS)[0])


def _with_letters(check: Check, count: int, quarantined: int, lasting: int) -> Check:
    """Their cases, and the letters themselves: what is overdue says so first."""
    letters = {"letters": count, "quarantined": quarantined, "lasting": lasting}
    check = replace(check, details={**check.details, **letters})
    if check.status is Health.DEGRADED or not (quarantined or lasting):
        return check
    if quarantined:
        says = f"{quarantined} tasks killed their workers: they are not run at all."
        return replace(check, status=Health.DEGRADED, says=says, code="quarantined")
    says = f"{_counted(lasting)} tasks have failed for more than 10 min."
    return replace(check, status=Health.DEGRADED, says=says, code="failing")


def _other_cases(ask: Ask) -> Iterable[Check]:
    yield _cases("cases", "cases", ask(_OF_OTHERS, DEAD_LETTERS))


def _cases(name: str, what: str, rows: list[tuple[Any, ...]]) -> Check:
    [(count, oldest, due, now, critical)] = rows
    details = {
        "age_seconds": _age(oldest, now),
        "count": count,
        "critical": critical,
    }
    if due is not None and due < now:
        says = (
            f"{_counted(count)} {what} are open, one overdue for {_minutes(now - due)}."
        )
        return Check(name, Health.DEGRADED, says, "overdue", details)
    if critical:
        says = f"{_counted(count)} {what} are open, {critical} of them critical."
        return Check(name, Health.DEGRADED, says, "critical", details)
    says = f"{count} open, none overdue." if count else f"No {what} are open."
    return Check(name, Health.HEALTHY, says, "", details)


def _age(moment: datetime | None, now: datetime) -> int | None:
    return None if moment is None else max(round((now - moment).total_seconds()), 0)


def _minutes(duration: timedelta) -> str:
    return f"{round(duration.total_seconds() / 60)} min"


def _counted(count: int) -> str:
    return f"{count} or more" if count >= COUNTED else str(count)


VITALS: list[Callable[[Ask], Iterable[Check]]] = [
    *(_providers, _workers_and_beat, _outbox, _inbox, _workflows),
    *(_dead_letters, _other_cases),
]
#: The checks but those of providers, for an answer when the database is away.
NAMES = ["worker", "beat", "outbox", "inbox", "workflows", "dead_letters", "cases"]


def register(name: str, look: Callable[[Ask], Iterable[Check]]) -> None:
    """Let a floor above look at a part of its own: one check of this name."""
    VITALS.append(look)
    NAMES.append(name)
