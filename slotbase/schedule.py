"""What beat sends and how often: the table of record, written into the database.

Entries are intervals of at most five minutes, and every task may run twice at once:
daily work is a due row, never a time of day. Operations may pause an entry in the back
office; everything else is written anew whenever beat starts.
"""

from dataclasses import dataclass

from django.conf import settings
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler


@dataclass(frozen=True)
class Entry:
    """Send `task` to `queue` every `seconds`."""

    task: str
    queue: str
    seconds: float


SCHEDULE = {
    "expire holds": Entry(
        "bookings.expire_holds", "bookings", settings.SWEEP_INTERVAL_SECONDS
    ),
    "complete bookings": Entry("bookings.complete_bookings", "bookings", 60),
    "purge old holds": Entry("bookings.purge_holds", "bookings", 300),
    "purge answered keys": Entry("recovery.purge_idempotency", "default", 300),
    "refresh signing keys": Entry(
        "accounts.refresh_signing_keys", "default", settings.CLERK_KEYS_REFRESH_SECONDS
    ),
    "check invariants": Entry("recovery.check_invariants", "default", 300),
}


def as_celery_knows_it() -> dict[str, dict[str, object]]:
    """The table in the form of Celery's `beat_schedule`.

    A wake-up that was not fetched before the next one is due is pointless: it expires.
    """
    return {
        name: {
            "task": entry.task,
            "schedule": entry.seconds,
            "options": {"queue": entry.queue, "expires": max(entry.seconds, 10)},
        }
        for name, entry in SCHEDULE.items()
    }


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, which first writes our table into its own."""

    def setup_schedule(self) -> None:
        """Drop what the table no longer has; a paused entry stays paused."""
        PeriodicTask.objects.exclude(name__in=SCHEDULE).delete()
        self.update_from_dict(as_celery_knows_it())
