"""What happened to a message: its moves in the audit, the calls in its attempts."""

from uuid import UUID

from django.db.models import Max

from notifications.models import NotificationAttempt
from notifications.states import NOTIFICATION_MOVES
from recovery import audit
from slotbase.lib.db import transaction_required
from slotbase.lib.states import require_move


@transaction_required
def record_move(
    message_id: UUID, current: str, to: str, *, actor: audit.Actor, reason: str = ""
) -> None:
    """As `record_moves`, of one message."""
    record_moves([message_id], current, to, actor=actor, reason=reason)


@transaction_required
def record_moves(
    message_ids: list[UUID],
    current: str,
    to: str,
    *,
    actor: audit.Actor,
    reason: str = "",
) -> None:
    """Add the audit entries of a move, if it is one; `current` is empty for new rows.

    Raises:
        InvalidState: the move is not in the table.
    """
    if current == to:
        return
    if current:
        require_move(NOTIFICATION_MOVES, current, to)
    audit.record(
        actor=actor,
        action=f"notification.{'queued' if not current else to.lower()}",
        subject="notification",
        ids=message_ids,
        move=(current, to),
        reason=reason,
    )


@transaction_required
def record_attempt(message_id: UUID, *, outcome: str, code: str = "") -> None:
    """Add what came out of a call; the message is locked by the caller."""
    made = NotificationAttempt.objects.filter(notification=message_id)
    last: int = made.aggregate(last=Max("number"))["last"] or 0
    NotificationAttempt.objects.create(
        notification_id=message_id, number=last + 1, outcome=outcome, code=code
    )
