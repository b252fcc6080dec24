"""Pushes are sent from their row, each to one device, and once at most.

FCM knows no keys, so what may have gone out is not sent again: mail is the truth, and a
push is a hint (docs/explanation/how-slotbase-recovers.md).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from notifications.locks import lock_leased
from notifications.models import Notification, PushDevice
from notifications.rendering import render_push
from notifications.services import devices, push_guard
from notifications.services.choices import NOT_WANTED, is_wanted_still
from notifications.services.fallback import push_is_settled
from notifications.services.history import record_attempt, record_move
from notifications.services.messages import key_of_mail
from notifications.states import Channel, DeviceStatus, NotificationStatus
from recovery import audit, rowqueue
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.failpoints import failpoint
from slotbase.lib.sealing import Unreadable, unseal
from slotbase.providers.errors import Outcome
from slotbase.providers.fcm import client
from slotbase.providers.fcm.outcomes import TOKEN_IS_DEAD

BY = audit.Actor.system("push")
SENT = "done"  # the outcome of an attempt that has none of the four others
UNREADABLE = "its token cannot be read any more"


@dataclass(frozen=True)
class Unsent(rowqueue.NotCalled):
    """Why a push was not even tried: the state that follows, and a reason."""

    to: NotificationStatus
    reason: str


def send_due(**only: Any) -> int:
    """Send the pushes that are due; returns how many were tried."""
    return rowqueue.run_due(QUEUE, channel=Channel.PUSH, **only)


def _send(row: Notification) -> str | Unsent:
    push = _prepare(row)
    if isinstance(push, Unsent):
        return push
    failpoint("push.rendered")
    return client.send_push(push)


@retry_on_conflict
def _prepare(row: Notification) -> client.Push | Unsent:
    """Commit that the push may go out from now on, or say why not."""
    message = lock_leased(row)
    now = read_clock()
    if unsent := _why_unsent(message, now):
        return unsent
    try:
        token = unseal(_device_of(message).sealed_token)
    except Unreadable:
        return Unsent(NotificationStatus.FAILED, UNREADABLE)
    # Before anything is written: while FCM is away, rows stay as they are.
    client.require_ready()
    to = NotificationStatus.SENDING
    record_move(message.pk, message.status, to, actor=BY)
    message.rendered = {
        **_freeze(message),
        "generation": _device_of(message).generation,
    }
    message.unsure_since, message.status = now, to
    message.save(update_fields=["rendered", "unsure_since", "status"])
    return _push_of(message, token, now)


def _why_unsent(message: Notification, now: datetime) -> Unsent | None:
    if message.unsure_since is not None:
        return Unsent(NotificationStatus.UNKNOWN, "it may have gone out")
    if message.not_after is not None and message.not_after <= now:
        return Unsent(NotificationStatus.EXPIRED, "nobody wants it any more")
    if not is_wanted_still(message):
        return Unsent(NotificationStatus.SUPPRESSED, NOT_WANTED)
    device = _device_of(message)
    # Somebody else may have signed in there, or it was forgotten.
    is_theirs = device.user_id == message.recipient_id
    if device.status != DeviceStatus.ACTIVE or not is_theirs:
        return Unsent(NotificationStatus.CANCELLED, "its device is theirs no more")
    return None


def _device_of(message: Notification) -> PushDevice:
    assert message.device is not None, "a push has a device"  # noqa: S101 - by constraint
    return message.device


def _freeze(message: Notification) -> dict[str, Any]:
    """What was written first stays, also if the template changes meanwhile."""
    if message.rendered is not None:
        return dict(message.rendered)
    locale = message.recipient.locale
    written = render_push(message.template, message.context, locale)
    return {"subject": written.title, "text": written.body}


def _push_of(message: Notification, token: str, now: datetime) -> client.Push:
    written, ttl = message.rendered or {}, _ttl(message, now)
    return client.Push(
        token=token,
        is_fid=_device_of(message).token_kind == PushDevice.TokenKind.FID,
        title=written["subject"],
        body=written["text"],
        data={
            "kind": message.template,
            "subject_type": message.subject_type,
            "subject_id": message.subject_id,
        },
        collapse_key=_collapse_key(message),
        ttl=ttl,
        expires_at=now + ttl,
    )


def _collapse_key(message: Notification) -> str:
    """The same on each device, so that a copy takes the place of the first one."""
    key = key_of_mail(message.dedupe_key)
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _ttl(message: Notification, now: datetime) -> timedelta:
    most = timedelta(seconds=settings.PUSH_TTL_SECONDS)
    return most if message.not_after is None else min(message.not_after - now, most)


# --- What came of it ----------------------------------------------------------------


def _record(row: Notification, answer: str | Unsent) -> Mapping[str, Any]:
    message = lock_leased(row)
    if isinstance(answer, Unsent):
        return _put_aside(message, answer)
    record_attempt(message.pk, outcome=SENT)
    values = {"provider_id": answer, "sent_at": Now(), "unsure_since": None}
    return _settle(message, NotificationStatus.SENT, values)


@transaction_required
def _put_aside(message: Notification, unsent: Unsent) -> Mapping[str, Any]:
    """It was not tried, so the attempt does not count."""
    if unsent.reason == UNREADABLE:
        device = _device_of(message)
        devices.invalidate(
            device_id=device.pk, generation=device.generation, why=unsent.reason
        )
    values = {"attempts": message.attempts - 1}
    return _settle(message, unsent.to, values, reason=unsent.reason)


def _fail(
    row: Notification,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    message = lock_leased(row)
    is_begun = message.status == NotificationStatus.SENDING
    if is_begun and (failure.was_tried or failure.misconfigured):
        outcome = failure.outcome or "error"
        record_attempt(message.pk, outcome=outcome, code=failure.code)
    if failure.code in TOKEN_IS_DEAD:
        _lose_device(message, failure.code)
    if is_begun and failure.outcome in {Outcome.UNKNOWN, None}:
        return _settle(message, NotificationStatus.UNKNOWN, {})
    if is_over:
        return _settle(message, NotificationStatus.FAILED, {"unsure_since": None})
    # Not begun: FCM was not asked, so nothing changes.
    to = NotificationStatus.RETRY if is_begun else message.status
    record_move(message.pk, message.status, to, actor=BY)
    return {"status": to, "unsure_since": None}


@transaction_required
def _lose_device(message: Notification, code: str) -> None:
    """FCM does not know the device as it was then, unless the fault is ours."""
    if push_guard.is_our_fault():
        return
    generation = (message.rendered or {}).get("generation", 0)
    devices.invalidate(
        device_id=_device_of(message).pk, generation=generation, why=code.lower()
    )


@transaction_required
def _settle(
    message: Notification,
    to: NotificationStatus,
    values: Mapping[str, Any],
    *,
    reason: str = "",
) -> Mapping[str, Any]:
    """A push is over, however: the one place that all of them come by.

    It opens no case of its own: what must arrive is a mail as well, and if that is lost
    its case closes now, or opens.
    """
    record_move(message.pk, message.status, to, actor=BY, reason=reason)
    settled = {"status": to, "next_run_at": None, **values}
    Notification.objects.filter(pk=message.pk).update(**settled)
    push_is_settled(message)
    return settled


QUEUE = rowqueue.RowQueue(
    name="push",
    model=Notification,
    call=_send,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: settings.PUSH_RETRY_SECONDS,
    provider="fcm",
    sends=True,
)
