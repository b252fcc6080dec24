"""What staff do about the device of a customer."""

from uuid import UUID

from notifications.locks import lock_device
from notifications.models import PushDevice
from notifications.states import DEVICE_MOVES, DeviceStatus
from recovery import audit
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.states import require_move

REVOCABLE = frozenset(
    status for status, to in DEVICE_MOVES.items() if DeviceStatus.REVOKED in to
)


@retry_on_conflict
def revoke(*, device_id: UUID, staff_id: UUID) -> None:
    """Push nothing to a device any more, until its app registers it again.

    Raises:
        DeviceNotFound: there is none.
        InvalidState: nothing is pushed there anyway.
    """
    device, to = lock_device(device_id), DeviceStatus.REVOKED
    require_move(DEVICE_MOVES, device.status, to)
    PushDevice.objects.filter(pk=device.pk).update(
        status=to, ended_at=Now(), why="revoked by staff"
    )
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="pushdevice.revoked",
        subject="pushdevice",
        ids=[device.pk],
        move=(device.status, to),
    )
