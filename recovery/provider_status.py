"""How each provider is, learned from the calls that are made anyway.

Every call is reported to the process that made it, which adds the reports up and writes
them into one row for each provider every few seconds, from a thread of its own: no call
waits for it, fails by it, or is made for it.
"""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import connection

from slotbase.lib.look import Ask, ask
from slotbase.providers.breaker import FAILURES
from slotbase.providers.errors import Outcome
from slotbase.providers.reports import CONFIGURED_BY, Report

WRITE_SECONDS = 5
# So long a breaker counts as half open when nobody called, and a failure as news.
RECENT_SECONDS = 60
FAILED_LATELY_SECONDS = 300

log = structlog.get_logger(__name__)


AFTER = 2e-6  # seconds


class Tally:
    """What came of the calls of one provider since it was last written."""

    def __init__(self) -> None:
        self.successes = self.failures = 0
        self.succeeded_at: float | None = None
        self.failed_at: float | None = None
        self.open_until: float | None = None
        self.code = ""

    def add(self, report: Report) -> None:
        """Count one call."""
        # Later than the one before, also by the database's microseconds.
        last = max(self.succeeded_at or 0, self.failed_at or 0)
        now, error = max(time.monotonic(), last + AFTER), report.error
        if error is None or error.outcome is Outcome.REFUSED:
            # Whoever refuses a call for good does answer.
            self.successes, self.succeeded_at = self.successes + 1, now
        else:
            self.failures, self.failed_at = self.failures + 1, now
            self.code = _say(error.outcome, error.code)
        if report.open_seconds is not None:
            self.open_until = now + report.open_seconds

    def parameters(self) -> dict[str, Any]:
        """For the statement: how many seconds ago, not by which clock."""
        now = time.monotonic()
        return {
            "succeeded": None if self.succeeded_at is None else now - self.succeeded_at,
            "failed": None if self.failed_at is None else now - self.failed_at,
            "open": None if self.open_until is None else self.open_until - now,
            "code": self.code,
            "successes": self.successes,
            "failures": self.failures,
        }


def _say(outcome: Outcome, code: str) -> str:
    is_ours = outcome not in FAILURES
    return f"credentials_refused:{code}"[:64] if is_ours else code


class Reporter:
    """Adds up what this process hears, and lets its thread write it."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything: in a forked child it is the parent's, without a thread."""
        self._tallies: dict[str, Tally] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread()
        self._open: set[str] = set()

    def hear(self, report: Report) -> None:
        """Count a call; returns at once and touches nothing outside this process."""
        with self._changed:
            self._tallies.setdefault(report.provider, Tally()).add(report)
            self._notice_change(report)
            if not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _notice_change(self, report: Report) -> None:
        provider, is_open = report.provider, report.open_seconds is not None
        if is_open and provider not in self._open:
            self._open.add(provider)
            code = report.error.code if report.error else ""
            log.warning("breaker_opened", provider=provider, code=code)
        elif not is_open and provider in self._open:
            self._open.discard(provider)
            log.info("breaker_closed", provider=provider)

    def take(self) -> dict[str, Tally]:
        """Wait for news and take them."""
        with self._changed:
            self._changed.wait_for(lambda: self._tallies)
            news, self._tallies = self._tallies, {}
            return news

    def _run(self) -> None:
        while True:
            news = self.take()
            try:
                write(news)
            except Exception as error:  # noqa: BLE001 - the next calls will tell again
                log.warning("provider_status_lost", error=type(error).__name__)
            finally:
                # News are rare: no process keeps a connection for them.
                connection.close()
            time.sleep(WRITE_SECONDS)


reporter = Reporter()
os.register_at_fork(after_in_child=reporter.start_afresh)

