"""What beat sends and how often: the table of record, written into the database.

Entries are intervals of at most five minutes, and every task may run twice at once:
daily work is a due row, never a time of day. Operations may pause an entry in the back
office; everything else is written anew whenever beat starts.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import Error, close_old_connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from recovery.heartbeats import BEAT, QUEUES, record_heartbeat, record_start_of_beat

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """Send `task` to `queue` every `seconds`."""

    task: str
    queue: str
    seconds: float
    kwargs: Mapping[str, str] = field(default_factory=dict)


HEARTBEAT_SECONDS = 30
# By the clock of the worker: were it few, one that is minutes ahead would do nothing.
EXPIRE_SECONDS = 600
SCHEDULE = {
    "expire holds": Entry(
        "bookings.expire_holds", "bookings", settings.SWEEP_INTERVAL_SECONDS
    ),
    "warn of expiring holds": Entry("bookings.warn_of_expiring_holds", "bookings", 10),
    "offer free slots": Entry("bookings.offer_free_slots", "bookings", 5),
    "complete bookings": Entry("bookings.complete_bookings", "bookings", 60),
    "attempt card payments": Entry(
        "payments.attempt_card_payment", "money", settings.SWEEP_INTERVAL_SECONDS
    ),
    "attempt refunds": Entry(
        "payments.attempt_refund", "money", settings.SWEEP_INTERVAL_SECONDS
    ),
    "settle payments": Entry(
        "recovery.deliver_events",
        "money",
        settings.SWEEP_INTERVAL_SECONDS,
        {"subscriber": "bookings.settling"},
    ),
    # Senders wait for it, and for the next page nobody.
    "read Stripe's list of events": Entry("payments.reconcile_events", "money", 5),
    "compare with Stripe": Entry("payments.compare_with_stripe", "money", 5),
    "tell of failed refunds": Entry(
        "recovery.deliver_events", "money", 5, {"subscriber": "bookings.refunds"}
    ),
    "enhance feedback": Entry("bookings.enhance_feedback", "ai", 5),
    "tidy closures": Entry("bookings.tidy_closures", "bookings", 300),
    "look for moved clocks": Entry(
        "recovery.deliver_events", "bookings", 30, {"subscriber": "bookings.clocks"}
    ),
    "purge old holds": Entry("bookings.purge_holds", "bookings", 300),
    "purge old waitlist": Entry("bookings.purge_waitlist", "bookings", 300),
    "deliver events to analytics": Entry(
        "recovery.deliver_events", "default", 2, {"subscriber": "analytics"}
    ),
    "process webhooks": Entry(
        "recovery.process_inbox", "inbox", settings.SWEEP_INTERVAL_SECONDS
    ),
    "advance workflows": Entry(
        "recovery.advance_workflows", "default", settings.SWEEP_INTERVAL_SECONDS
    ),
    "retry dead letters": Entry("recovery.retry_dead_letters", "default", 60),
    "look for alerts": Entry("recovery.look_for_alerts", "default", 5),
    "tell alerts by webhook": Entry(
        "recovery.deliver_notices", "default", 5, {"channel": "webhook"}
    ),
    "tell alerts by mail": Entry(
        "recovery.deliver_notices", "email", 5, {"channel": "mail"}
    ),
    "give back stale claims": Entry("recovery.give_back_stale_claims", "default", 60),
    "purge history": Entry("recovery.purge_history", "default", 300),
    "refresh signing keys": Entry(
        "accounts.refresh_signing_keys", "default", settings.CLERK_KEYS_REFRESH_SECONDS
    ),
    "fetch profiles": Entry("accounts.fetch_profiles", "default", 5),
    "forget guesses": Entry("accounts.forget_guesses", "default", 300),
    "erase people": Entry("accounts.erase_people", "default", 30),
    "forget revoked sessions": Entry(
        "accounts.forget_revoked_sessions", "default", 300
    ),
    "send mails": Entry("notifications.send_email", "email", 2),
    "send pushes": Entry("notifications.send_push", "push", 2),
    "tidy devices": Entry("notifications.tidy_devices", "push", 300),
    "empty old mails": Entry("notifications.empty_old_mails", "email", 300),
    "check invariants": Entry("recovery.check_invariants", "default", 300),
    "check invariants over all rows": Entry("recovery.check_all_rows", "default", 60),
    **{
        f"heartbeat of {queue}": Entry(
            "recovery.record_heartbeat", queue, HEARTBEAT_SECONDS, {"queue": queue}
        )
        for queue in QUEUES
    },
}


def as_celery_knows_it() -> dict[str, dict[str, object]]:
    """The table in the form of Celery's `beat_schedule`.

    What workers did not fetch for minutes is pointless when they come back: it expires.
    """
    return {
        name: {
            "task": entry.task,
            "schedule": entry.seconds,
            "kwargs": dict(entry.kwargs),
            "options": {
                "queue": entry.queue,
                "expire_seconds": EXPIRE_SECONDS,
            },
        }
        for name, entry in SCHEDULE.items()
    }


class Wakeup(ModelEntry):  # type: ignore[misc]
    """An entry that was not last sent in the future."""

    last_run_at: datetime

    def is_due(self) -> Any:
        """After the clock was set back: from now on, and not when it is that late."""
        self.last_run_at = min(self.last_run_at, self.app.now())
        return super().is_due()


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, which first writes our table into its own."""

    Entry = Wakeup
    _next_heartbeat = 0.0
    _latest = datetime.min.replace(tzinfo=UTC)
    _is_at_work = False

    def setup_schedule(self) -> None:
        """Drop what the table no longer has; a paused entry stays paused."""
        PeriodicTask.objects.exclude(name__in=SCHEDULE).delete()
        self.update_from_dict(as_celery_knows_it())

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and say now and then that beat is alive.

        Without the database it waits: nobody could do what it sends.
        """
        try:
            with self._at_work():
                self._say_that_beat_is_alive()
                self._begin_anew_if_clock_was_set_back()
                seconds: float = super().tick(*args, **kwargs)
        except Error as error:
            log.warning("database_unavailable", error=type(error).__name__)
            close_old_connections()
            return settings.CELERY_BEAT_MAX_LOOP_INTERVAL
        return seconds

    def _begin_anew_if_clock_was_set_back(self) -> None:
        """Beat goes by this computer's clock; it would wait until it is that late."""
        now = self.app.now()
        if now < self._latest:
            self._heap = None
        self._latest = now

    def sync(self) -> None:
        """Write down when each entry was sent last.

        Celery also calls it when a signal tells beat to stop, wherever that finds it.
        In the midst of a statement this thread would wait for ever for the connection
        that it holds itself; Celery calls again when the statement is over.
        """
        if not self._is_at_work:
            with self._at_work():
                super().sync()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False

    def _say_that_beat_is_alive(self) -> None:
        if time.monotonic() > self._next_heartbeat:
            host = socket.gethostname()
            if not self._next_heartbeat:
                record_start_of_beat(host)
            record_heartbeat(f"{BEAT}{host}")
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
