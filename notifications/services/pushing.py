"""Pushes are sent from their row, each to one device, and once at most.

FCM knows no keys, so what may have gone out is not sent again: mail is the truth, and a
push is a hint (docs/explanation/how-slotbase-recovers.md).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from notifications.locks import lock_by_keys, lock_leased, lock_pushed_to
from notifications.models import Notification, PushDevice
from notifications.rendering import render_push
from notifications.services import devices, push_guard
from notifications.services.choices import is_wanted_still
from notifications.services.fallback import push_is_settled
from notifications.services.history import record_attempt, record_move
from notifications.services.messages import UNWRITTEN, key_of_mail
from notifications.states import NOT_WANTED, Channel, DeviceStatus, NotificationStatus
from recovery import audit, rowqueue
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.failpoints import failpoint
from slotbase.lib.sealing import Unreadable, unseal
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.fcm import client
from slotbase.providers.fcm.outcomes import TOKEN_IS_DEAD

BY = audit.Actor.system("push")
SENT = "done"  # the outcome of an attempt that has none of the four others
UNREADABLE = "its token cannot be read any more"
WRONG_KEY = "unreadable_token"


@dataclass(frozen=True)
class Unsent(rowqueue.NotCalled):
    """Why a push was not even tried: the state that follows, and a reason."""

    to: NotificationStatus
    reason: str
    #: The registration of which no token can be read any more.
    unreadable: int | None = None


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
    device, now = lock_pushed_to(_device_id_of(message)), read_clock()
    if unsent := _why_unsent(message, device, now):
        return unsent
    if (token := _token_of(device)) is None:
        failed, of_then = NotificationStatus.FAILED, device.generation
        return Unsent(failed, UNREADABLE, unreadable=of_then)
    # Before anything is written: while FCM is away, rows stay as they are.
    client.require_ready()
    to = NotificationStatus.SENDING
    record_move(message.pk, message.status, to, actor=BY)
    message.rendered = {
        **_freeze(message),
        "generation": device.generation,
    }
    message.unsure_since, message.status = now, to
    message.save(update_fields=["rendered", "unsure_since", "status"])
    return _push_of(message, device, token, now)


@transaction_required
def _token_of(device: PushDevice) -> str | None:
    """The token of a device; None if nobody will ever read it.

    Raises:
        ProviderError: it is not under SECRET_KEY nor its fallbacks. The right key would
            mend all such devices, so nobody's is ended, and a person is told.
    """
    try:
        return unseal(device.sealed_token)
    except Unreadable:
        if devices.is_broken(device):
            return None
        outcome, code = Outcome.CONFIGURATION, WRONG_KEY
        raise ProviderError(outcome, provider="fcm", code=code) from None


def _why_unsent(
    message: Notification, device: PushDevice, now: datetime
) -> Unsent | None:
    if message.unsure_since is not None:
        return Unsent(NotificationStatus.UNKNOWN, "it may have gone out")
    if message.not_after is not None and message.not_after <= now:
        return Unsent(NotificationStatus.EXPIRED, "nobody wants it any more")
    if not is_wanted_still(message):
        return Unsent(NotificationStatus.SUPPRESSED, NOT_WANTED)
    # Somebody else may have signed in there, or it was forgotten.
    is_theirs = device.user_id == message.recipient_id
    if device.status != DeviceStatus.ACTIVE or not is_theirs:
        return Unsent(NotificationStatus.CANCELLED, "its device is theirs no more")
    return None


def _device_id_of(message: Notification) -> UUID:
    assert message.device_id is not None, "a push has a device"  # noqa: S101 - by constraint
    return message.device_id


def _freeze(message: Notification) -> dict[str, Any]:
    """What was written first stays, also if the template changes meanwhile."""
    if message.rendered not in (None, UNWRITTEN):
        return dict(message.rendered)
    locale = message.recipient.locale
    written = render_push(message.template, message.context, locale)
    return {"subject": written.title, "text": written.body}


def _push_of(
    message: Notification, device: PushDevice, token: str, now: datetime
) -> client.Push:
    written, ttl = message.rendered or {}, _ttl(message, now)
    return client.Push(
        token=token,
        is_fid=device.token_kind == PushDevice.TokenKind.FID,
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


@transaction_required
def _lock(row: Notification) -> Notification:
    """As `lock_leased`, with its mail and the other pushes, which its end may concern.

    First of all, and in one order: two pushes of one message may end at one instant,
    and each would wait for the other; or a cancellation, which withdraws them all.
    """
    lock_by_keys(key_of_mail(row.dedupe_key))
    return lock_leased(row)


def _record(row: Notification, answer: str | Unsent) -> Mapping[str, Any]:
    message = _lock(row)
    if isinstance(answer, Unsent):
        return _put_aside(message, answer)
    record_attempt(message.pk, outcome=SENT)
    values = {"provider_id": answer, "sent_at": Now(), "unsure_since": None}
    return _settle(message, NotificationStatus.SENT, values)


@transaction_required
def _put_aside(message: Notification, unsent: Unsent) -> Mapping[str, Any]:
    """It was not tried, so the attempt does not count."""
    if unsent.unreadable is not None:
        _end_device(message, generation=unsent.unreadable, why=unsent.reason)
    values = {"attempts": message.attempts - 1}
    return _settle(message, unsent.to, values, reason=unsent.reason)


def _fail(
    row: Notification,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    message = _lock(row)
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
    _end_device(message, generation=generation, why=code.lower())


@transaction_required
def _end_device(message: Notification, *, generation: int, why: str) -> None:
    id_ = _device_id_of(message)
    devices.invalidate(device_id=id_, generation=generation, why=why)


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