_WRITE = f"""
INSERT INTO recovery_providerstatus AS old (provider, last_success_at, last_failure_at,
    last_code, open_since, open_until, counted_since, successes, failures)
SELECT %(provider)s::text,
    now - make_interval(secs => %(succeeded)s::float8),
    now - make_interval(secs => %(failed)s::float8), %(code)s::text,
    CASE WHEN %(open)s::float8 IS NOT NULL THEN now END,
    now + make_interval(secs => %(open)s::float8), now,
    %(successes)s::int, %(failures)s::int
FROM (SELECT slotbase_now() AS now) clock
ON CONFLICT (provider) DO UPDATE SET
    last_success_at = coalesce(EXCLUDED.last_success_at, old.last_success_at),
    last_failure_at = coalesce(EXCLUDED.last_failure_at, old.last_failure_at),
    last_code = CASE WHEN EXCLUDED.last_failure_at IS NULL THEN old.last_code
        ELSE EXCLUDED.last_code END,
    open_since = CASE WHEN EXCLUDED.open_until IS NULL
            OR old.open_until > EXCLUDED.counted_since - interval '{RECENT_SECONDS} s'
               AND coalesce(old.last_success_at <= old.open_until, true)
        THEN coalesce(old.open_since, EXCLUDED.open_since)
        ELSE EXCLUDED.open_since END,
    open_until = coalesce(EXCLUDED.open_until, old.open_until),
    (counted_since, successes, failures) = (
        SELECT CASE WHEN goes_on THEN old.counted_since ELSE EXCLUDED.counted_since END,
            EXCLUDED.successes + CASE WHEN goes_on THEN old.successes ELSE 0 END,
            EXCLUDED.failures + CASE WHEN goes_on THEN old.failures ELSE 0 END
        FROM (SELECT old.counted_since <= EXCLUDED.counted_since
            AND old.counted_since > EXCLUDED.counted_since
                - interval '{FAILED_LATELY_SECONDS} s' AS goes_on) count)
"""  # noqa: S608 - our own numbers


def write(news: Mapping[str, Tally]) -> None:
    """Add to the row of each provider; of several processes the last one counts."""
    with connection.cursor() as cursor:
        for provider, tally in sorted(news.items()):
            cursor.execute(_WRITE, {"provider": provider, **tally.parameters()})


@dataclass(frozen=True)
class Status:
    """How a provider is, as far as calls have shown."""

    provider: str
    is_configured: bool
    breaker: str = "closed"
    open_since: datetime | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_code: str = ""
    counted_since: datetime | None = None
    successes: int = 0
    failures: int = 0
    #: Whether the last call failed, and that only minutes ago.
    is_failing: bool = False
    #: Whether a case is open since it refuses our credentials.
    refuses_us: bool = False

    @property
    def was_called(self) -> bool:
        """Whether anything is known at all."""
        return bool(self.last_success_at or self.last_failure_at)


_STATUSES = f"""
SELECT provider, CASE WHEN open_until > now THEN 'open'
        WHEN open_until > now - interval '{RECENT_SECONDS} s'
            AND coalesce(last_success_at < open_until, true) THEN 'half_open'
        ELSE 'closed' END,
    CASE WHEN open_until > now - interval '{RECENT_SECONDS} s' THEN open_since END,
    last_success_at, last_failure_at, last_code, counted_since,
    successes, failures,
    coalesce(last_failure_at > now - interval '{FAILED_LATELY_SECONDS} s'
        AND last_failure_at > coalesce(last_success_at, '-infinity'), false)
FROM recovery_providerstatus, (SELECT slotbase_now() AS now) clock
"""  # noqa: S608 - our own numbers
_REFUSALS = """
SELECT subject_id FROM recovery_case
WHERE kind = 'provider_configuration' AND status IN ('OPEN', 'CLAIMED')
"""


def list_statuses(ask: Ask = ask) -> list[Status]:
    """How each provider is: those that may be called, and whoever was called."""
    refusing = {provider for (provider,) in ask(_REFUSALS)}
    rows = {row[0]: row for row in ask(_STATUSES)}
    return [
        _status(provider, rows.get(provider), refuses_us=provider in refusing)
        for provider in (*CONFIGURED_BY, *sorted({*rows} - {*CONFIGURED_BY}))
    ]


def _status(provider: str, row: Any, *, refuses_us: bool) -> Status:
    setting = CONFIGURED_BY.get(provider)
    is_configured = setting is None or bool(getattr(settings, setting, ""))
    if row is None:
        return Status(provider, is_configured, refuses_us=refuses_us)
    return Status(*(provider, is_configured, *row[1:], refuses_us))
