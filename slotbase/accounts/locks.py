"""Every lock of this app; a user comes early in the lock order (bookings/locks.py)."""

from uuid import UUID

from django.db import connection

from slotbase.accounts.errors import AccountDisabled
from slotbase.accounts.models import User
from slotbase.lib.db import transaction_required


@transaction_required
def lock_user(user_id: UUID) -> User:
    """A person, locked; rows that refer to them can be inserted meanwhile.

    Raises:
        User.DoesNotExist: there is none.
    """
    return User.objects.select_for_update(of=("self",), no_key=True).get(pk=user_id)


@transaction_required
def lock_customer(clerk_id: str) -> User | None:
    """Who has this Clerk id, locked as `lock_user` does; None if nobody has."""
    users = User.objects.select_for_update(of=("self",), no_key=True)
    return users.filter(clerk_id=clerk_id).first()


@transaction_required
def lock_active_customer(customer_id: UUID) -> None:
    """Take turns over what is limited per customer.

    Raises:
        AccountDisabled: they were signed in a moment ago, and are let in no more.
    """
    with connection.cursor() as cursor:
        # NO KEY: rows that refer to the user can be inserted meanwhile.
        cursor.execute(
            "SELECT is_active FROM accounts_user WHERE id = %s FOR NO KEY UPDATE",
            [customer_id],
        )
        row = cursor.fetchone()
    if row is not None and not row[0]:
        raise AccountDisabled
