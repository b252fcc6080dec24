"""Signs of life of beat and of the workers, one row for each."""

from datetime import timedelta

from django.db import connection

from recovery.models import Heartbeat
from slotbase.lib.clock import Now

#: Queues whose workers say that they are alive.
QUEUES = ("money", "inbox", "bookings", "email", "push", "ai", "default")
BEAT = "beat@"
STALE_SECONDS = 90  # they do so every 30 s
KEPT = timedelta(days=1)
_BEAT = """
INSERT INTO recovery_heartbeat (name, beat_at) VALUES (%s, slotbase_now())
ON CONFLICT (name) DO UPDATE SET beat_at = EXCLUDED.beat_at
"""


def record_heartbeat(name: str) -> None:
    """Say that a part is alive now."""
    with connection.cursor() as cursor:
        cursor.execute(_BEAT, [name])


def forget_old_heartbeats() -> None:
    """Parts that have been silent for a day are gone for good."""
    Heartbeat.objects.filter(beat_at__lte=Now() - KEPT).delete()
