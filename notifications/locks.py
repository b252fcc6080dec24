"""Every lock of this app: notifications, late in the lock order (bookings/locks.py)."""

from uuid import UUID

from notifications.errors import MessageNotFound
from notifications.models import Notification
from recovery.rowqueue import LateRecord
from slotbase.lib.db import transaction_required


@transaction_required
def lock_leased(row: Notification) -> Notification:
    """The row as it is now, locked, if the lease under which it was claimed is valid.

    Raises:
        LateRecord: somebody else has it now, or it was withdrawn.
    """
    locked = Notification.objects.select_for_update(of=("self",))
    found = locked.filter(pk=row.pk, lease_token=row.lease_token).first()
    if found is None:
        raise LateRecord
    return found


@transaction_required
def lock_by_key(dedupe_key: str) -> Notification | None:
    """The message with this key, locked, if there is one."""
    locked = Notification.objects.select_for_update(of=("self",))
    return locked.filter(dedupe_key=dedupe_key).first()


@transaction_required
def lock_message(message_id: UUID) -> Notification:
    """A message, locked.

    Raises:
        MessageNotFound: there is none.
    """
    locked = Notification.objects.select_for_update(of=("self",))
    if (message := locked.filter(pk=message_id).first()) is None:
        raise MessageNotFound
    return message
