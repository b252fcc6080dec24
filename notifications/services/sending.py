"""Mails are sent from their row: rendered once, called with one key, recorded once.

What Resend may have taken is known to it for 24 hours by its key, and is sent again
only within that time (docs/explanation/how-slotbase-recovers.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from django.conf import settings

from notifications.kinds import find_kind
from notifications.locks import lock_leased
from notifications.models import Notification, key_of
from notifications.rendering import render
from notifications.services import budget
from notifications.services.choices import is_wanted_still
from notifications.services.fallback import nobody_waits_for, tell_otherwise
from notifications.services.history import record_attempt, record_move
from notifications.services.suppression import find_suppression
from notifications.services.undeliverable import (
    close_undeliverable,
    leave_untold,
    must_arrive,
    open_undeliverable,
)
from notifications.states import LOST, NOT_WANTED, Channel, NotificationStatus
from notifications.tokens import unsubscribe_headers, unsubscribe_url
from recovery import audit, rowqueue
from slotbase.accounts.services.profiles import request_profile
from slotbase.lib import tally
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.failpoints import failpoint
from slotbase.providers.errors import Outcome
from slotbase.providers.resend import client

# Resend forgets a key after 24 hours: an hour less, for clocks and slow calls.
KEY_LIFE = timedelta(hours=23)
SWEEP_SECONDS = 2  # as often as beat asks for a sweep (slotbase/schedule.py)
RATE_LIMIT_SECONDS = 1  # Resend counts its requests in a second
#: What says nothing against a mail: it is asked for again, and loses no attempt.
NOT_NOW = {
    client.RATE_LIMIT: "too many calls at once",
    client.IN_FLIGHT: "its call before is not answered yet",
    **dict.fromkeys(client.QUOTAS, "a quota is used up"),
}
UNADDRESSED_CASE_AFTER = timedelta(hours=24)
UNADDRESSED_UNTIL = timedelta(days=7)
#: What Resend calls the id of our row in its webhooks.
TAG = "notification"
BY = audit.Actor.system("email")
NOT_NEEDED = "nobody wants it any more"
SENT = "done"  # the outcome of an attempt that has none of the four others


@dataclass(frozen=True)
class Unsent(rowqueue.NotCalled):
    """Why a mail was not even tried: the state that follows, and a reason."""

    to: NotificationStatus
    reason: str


class Held(rowqueue.NotCalled):
    """The budget is used up: it stays due, and nothing changes."""


@dataclass(frozen=True)
class Mail:
    """What goes to Resend: frozen before the first call, the same at each later one."""

    sender: str
    to: str
    subject: str
    html: str
    text: str
    attachments: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def send_due(**only: Any) -> int:
    """Send the mails for which there is room now; returns how many were tried."""
    return rowqueue.run_due(QUEUE, channel=Channel.EMAIL, **only)


def sweep() -> int:
    """Send what is due until the next sweep begins, as fast as the budget allows."""
    stop_at = timedelta(seconds=monotonic() + SWEEP_SECONDS)
    has_room = partial(budget.wait_for_room, stop_at=stop_at)
    queue = replace(QUEUE, has_room=has_room)
    return rowqueue.run_due(queue, channel=Channel.EMAIL)


def _send(row: Notification) -> str | Unsent | Held:
    # Before anything is written: while Resend is away, rows stay as they are.
    client.require_ready()
    mail = _prepare(row)
    if not isinstance(mail, Mail):
        return mail
    failpoint("email.rendered")
    tags = {TAG: str(row.pk)}
    return client.send_email(**vars(mail), idempotency_key=key_of(row.pk), tags=tags)


@retry_on_conflict
def _prepare(row: Notification) -> Mail | Unsent | Held:
    """Freeze the mail and commit that it may go out from now on, or say why not."""
    message = lock_leased(row)
    now = read_clock()
    if unsent := _why_unsent(message, now):
        return unsent
    if not budget.take():
        return Held()
    to = NotificationStatus.SENDING
    record_move(message.pk, message.status, to, actor=BY)
    message.rendered = _freeze(message)
    message.address_snapshot = _address_of(message)
    message.unsure_since, message.status = message.unsure_since or now, to
    message.save(
        update_fields=["rendered", "address_snapshot", "unsure_since", "status"]
    )
    return Mail(**message.rendered, to=message.address_snapshot)


def _why_unsent(message: Notification, now: datetime) -> Unsent | None:
    if unwanted := _why_unwanted(message, now):
        return unwanted
    if message.unsure_since is not None and message.unsure_since + KEY_LIFE <= now:
        return Unsent(NotificationStatus.UNKNOWN, "it may have gone out a day ago")
    if address := _address_of(message):
        return _why_suppressed(message, address)
    if message.created_at + UNADDRESSED_UNTIL <= now:
        return Unsent(NotificationStatus.FAILED, "no address")
    return Unsent(NotificationStatus.WAITING_FOR_ADDRESS, "no address yet")


def _why_unwanted(message: Notification, now: datetime) -> Unsent | None:
    if message.not_after is not None and message.not_after <= now:
        return Unsent(NotificationStatus.EXPIRED, _why_expired(message))
    # One that may have gone out already is not taken back.
    if message.unsure_since is not None or is_wanted_still(message):
        return None
    return Unsent(NotificationStatus.SUPPRESSED, NOT_WANTED)


def _address_of(message: Notification) -> str:
    """Where it may have gone it goes again; else where its recipient is reached now."""
    is_frozen = message.unsure_since is not None
    return (message.address_snapshot if is_frozen else "") or message.recipient.email


def _why_expired(message: Notification) -> str:
    may_be_there = message.unsure_since is not None
    return f"{NOT_NEEDED}, and it may have gone out" if may_be_there else NOT_NEEDED


def _why_suppressed(message: Notification, address: str) -> Unsent | None:
    """What may have gone out is found out by the same key, whatever the list says."""
    if message.unsure_since is not None or find_suppression(address) is None:
        return None
    return Unsent(NotificationStatus.SUPPRESSED, "its address takes no mail")


def _freeze(message: Notification) -> dict[str, Any]:
    """The mail as it was written; until it may have gone out, from today's sender."""
    if message.rendered is not None and message.unsure_since is not None:
        return dict(message.rendered)
    written = message.rendered or _write(message)
    return {**written, "sender": settings.EMAIL_FROM}


