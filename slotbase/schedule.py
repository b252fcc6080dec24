"""What beat sends and how often: the table of record, written into the database.

Entries are intervals of at most five minutes, and every task may run twice at once:
daily work is a due row, never a time of day. Operations may pause an entry in the back
office; everything else is written anew whenever beat starts.
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import structlog
from django.conf import settings
from django.db import Error, close_old_connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from recovery.heartbeats import record_heartbeat

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """Send `task` to `queue` every `seconds`."""

    task: str
    queue: str
    seconds: float
    kwargs: Mapping[str, str] = field(default_factory=dict)


HEARTBEAT_SECONDS = 30
QUEUES = ("money", "inbox", "bookings", "email", "push", "ai", "default")
SCHEDULE = {
    "expire holds": Entry(
        "bookings.expire_holds", "bookings", settings.SWEEP_INTERVAL_SECONDS
    ),
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
    "read Stripe's list of events": Entry("payments.reconcile_events", "money", 60),
    "tell of failed refunds": Entry(
        "recovery.deliver_events", "money", 5, {"subscriber": "bookings.refunds"}
    ),
    "tidy closures": Entry("bookings.tidy_closures", "bookings", 300),
    "look for moved clocks": Entry(
        "recovery.deliver_events", "bookings", 30, {"subscriber": "bookings.clocks"}
    ),
    "purge old holds": Entry("bookings.purge_holds", "bookings", 300),
    "deliver events to analytics": Entry(
        "recovery.deliver_events", "default", 2, {"subscriber": "analytics"}
    ),
    "process webhooks": Entry(
        "recovery.process_inbox", "inbox", settings.SWEEP_INTERVAL_SECONDS
    ),
    "advance workflows": Entry(
        "recovery.advance_workflows", "default", settings.SWEEP_INTERVAL_SECONDS
    ),
    "give back stale claims": Entry("recovery.give_back_stale_claims", "default", 60),
    "purge history": Entry("recovery.purge_history", "default", 300),
    "refresh signing keys": Entry(
        "accounts.refresh_signing_keys", "default", settings.CLERK_KEYS_REFRESH_SECONDS
    ),
    "fetch profiles": Entry("accounts.fetch_profiles", "default", 5),
    "send mails": Entry("notifications.send_email", "email", 2),
    "empty old mails": Entry("notifications.empty_old_mails", "email", 300),
    "check invariants": Entry("recovery.check_invariants", "default", 300),
    **{
        f"heartbeat of {queue}": Entry(
            "recovery.record_heartbeat", queue, HEARTBEAT_SECONDS, {"queue": queue}
        )
        for queue in QUEUES
    },
}


def as_celery_knows_it() -> dict[str, dict[str, object]]:
    """The table in the form of Celery's `beat_schedule`.

    A wake-up that was not fetched before the next one is due is pointless: it expires.
    """
    return {
        name: {
            "task": entry.task,
            "schedule": entry.seconds,
            "kwargs": dict(entry.kwargs),
            "options": {
                "queue": entry.queue,
                "expire_seconds": max(ceil(entry.seconds), 10),
            },
        }
        for name, entry in SCHEDULE.items()
    }


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, which first writes our table into its own."""

    _next_heartbeat = 0.0

    def setup_schedule(self) -> None:
        """Drop what the table no longer has; a paused entry stays paused."""
        PeriodicTask.objects.exclude(name__in=SCHEDULE).delete()
        self.update_from_dict(as_celery_knows_it())

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and say now and then that beat is alive.

        Without the database it waits: nobody could do what it sends.
        """
        try:
            self._say_that_beat_is_alive()
            seconds: float = super().tick(*args, **kwargs)
        except Error as error:
            log.warning("database_unavailable", error=type(error).__name__)
            close_old_connections()
            return settings.CELERY_BEAT_MAX_LOOP_INTERVAL
        return seconds

    def _say_that_beat_is_alive(self) -> None:
        if time.monotonic() > self._next_heartbeat:
            record_heartbeat(f"beat@{socket.gethostname()}")
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
