"""Customers whom Clerk lets in no more: banned, locked or deleted there.

What Clerk closed it may open again; what staff closed, and who was deleted, stays
closed. Which of these it was stands in the history.
"""

from recovery import audit
from recovery.models import AuditEntry
from slotbase.accounts.locks import lock_customer
from slotbase.accounts.models import User
from slotbase.lib.db import transaction_required

BLOCKED, ADMITTED, BY_STAFF = "customer.blocked", "customer.admitted", "user.changed"
DELETED = "customer.deleted_at_clerk"
CLERK = audit.Actor.system("clerk")


@transaction_required
def block(*, clerk_id: str, for_good: bool = False) -> User:
    """Let somebody in no more, from the next request on; also whoever comes later.

    Of somebody who was never here a row is kept that says so. `for_good`: whatever
    Clerk is still heard to say, such as an answer that was on its way.
    """
    stone = User(clerk_id=clerk_id)
    stone.set_unusable_password()
    User.objects.bulk_create([stone], ignore_conflicts=True)
    user = lock_customer(clerk_id)
    if user is None:
        raise User.DoesNotExist
    if for_good and _last_word(user) != DELETED:
        _set_active(user, to=False, action=DELETED)
    elif not for_good:
        follow_clerk(user, is_blocked=True)
    return user


@transaction_required
def follow_clerk(user: User, *, is_blocked: bool) -> None:
    """Let a customer, who is locked, in or not, as Clerk does.

    Whoever staff have disabled stays so, and who was deleted at Clerk.
    """
    if is_blocked is not user.is_active:
        return
    if is_blocked:
        _set_active(user, to=False, action=BLOCKED)
    elif _last_word(user) == BLOCKED:
        _set_active(user, to=True, action=ADMITTED)


@transaction_required
def _set_active(user: User, *, to: bool, action: str) -> None:
    User.objects.filter(pk=user.pk).update(is_active=to)
    audit.record(actor=CLERK, action=action, subject="user", ids=[user.pk])


def _last_word(user: User) -> str | None:
    """What closed or opened the account last."""
    told = AuditEntry.objects.filter(subject_type="user", subject_id=str(user.pk))
    ours = told.filter(action__in=[BLOCKED, ADMITTED, DELETED])
    by_staff = told.filter(action=BY_STAFF, reason__contains="active")
    return (ours | by_staff).order_by("-id").values_list("action", flat=True).first()
