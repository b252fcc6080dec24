"""Holds that are about to run out: whoever has one is told, once."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from bookings.hours import quiet_end
from bookings.locks import lock_unattended
from bookings.models import BookingHold
from bookings.services.wording import about, slot_of
from bookings.states import HoldSource, HoldStatus
from notifications.kinds import BOTH
from notifications.models import Notification, PushDevice
from notifications.services.messages import queue_message
from notifications.states import Channel, DeviceStatus
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required

TEMPLATE = "hold_expiring"


@retry_on_conflict
def warn_of_expiring_holds(*, limit: int) -> int:
    """Tell who holds a slot that they will lose it in a moment; returns how many.

    A sweep does it, so that making a hold costs nothing more. Only those are found who
    have a device, or an offer, which mails tell of, too; each once.
    """
    expiring = lock_unattended(find_expiring(), limit)
    for hold in expiring:
        _warn(hold)
    return len(expiring)


def find_expiring() -> QuerySet[BookingHold]:
    """Holds whose customers are to hear that they run out, and have not yet.

    Not those that were made a moment ago. By push alone, unless it was an offer.
    """
    soon = timedelta(seconds=settings.HOLD_EXPIRING_SECONDS)
    in_minutes = timedelta(seconds=settings.OFFER_EXPIRING_SECONDS)
    is_offer = Q(source=HoldSource.WAITLIST, created_at__lte=Now() - in_minutes)
    is_soon = Q(expires_at__lte=Now() + soon, created_at__lte=Now() - soon)
    devices = PushDevice.objects.filter(
        user=OuterRef("customer"), status=DeviceStatus.ACTIVE
    )
    told = Notification.objects.filter(
        subject_type="hold",
        subject_id=Cast(OuterRef("pk"), TextField()),
        template=TEMPLATE,
    )
    ending = BookingHold.objects.select_related("resource__venue").filter(
        status=HoldStatus.ACTIVE,
        expires_at__gt=Now(),
        expires_at__lte=Now() + max(soon, in_minutes),
    )
    return ending.filter(is_offer | is_soon & Exists(devices)).exclude(Exists(told))


@transaction_required
def _warn(hold: BookingHold) -> None:
    queue_message(
        template=TEMPLATE,
        context={
            **slot_of(hold),
            "currency": hold.currency,
            "price_minor": hold.price_minor,
            "expires_at": hold.expires_at.isoformat(),
        },
        dedupe_key=f"{TEMPLATE}:{hold.pk}",
        not_after=hold.expires_at,
        channels=_channels(hold),
        **about("hold", hold),
    )


def _channels(hold: BookingHold) -> tuple[Channel, ...]:
    """An offer was not asked for just now: by mail, too, and silently at night."""
    if hold.source != HoldSource.WAITLIST:
        return (Channel.PUSH,)
    venue, now = hold.resource.venue, read_clock()
    is_night = quiet_end(venue.zone, venue.quiet_from, venue.quiet_until, now)
    return (Channel.EMAIL,) if is_night else BOTH