def _write(message: Notification) -> dict[str, Any]:
    url = unsubscribe_url(
        kind=find_kind(message.template, message.context),
        user_id=message.recipient_id,
    )
    written = render(
        message.template,
        message.context,
        person=message.recipient.name,
        locale=message.recipient.locale,
        unsubscribe_url=url,
        at=message.created_at,
    ).as_json()
    # Absent if there are none: a worker of the version before knows no such part.
    return {**written, "headers": unsubscribe_headers(url)} if url else written


# --- What came of it ----------------------------------------------------------------


def _record(row: Notification, answer: str | Unsent | Held) -> Mapping[str, Any]:
    message = lock_leased(row)
    if isinstance(answer, Held):
        return _hold(message)
    if isinstance(answer, Unsent):
        return _put_aside(message, answer)
    to = NotificationStatus.SENT
    record_attempt(message.pk, outcome=SENT)
    record_move(message.pk, message.status, to, actor=BY)
    close_undeliverable(message, "It was sent.")
    return {
        "status": to,
        "provider_id": answer,
        "sent_at": Now(),
        "unsure_since": None,
    }


def _hold(message: Notification) -> Mapping[str, Any]:
    return {
        "attempts": message.attempts - 1,
        "next_run_at": message.next_run_at,
        "last_error": message.last_error,
    }


