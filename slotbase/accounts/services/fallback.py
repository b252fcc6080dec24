"""What is written down when an expired token serves on while Clerk is away (ADR 0038).

The audit has one entry for each session and minute, and each use is counted.
"""

from datetime import timedelta
from uuid import UUID

from recovery import audit
from recovery.models import AuditEntry
from slotbase.accounts.locks import lock_user
from slotbase.accounts.queries import FALLBACK
from slotbase.lib import tally
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict

ACTION, SUBJECT = "auth.fallback_used", "session"
AT_MOST_EVERY = timedelta(minutes=1)


def record_fallback(*, user_id: UUID, session_id: str) -> None:
    """An expired token of this session was let in."""
    tally.count(FALLBACK)
    if not _is_recorded(session_id):
        _record(user_id, session_id)


@retry_on_conflict
def _record(user_id: UUID, session_id: str) -> None:
    """Of many requests at once one writes it: the others wait for the lock, and see."""
    lock_user(user_id)
    if _is_recorded(session_id):
        return
    audit.record(
        actor=audit.Actor.customer(user_id),
        action=ACTION,
        subject=SUBJECT,
        ids=[session_id],
        reason="Clerk is away",
    )


def _is_recorded(session_id: str) -> bool:
    entries = AuditEntry.objects.filter(subject_type=SUBJECT, subject_id=session_id)
    return entries.filter(action=ACTION, at__gt=Now() - AT_MOST_EVERY).exists()
