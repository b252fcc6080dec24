"""History: one entry for every transition, written by the transaction that makes it."""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from slotbase.lib import request_id
from slotbase.lib.db import transaction_required


@dataclass(frozen=True)
class Actor:
    """Who did it: a customer, staff, or a part of the system by name."""

    kind: str
    id: str

    @classmethod
    def customer(cls, user_id: Any) -> "Actor":
        """A customer through the API."""
        return cls("customer", str(user_id))

    @classmethod
    def staff(cls, user_id: Any) -> "Actor":
        """A member of staff in the back office."""
        return cls("staff", str(user_id))

    @classmethod
    def system(cls, part: str) -> "Actor":
        """The system itself: a sweep, or a customer's request that tidies up."""
        return cls("system", part)


INSERT = """
    INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type,
        subject_id, from_state, to_state, reason, request_id)
    SELECT %s, %s, %s, %s, subject_id, %s, %s, %s, %s
    FROM unnest(%s::text[]) AS subject_id
"""


@transaction_required
def record(
    *,
    actor: Actor,
    action: str,
    subject: str,
    ids: list[Any],
    move: tuple[str, str] = ("", ""),
    reason: str = "",
) -> None:
    """Add one entry for each id: `subject` is their type, `move` from and to state.

    `reason` is one of our words, never what a person typed: that stays erasable.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT,
            [
                *(actor.kind, actor.id, action, subject, *move, reason),
                *(request_id.current(), [str(each) for each in ids]),
            ],
        )