@transaction_required
def _put_aside(message: Notification, unsent: Unsent) -> Mapping[str, Any]:
    """It was not tried, so the attempt does not count."""
    record_move(message.pk, message.status, unsent.to, actor=BY, reason=unsent.reason)
    values = {"status": unsent.to, "attempts": message.attempts - 1}
    if unsent.to == NotificationStatus.WAITING_FOR_ADDRESS:
        return {**values, "next_run_at": _wait_for_address(message)}
    if unsent.to == NotificationStatus.EXPIRED or unsent.reason == NOT_WANTED:
        close_undeliverable(message, "Nobody wants it any more.")
    else:
        _give_up(message, unsent.to, unsent.reason)
    return values


@transaction_required
def _give_up(message: Notification, to: str, cause: str) -> None:
    """What did not arrive is told otherwise; what may have, a person looks at."""
    if to in LOST:
        tell_otherwise(message, cause=cause)
    elif nobody_waits_for(message):
        leave_untold(message, cause=cause)
    elif must_arrive(message):
        open_undeliverable(message, cause=cause)


@transaction_required
def _wait_for_address(message: Notification) -> Any:
    """Have Clerk asked; when to look again: soon, then less and less often."""
    age = read_clock() - message.created_at
    if age >= UNADDRESSED_CASE_AFTER and must_arrive(message):
        open_undeliverable(message, cause="no address is known")
    request_profile(user_id=message.recipient_id)
    seconds = min(max(int(age.total_seconds()) // 4, 10), 3600)
    return Now() + rowqueue.with_jitter(seconds)


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
        tally.count("mail_failed")
    unsure_since = _unsure_since(row, message, failure)
    if reason := NOT_NOW.get(failure.code):
        return _wait_for_resend(message, failure, unsure_since, reason)
    to = _state_after(message, is_over=is_over, is_unsure=unsure_since is not None)
    record_move(message.pk, message.status, to, actor=BY)
    if is_over:
        _give_up(message, to, failure.error)
    return {"status": to, "unsure_since": unsure_since}


@transaction_required
def _wait_for_resend(
    message: Notification,
    failure: rowqueue.Failure,
    unsure_since: datetime | None,
    reason: str,
) -> Mapping[str, Any]:
    """Resend wants to be asked again, and this mail has lost no attempt by it."""
    to = _state_after(message, is_over=False, is_unsure=False)
    record_move(message.pk, message.status, to, actor=BY, reason=reason)
    return {
        "status": to,
        "unsure_since": unsure_since,
        "attempts": message.attempts - 1,
        "next_run_at": Now() + _hold_back(failure),
    }


@transaction_required
def _hold_back(failure: rowqueue.Failure) -> timedelta:
    """Let all mails wait, if need be, and say for how long this one waits besides."""
    if failure.code in client.QUOTAS:
        budget.pause(quota=failure.code, retry_after=failure.retry_after)
        return timedelta()
    asked = failure.retry_after or RATE_LIMIT_SECONDS
    seconds = min(asked, rowqueue.MAX_RETRY_AFTER_SECONDS)
    if failure.code == client.RATE_LIMIT:
        budget.wait(seconds)
    return timedelta(seconds=seconds)


def _unsure_since(
    row: Notification, message: Notification, failure: rowqueue.Failure
) -> datetime | None:
    """Nothing is unsure if this was the first call, and it is known to have failed."""
    is_first = row.unsure_since is None
    nothing_happened = failure.outcome not in {Outcome.UNKNOWN, None}
    return None if is_first and nothing_happened else message.unsure_since


def _state_after(message: Notification, *, is_over: bool, is_unsure: bool) -> str:
    if is_over:
        unsure, sure = NotificationStatus.UNKNOWN, NotificationStatus.FAILED
        return unsure if is_unsure else sure
    is_begun = message.status == NotificationStatus.SENDING
    # Not begun: Resend was not asked, so nothing changes.
    return NotificationStatus.RETRY if is_begun else message.status


QUEUE = rowqueue.RowQueue(
    name="email",
    model=Notification,
    call=_send,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: settings.NOTIFICATION_RETRY_SECONDS,
    provider="resend",
    sends=True,
    order=budget.order_of,
    only_if=budget.IN_TURN,
    has_room=budget.has_room,
)
