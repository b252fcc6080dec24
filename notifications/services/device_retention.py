"""Devices that are gone, or have not been seen for long, are not kept."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from notifications.locks import lock_ended_devices, lock_unseen_devices
from notifications.models import Notification, PushDevice
from notifications.services import devices
from notifications.states import DeviceStatus
from recovery import audit
from slotbase.lib.db import retry_on_conflict, transaction_required

STALE_AFTER = timedelta(days=60)
# FCM gives up a token after 270 days; so long a stale device may come back as itself.
FORGOTTEN_AFTER = {
    DeviceStatus.INVALID: timedelta(days=7),
    DeviceStatus.REVOKED: timedelta(days=7),
    DeviceStatus.STALE: timedelta(days=270) - STALE_AFTER,
}
BY = audit.Actor.system("devices")


@retry_on_conflict
def retire_unseen_devices(*, limit: int) -> int:
    """Push nothing more to devices that were not seen for 60 days; returns how many."""
    unseen = lock_unseen_devices(STALE_AFTER, limit=limit)
    for device in unseen:
        devices.end(device, DeviceStatus.STALE, why="not seen for long", actor=BY)
    return len(unseen)


@retry_on_conflict
def forget_ended_devices(*, status: DeviceStatus, limit: int) -> int:
    """Drop devices that ended so long ago; returns how many.

    One that messages went to stays as a row without its token, for their history.
    """
    ended = lock_ended_devices(status, FORGOTTEN_AFTER[status], limit=limit)
    forget([device.pk for device in ended])
    return len(ended)


@transaction_required
def forget(device_ids: Collection[UUID]) -> None:
    """Drop devices that ended and that the caller has locked."""
    ids = {*device_ids}
    went_to = Notification.objects.filter(device__in=ids)
    kept = set(went_to.values_list("device", flat=True).distinct())
    for device_id in kept:
        PushDevice.objects.filter(pk=device_id).update(
            sealed_token="", token_hash=f"forgotten:{device_id.hex}", app_version=""
        )
    PushDevice.objects.filter(pk__in=ids - kept).delete()
    _record(list(ids))


@transaction_required
def _record(ids: list[object]) -> None:
    audit.record(
        actor=BY, action="pushdevice.forgotten", subject=devices.SUBJECT, ids=ids
    )
