"""History: one entry for every transition, written by the transaction that makes it."""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from recovery.models import AuditEntry
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


def entry_sql(source: str) -> str:
    """SQL that adds an entry for each row of `source`, which has a column `id`.

    For `record`, and for statements that make a row and its history at once.
    """
    return f"""
        INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type,
            subject_id, from_state, to_state, reason, request_id)
        SELECT %(actor_kind)s, %(actor_id)s, %(action)s, %(subject)s, source.id::text,
            %(from_state)s, %(to_state)s, %(reason)s, %(request_id)s
        FROM {source} AS source
    """  # noqa: S608 - `source` is our own text


def entry_parameters(
    *,
    actor: Actor,
    action: str,
    subject: str,
    move: tuple[str, str] = ("", ""),
    reason: str = "",
) -> dict[str, str]:
    """The parameters of `entry_sql`; those of `record` without the ids."""
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "action": action,
        "subject": subject,
        "from_state": move[0],
        "to_state": move[1],
        "reason": reason,
        "request_id": request_id.current(),
    }


def request_of(subject: str, id: Any) -> str:  # noqa: A002 - of the subject
    """The request that this came of, as its history tells; empty if of none."""
    told = AuditEntry.objects.filter(subject_type=subject, subject_id=str(id))
    ids = (
        told.exclude(request_id="").order_by("id").values_list("request_id", flat=True)
    )
    return ids.first() or ""


_RECORD = entry_sql("(SELECT unnest(%(ids)s::text[]) AS id)")


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
    parameters = entry_parameters(
        actor=actor, action=action, subject=subject, move=move, reason=reason
    )
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, {**parameters, "ids": [str(each) for each in ids]})
