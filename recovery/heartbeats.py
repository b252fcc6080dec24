"""Signs of life of beat and of the workers, one row for each."""

from datetime import timedelta

from django.db import connection

from recovery.models import Heartbeat
from slotbase.lib.clock import Now

#: Queues whose workers say that they are alive.
QUEUES = ("money", "inbox", "bookings", "email", "push", "ai", "default")
BEAT = "beat@"
BEAT_BEGAN = "beat-began@"  # since when it has been alive; for a day
STALE_SECONDS = 90  # they do so every 30 s
KEPT = timedelta(days=1)
_BEAT = """
INSERT INTO recovery_heartbeat (name, beat_at) VALUES (%s, slotbase_now())
ON CONFLICT (name) DO UPDATE SET beat_at = EXCLUDED.beat_at
"""
# A restart does not begin anew: whoever was silent before it still is.
_BEGAN = f"""
INSERT INTO recovery_heartbeat (name, beat_at) SELECT %s, slotbase_now()
WHERE NOT EXISTS (SELECT FROM recovery_heartbeat WHERE name LIKE '{BEAT}%%'
    AND beat_at > slotbase_now() - interval '{STALE_SECONDS} seconds')
ON CONFLICT (name) DO UPDATE SET beat_at = EXCLUDED.beat_at
"""  # noqa: S608 - our own words


def record_start_of_beat(host: str) -> None:
    """Say that beat begins, unless it was alive a moment ago; before its first sign."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGAN, [f"{BEAT_BEGAN}{host}"])


def record_heartbeat(name: str) -> None:
    """Say that a part is alive now."""
    with connection.cursor() as cursor:
        cursor.execute(_BEAT, [name])


def forget_old_heartbeats() -> None:
    """Parts that have been silent for a day are gone for good."""
    Heartbeat.objects.filter(beat_at__lte=Now() - KEPT).delete()
