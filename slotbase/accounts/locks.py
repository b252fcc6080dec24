"""Every lock of this app; a user comes early in the lock order (bookings/locks.py)."""

from uuid import UUID

from slotbase.accounts.models import User
from slotbase.lib.db import transaction_required


@transaction_required
def lock_user(user_id: UUID) -> User:
    """A person, locked; rows that refer to them can be inserted meanwhile.

    Raises:
        User.DoesNotExist: there is none.
    """
    return User.objects.select_for_update(of=("self",), no_key=True).get(pk=user_id)
