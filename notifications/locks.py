"""Every lock of this app: notifications, late in the lock order (bookings/locks.py).

Mails come before pushes, and of either the smaller id comes first. Whoever settles a
push locks what says the same before the push; whoever settles a mail, after it.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db.models import Q

from notifications.errors import (
    DeviceNotFound,
    MessageNotFound,
    SuppressionNotFound,
)
from notifications.models import Notification, PushDevice, Suppression
from notifications.states import UNTOLD, Channel, DeviceStatus
from recovery.rowqueue import LateRecord
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required

# Ids do not say which one came first: a mail is made with its pushes at one instant.
_ORDER = ("channel", "pk")


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
def lock_by_keys(dedupe_key: str) -> list[Notification]:
    """The mail with this key and the pushes that say the same, locked in this order."""
    keys = Q(dedupe_key=dedupe_key) | Q(dedupe_key__startswith=f"{dedupe_key}:push:")
    locked = Notification.objects.select_for_update(of=("self",))
    return list(locked.filter(keys).order_by(*_ORDER))


@transaction_required
def lock_with_copies(dedupe_key: str) -> list[Notification]:
    """As `lock_by_keys`, with what staff sent again of it, however often."""
    found = lock_by_keys(dedupe_key)
    # The keys of pushes that were sent again begin as those of the first ones.
    mails = [message for message in found if message.channel == Channel.EMAIL]
    return found + [
        copy for mail in mails for copy in lock_with_copies(f"again:{mail.pk}")
    ]


@transaction_required
def lock_about(
    subject_type: str,
    subject_id: str,
    *,
    templates: Collection[str],
    channels: Collection[str],
) -> list[Notification]:
    """The messages of these kinds about something, locked: what may still go out.

    And mails that did not arrive: a person may be about to tell what they say.
    """
    may_go_out = Q(next_run_at__isnull=False)
    is_untold = Q(channel=Channel.EMAIL, status__in=UNTOLD)
    about = Notification.objects.filter(
        may_go_out | is_untold,
        subject_type=subject_type,
        subject_id=subject_id,
        template__in=templates,
        channel__in=channels,
    )
    return list(about.select_for_update(of=("self",)).order_by(*_ORDER))


@transaction_required
def lock_open_messages_to(user_id: UUID) -> list[Notification]:
    """The messages to somebody that may still go out, locked."""
    waiting = Notification.objects.filter(recipient=user_id, next_run_at__isnull=False)
    return list(waiting.select_for_update(of=("self",)).order_by(*_ORDER))


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


@transaction_required
def lock_suppression(suppression_id: UUID) -> Suppression:
    """An address that takes no mail, locked.

    Raises:
        SuppressionNotFound: there is none.
    """
    locked = Suppression.objects.select_for_update(of=("self",))
    if (suppression := locked.filter(pk=suppression_id).first()) is None:
        raise SuppressionNotFound
    return suppression


@transaction_required
def lock_device(device_id: UUID) -> PushDevice:
    """A device, locked.

    Raises:
        DeviceNotFound: there is none.
    """
    locked = PushDevice.objects.select_for_update(of=("self",))
    if (device := locked.filter(pk=device_id).first()) is None:
        raise DeviceNotFound
    return device


@transaction_required
def lock_pushed_to(device_id: UUID) -> PushDevice:
    """The device of a push, locked: until the end nobody else registers it."""
    # NO KEY: messages to it can be queued meanwhile.
    locked = PushDevice.objects.select_for_update(of=("self",), no_key=True)
    return locked.get(pk=device_id)


@transaction_required
def lock_registered(token_hash: str) -> PushDevice | None:
    """The device with a token, locked; None if it was tidied away at this moment."""
    locked = PushDevice.objects.select_for_update(of=("self",))
    return locked.filter(token_hash=token_hash).first()


@transaction_required
def lock_device_of(user_id: UUID, device_id: UUID) -> PushDevice:
    """A device of somebody, locked.

    Raises:
        DeviceNotFound: there is none, or it is another one's.
    """
    locked = PushDevice.objects.select_for_update(of=("self",))
    if (device := locked.filter(pk=device_id, user=user_id).first()) is None:
        raise DeviceNotFound
    return device


@transaction_required
def lock_mail_of(*, provider_id: str, message_id: str) -> Notification | None:
    """The mail that Resend knows by an id, or by the id of ours in its tag, locked.

    Of two mails with one tag, Resend's id says which one is ours.
    """
    locked = Notification.objects.select_for_update(of=("self",))
    if found := locked.filter(provider_id=provider_id).first():
        return found
    if not message_id:
        return None
    mails = locked.filter(pk=message_id, channel=Channel.EMAIL, provider_id="")
    return mails.first()


@transaction_required
def lock_devices_of(user_id: UUID) -> list[PushDevice]:
    """All devices of somebody, locked."""
    owned = PushDevice.objects.filter(user=user_id).order_by("pk")
    return list(owned.select_for_update(of=("self",)))


@transaction_required
def lock_surplus_devices(user_id: UUID, *, kept: int) -> list[PushDevice]:
    """All devices of somebody but those that showed themselves last, locked."""
    mine = PushDevice.objects.filter(user=user_id, status=DeviceStatus.ACTIVE)
    surplus = mine.order_by("-last_seen_at", "-pk").values_list("pk", flat=True)[kept:]
    locked = mine.select_for_update(of=("self",)).filter(pk__in=list(surplus))
    return list(locked.order_by("pk"))


@transaction_required
def lock_unseen_devices(unseen_for: timedelta, *, limit: int) -> list[PushDevice]:
    """Devices that have not shown themselves for so long, and that nobody works on."""
    unseen = PushDevice.objects.filter(
        status=DeviceStatus.ACTIVE, last_seen_at__lte=Now() - unseen_for
    ).order_by("last_seen_at")
    return list(unseen.select_for_update(of=("self",), skip_locked=True)[:limit])


@transaction_required
def lock_ended_devices(
    status: DeviceStatus, ended_for: timedelta, *, limit: int
) -> list[PushDevice]:
    """Devices that ended so for so long, still have a token, and are not worked on."""
    ended = PushDevice.objects.filter(
        status=status, ended_at__lte=Now() - ended_for
    ).exclude(sealed_token="")
    locked = ended.select_for_update(of=("self",), skip_locked=True)
    return list(locked.order_by("ended_at")[:limit])
