"""Devices that take pushes: each belongs to whoever signed in there last."""

import hashlib
from uuid import UUID

from django.conf import settings
from django.db.models import F

from notifications.locks import (
    lock_device_of,
    lock_registered,
    lock_surplus_devices,
)
from notifications.models import PushDevice
from notifications.states import DEVICE_MOVES, DeviceStatus
from recovery import audit, idempotency
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.sealing import Unreadable, is_sealed, seal, unseal
from slotbase.lib.states import require_move

SUBJECT = "pushdevice"
BY = audit.Actor.system("push")


@retry_on_conflict
def register(
    *,
    user_id: UUID,
    token: str,
    platform: str,
    kind: str = PushDevice.TokenKind.TOKEN,
    app_version: str = "",
    once: idempotency.Once | None = None,
) -> tuple[UUID, bool]:
    """Push to this device what its user is told; its id, and whether it is new.

    Apps register at each start. A token that is known moves to this user, whoever had
    it; what still waits for the one before is not pushed there any more. Of more than
    MAX_DEVICES those that were not seen for the longest are revoked.

    Raises:
        AlreadyAnswered, KeyReused, KeyInProgress: as `idempotency.begin`.
    """
    new = PushDevice(
        user_id=user_id,
        token_kind=kind,
        token_hash=hash_token(kind, token),
        sealed_token=seal(token),
        platform=platform,
        app_version=app_version,
    )
    idempotency.begin(once, status=201, object_id=new.pk)
    device = _insert_or_lock(new)
    if is_new := device.pk == new.pk:
        _record(device.pk, "registered", ("", DeviceStatus.ACTIVE), by=user_id)
    else:
        idempotency.correct(once, status=200, object_id=device.pk)
        _renew(device, new)
    for surplus in lock_surplus_devices(user_id, kept=settings.MAX_DEVICES):
        end(surplus, DeviceStatus.REVOKED, why="too many devices", actor=BY)
    return device.pk, is_new


@transaction_required
def _insert_or_lock(new: PushDevice) -> PushDevice:
    device = None
    while device is None:  # it may be tidied away between the two statements
        PushDevice.objects.bulk_create([new], ignore_conflicts=True)
        device = lock_registered(new.token_hash)
    return device


def hash_token(kind: str, token: str) -> str:
    """By what a device is found again; no key is needed for what is long and random."""
    return hashlib.sha256(f"{kind}:{token}".encode()).hexdigest()


@transaction_required
def _renew(device: PushDevice, new: PushDevice) -> None:
    is_moved, before = device.user_id != new.user_id, device.status
    PushDevice.objects.filter(pk=device.pk).update(
        user_id=new.user_id,
        sealed_token=new.sealed_token,
        platform=new.platform,
        app_version=new.app_version,
        status=DeviceStatus.ACTIVE,
        why="",
        generation=F("generation") + 1,
        last_seen_at=Now(),
        ended_at=None,
    )
    if before != DeviceStatus.ACTIVE:
        require_move(DEVICE_MOVES, before, DeviceStatus.ACTIVE)
        move = (before, str(DeviceStatus.ACTIVE))
        _record(device.pk, "registered", move, by=new.user_id)
    if is_moved:
        _record(device.pk, "moved", ("", ""), by=new.user_id)


@retry_on_conflict
def forget(*, user_id: UUID, device_id: UUID) -> None:
    """Push nothing there any more, as when somebody signs out; again changes nothing.

    Raises:
        DeviceNotFound: it is not a device of this user.
    """
    device = lock_device_of(user_id, device_id)
    if DeviceStatus.REVOKED in DEVICE_MOVES[device.status]:
        actor = audit.Actor.customer(user_id)
        end(device, DeviceStatus.REVOKED, why="signed out", actor=actor)


@transaction_required
def is_broken(device: PushDevice) -> bool:
    """Whether it is the fault of a token that it cannot be read, not of SECRET_KEY.

    It is if nothing was sealed at all, or if this token stands alone: those before and
    after it can be read.
    """
    if not is_sealed(device.sealed_token):
        return True
    # A token is sealed when its app shows itself, so a key that is missing hides a
    # whole run of them, up to some moment. Of the oldest nobody knows: it may be the
    # last one of such a run. To wait costs nobody a device, to end it would.
    seen_at = device.last_seen_at
    others = PushDevice.objects.filter(status=DeviceStatus.ACTIVE).exclude(pk=device.pk)
    before = others.filter(last_seen_at__lte=seen_at).order_by("-last_seen_at").first()
    after = others.filter(last_seen_at__gt=seen_at).order_by("last_seen_at").first()
    return before is not None and all(
        _can_be_read(other) for other in (before, after) if other is not None
    )


def _can_be_read(device: PushDevice) -> bool:
    try:
        unseal(device.sealed_token)
    except Unreadable:
        return False
    return True


@transaction_required
def invalidate(*, device_id: UUID, generation: int, why: str) -> None:
    """FCM does not know the device; if it registered since, that says nothing of it."""
    of_then = PushDevice.objects.filter(
        pk=device_id, generation=generation, status=DeviceStatus.ACTIVE
    )
    to = DeviceStatus.INVALID
    if of_then.update(status=to, why=why, ended_at=Now()):
        move = (str(DeviceStatus.ACTIVE), str(to))
        audit.record(
            actor=BY,
            action="pushdevice.invalid",
            subject=SUBJECT,
            ids=[device_id],
            move=move,
            reason=why,
        )


@transaction_required
def end(device: PushDevice, to: DeviceStatus, *, why: str, actor: audit.Actor) -> None:
    """Push nothing to a device any more that the caller has locked.

    Raises:
        InvalidState: nothing is pushed there anyway.
    """
    require_move(DEVICE_MOVES, device.status, to)
    PushDevice.objects.filter(pk=device.pk).update(status=to, why=why, ended_at=Now())
    audit.record(
        actor=actor,
        action=f"pushdevice.{to.lower()}",
        subject=SUBJECT,
        ids=[device.pk],
        move=(device.status, to),
        reason=why,
    )


@transaction_required
def _record(device_id: UUID, what: str, move: tuple[str, str], *, by: UUID) -> None:
    audit.record(
        actor=audit.Actor.customer(by),
        action=f"pushdevice.{what}",
        subject=SUBJECT,
        ids=[device_id],
        move=move,
    )
