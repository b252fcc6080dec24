"""Messages are queued by the transaction that causes them, and withdrawn likewise."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import DateTimeField, F, Q, Value
from django.db.models.functions import Least

from notifications.kinds import find_kind
from notifications.locks import lock_about, lock_with_copies
from notifications.models import Notification, PushDevice
from notifications.services.choices import leave_out_unwanted
from notifications.services.history import record_moves
from notifications.services.undeliverable import close_undeliverable, leave_untold
from notifications.states import LOST, UNTOLD, Channel, DeviceStatus, NotificationStatus
from recovery import audit
from slotbase.accounts.models import User
from slotbase.accounts.services.profiles import request_profile
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit

BY = audit.Actor.system("messages")
#: Between the key of a message and the device, in the key of its push.
PUSH_MARK = ":push:"
#: The text of a push until it is written. The version before takes whatever is due for
#: a mail: of this, which has no HTML, it can make none, and it tries later (ADR 0037).
UNWRITTEN = {"subject": "", "text": ""}
MAY_BE_OUT = "it may have gone out before"
TASKS = {
    Channel.EMAIL: "notifications.send_email",
    Channel.PUSH: "notifications.send_push",
}


@transaction_required
def queue_message(  # noqa: PLR0913 - what a message is about has no fewer parts
    *,
    recipient_id: UUID,
    template: str,
    context: Mapping[str, Any],
    dedupe_key: str,
    subject_type: str,
    subject_id: Any,
    venue_id: int | None = None,
    reference: str = "",
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    channels: Iterable[Channel] | None = None,
    devices: Iterable[UUID] | None = None,
) -> None:
    """Owe somebody a message; the same `dedupe_key` twice is one message.

    Part of the transaction that is the reason for it: both commit, or neither does. It
    goes out by all channels of its kind (or those of them that are given) by which the
    recipient wants to hear of its topic: one mail, which waits for the address if it is
    not known yet, and a push to each device that the recipient has now (or to the given
    ones), if FCM is configured; nobody wants a push PUSH_TTL_SECONDS after it was due.
    `context` has
    what `notifications.kinds.KINDS` lists: ids, titles, amounts in minor units, times
    as ISO 8601 in UTC; nothing that identifies a person. It is not sent before
    `not_before` (whether they want it is asked then, not now), and from `not_after` on
    nobody wants it any more. Nothing is owed to somebody who was erased.

    Raises:
        UnknownTemplate: no such kind, or its context lacks something.
    """
    kind = find_kind(template, context)
    wanted = set(kind.channels if channels is None else channels)
    if not_before is None:  # else they may want it again by then
        wanted = leave_out_unwanted(user_id=recipient_id, kind=kind, channels=wanted)
    about = {
        "recipient_id": recipient_id,
        "template": template,
        "template_version": kind.version,
        "context": {**context},
        "subject_type": subject_type,
        "subject_id": str(subject_id),
        "venue_id": venue_id,
        "reference": reference,
        "urgency": kind.urgency,
        "not_after": not_after,
        **({} if not_before is None else {"next_run_at": not_before}),
    }
    new = []
    if Channel.EMAIL in wanted:
        new.append(Notification(dedupe_key=dedupe_key, **about))
    if Channel.PUSH in wanted:
        new += [
            Notification(
                dedupe_key=push_key(dedupe_key, device_id),
                channel=Channel.PUSH,
                device_id=device_id,
                rendered=UNWRITTEN,
                **{**about, "not_after": _pointless_from(not_before, not_after)},
            )
            for device_id in (devices_of(recipient_id) if devices is None else devices)
        ]
    if new and User.objects.filter(pk=recipient_id, erased_at=None).exists():
        _insert(new, is_due=not_before is None)


def push_key(dedupe_key: str, device_id: UUID) -> str:
    """The key of the push to one device that says the same as the mail with a key."""
    return f"{dedupe_key}{PUSH_MARK}{device_id}"


def key_of_mail(dedupe_key: str) -> str:
    """The key of the mail that says the same as a push with a key; of a mail, its own.

    Copies on several devices have it in common, however often they are sent again.
    """
    return dedupe_key.partition(PUSH_MARK)[0]


def _pointless_from(not_before: datetime | None, not_after: datetime | None) -> Any:
    """A push is a hint: what comes late is in the mail."""
    due = Now() if not_before is None else Value(not_before, DateTimeField())
    late = due + timedelta(seconds=settings.PUSH_TTL_SECONDS)
    if not_after is None:
        return late
    return Least(late, Value(not_after, DateTimeField()))


def devices_of(user_id: UUID) -> list[UUID]:
    """The devices of somebody to which messages are pushed now."""
    if not settings.FCM_CREDENTIALS:
        return []
    devices = PushDevice.objects.filter(user_id=user_id, status=DeviceStatus.ACTIVE)
    return list(devices.order_by("pk").values_list("pk", flat=True))


@transaction_required
def _insert(new: list[Notification], *, is_due: bool) -> None:
    Notification.objects.bulk_create(new, ignore_conflicts=True)
    ids = Notification.objects.filter(pk__in=[message.pk for message in new])
    known = set(ids.values_list("pk", flat=True))
    inserted = [message for message in new if message.pk in known]
    # One statement for all: a confirmation takes no longer for more devices.
    record_moves(_ids(inserted), "", NotificationStatus.PENDING, actor=BY)
    for message in inserted:
        if is_due:
            after_commit(TASKS[Channel(message.channel)], id=message.pk)
        if message.channel == Channel.EMAIL:
            _ask_for_address(message.recipient_id)


def _ids(messages: Iterable[Notification]) -> list[UUID]:
    return [message.pk for message in messages]


@transaction_required
def _ask_for_address(user_id: UUID) -> None:
    if User.objects.filter(pk=user_id, email="").exists():
        request_profile(user_id=user_id)


@transaction_required
def is_queued(*, dedupe_key: str) -> bool:
    """Whether this message was queued, whatever became of it."""
    return Notification.objects.filter(dedupe_key=dedupe_key).exists()


@transaction_required
def count_withdrawn(*, subject_type: str, subject_id: Any, template: str) -> int:
    """How many messages of a kind about one thing were withdrawn before they went out.

    As a part of a key: what was withdrawn can be said after all. So it never becomes
    less, also when one turns out to have gone out. A mail and the pushes that say the
    same are one, also where there is no mail.
    """
    is_withdrawn = Q(status=NotificationStatus.CANCELLED)
    is_known_to_be_out = Q(sent_at__gte=F("not_after"))
    withdrawn = Notification.objects.filter(
        is_withdrawn | is_known_to_be_out,
        subject_type=subject_type,
        subject_id=str(subject_id),
        template=template,
    )
    keys = withdrawn.values_list("dedupe_key", flat=True)
    return len({key_of_mail(key) for key in keys})


@transaction_required
def withdraw(*, dedupe_key: str) -> None:
    """Nobody wants this message any more: it is not sent, if it is not sent yet.

    One that is on its way at this moment still arrives, but is not tried again. Nor is
    what staff sent again of it. Of one that did not arrive nobody is told any more.
    """
    withdraw_locked(lock_with_copies(dedupe_key))


@transaction_required
def withdraw_about(
    *,
    subject_type: str,
    subject_id: Any,
    templates: set[str],
    channels: Iterable[Channel] = tuple(Channel),
) -> None:
    """As `withdraw`, for all messages of these kinds about one thing."""
    about = {"templates": templates, "channels": list(channels)}
    withdraw_locked(lock_about(subject_type, str(subject_id), **about))


@transaction_required
def withdraw_locked(messages: Iterable[Notification]) -> None:
    """As `withdraw`, for messages that the caller has locked."""
    alike = defaultdict(list)
    for message in messages:
        if message.next_run_at is not None:
            is_tried = message.unsure_since is not None
            alike[message.status, is_tried].append(message)
        elif message.channel == Channel.EMAIL and message.status in UNTOLD:
            _forget(message)
    for (status, is_tried), waiting in alike.items():
        if is_tried:
            found = Notification.objects.filter(pk__in=_ids(waiting))
            found.update(not_after=Now())
        if status != NotificationStatus.SENDING:
            _cancel(waiting, status, reason=MAY_BE_OUT if is_tried else "")


@transaction_required
def _forget(mail: Notification) -> None:
    """It did not arrive, and nobody need be told in another way any more."""
    Notification.objects.filter(pk=mail.pk).update(not_after=Now())
    close_undeliverable(mail, "Nobody wants it any more.")


@transaction_required
def _cancel(waiting: list[Notification], status: str, *, reason: str) -> None:
    """End messages that are all in one status; only mails may have a case."""
    to, ids = NotificationStatus.CANCELLED, _ids(waiting)
    record_moves(ids, status, to, actor=BY, reason=reason)
    Notification.objects.filter(pk__in=ids).update(
        status=to, next_run_at=None, lease_token=None, lease_until=None
    )
    for message in waiting:
        if message.channel == Channel.EMAIL:
            close_undeliverable(message, "Nobody wants it any more.")
    _leave_untold(waiting)


@transaction_required
def _leave_untold(withdrawn: list[Notification]) -> None:
    """Mails that are lost, and whose last hope was one of these pushes."""
    pushes = [each for each in withdrawn if each.channel == Channel.PUSH]
    keys = {key_of_mail(each.dedupe_key) for each in pushes}
    for mail in Notification.objects.filter(dedupe_key__in=keys, status__in=LOST):
        leave_untold(mail, cause="it was withdrawn before a push told it")
