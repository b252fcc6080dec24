"""Passwords that somebody else has set, and may know until another one is set."""

from uuid import UUID

from django.db.models import Q

from recovery import audit
from recovery.models import AuditEntry
from slotbase.lib.db import transaction_required

OWN = "user.password_changed"
# As the page of a person writes it down.
_SET = (
    Q(action="user.added")
    | Q(action="user.changed", reason="changed password")
    | Q(action=OWN)
)


def was_given(*, user_id: UUID) -> bool:
    """Whether the password of this member of staff was set by somebody else.

    One that was set from a shell counts as their own.
    """
    told = AuditEntry.objects.filter(_SET, subject_type="user", subject_id=str(user_id))
    setters = told.order_by("-id").values_list("actor_id", flat=True)
    return setters.first() not in {None, str(user_id)}


@transaction_required
def record_own(*, user_id: UUID) -> None:
    """They have chosen their own: nobody else knows it any more."""
    audit.record(
        actor=audit.Actor.staff(user_id), action=OWN, subject="user", ids=[user_id]
    )
