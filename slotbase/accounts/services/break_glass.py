"""Superusers: accounts for when nobody else can help, whose use everybody hears of."""

from uuid import UUID

from recovery import alerts, audit, conditions
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.ids import uuid7

CATEGORY = "break_glass"


@retry_on_conflict
def tell_of_sign_in(*, user_id: UUID) -> None:
    """A superuser has signed in: on record, and somebody is told at once."""
    tell(
        user_id=user_id,
        action="staff.superuser_signed_in",
        title="A superuser signed in",
    )


@transaction_required
def tell(*, user_id: UUID, action: str, title: str) -> None:
    """Something was done that only a superuser can do, in this transaction.

    Each time is an alert of its own: while one is open, the next is no repetition.
    """
    audit.record(
        actor=audit.Actor.staff(user_id), action=action, subject="user", ids=[user_id]
    )
    fingerprint = f"{CATEGORY}:{action}:{uuid7()}"
    alerts.raise_these([alerts.Report(CATEGORY, fingerprint, title)])


# Each raises its alert itself; there is nothing to look for, only an end to wait for.
conditions.register(CATEGORY, dict)
