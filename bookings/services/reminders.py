"""Reminders: queued when something is booked, for a day before it, or what is set."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from bookings.hours import quiet_hours
from bookings.models import Booking
from bookings.services.wording import about, sold_of
from notifications.services.heard import list_messages
from notifications.services.messages import (
    count_withdrawn,
    queue_message,
    withdraw_about,
)
from notifications.states import OPEN, Channel, NotificationStatus
from payments.locks import lock_payable
from payments.models import Payable
from slotbase.lib.clock import read_clock
from slotbase.lib.db import transaction_required

TEMPLATE = "booking_reminder"
#: It can still be written anew.
NOT_OUT = {*OPEN} - {NotificationStatus.SENDING}
#: Nobody forgets what they booked so short a time ago.
FRESH = timedelta(hours=2)
#: A night's reminder comes in the morning, unless that is so close to the start.
TOO_CLOSE = timedelta(hours=2)


def reminder_time(booking: Booking) -> datetime:
    """When to remind: so many hours before; if that is at night, in the morning.

    If the morning is too late, in the evening before.
    """
    venue = booking.resource.venue
    at = booking.start_time - timedelta(hours=settings.REMINDER_HOURS_BEFORE)
    night = quiet_hours(venue.zone, venue.quiet_from, venue.quiet_until, at)
    if night is None:
        return at
    is_in_time = night.end <= booking.start_time - TOO_CLOSE
    return night.end if is_in_time else night.start


@transaction_required
def remind(booking: Booking) -> None:
    """Owe its customer a reminder, unless it would come right after this."""
    if reminder_time(booking) - read_clock() >= FRESH:
        _queue(booking, key=_next_key(booking))


@transaction_required
def renew_reminder(booking: Booking) -> None:
    """What it would say is not so any more, such as the local time."""
    _payable_of(booking)  # before any message (lock order)
    withdraw_reminder(booking)
    if reminder_time(booking) > read_clock():
        _queue(booking, key=_next_key(booking))


@transaction_required
def remind_after_all(booking: Booking) -> None:
    """A reminder was withdrawn, and there is something to be reminded of again."""
    if reminder_time(booking) > read_clock():
        _queue(booking, key=_next_key(booking))


@transaction_required
def correct_reminder(booking: Booking) -> None:
    """Money came in: a reminder that has not gone out says what is due now.

    By each channel by which it has not; one that is on its way at this moment is left.
    """
    payable = _payable_of(booking)
    queued = list_messages(
        subject_type="booking", subject_id=booking.pk, templates={TEMPLATE}
    )
    wrong = {
        Channel(each.channel)
        for each in queued
        if each.status in NOT_OUT
        and each.unsure_since is None  # else it may be there already
        and each.context["due_minor"] != due_of(payable)
    }
    if wrong:
        withdraw_reminder(booking, channels=wrong)
        _queue(booking, key=_next_key(booking), channels=wrong)


@transaction_required
def withdraw_reminder(
    booking: Booking, *, channels: Iterable[Channel] = tuple(Channel)
) -> None:
    """There is nothing to be reminded of at present, or not this."""
    withdraw_about(
        subject_type="booking",
        subject_id=booking.pk,
        templates={TEMPLATE},
        channels=channels,
    )


def due_of(payable: Payable | None) -> int:
    """What is to be paid yet."""
    return payable.due_minor if payable else 0


@transaction_required
def _queue(
    booking: Booking, *, key: str, channels: Iterable[Channel] | None = None
) -> None:
    queue_message(
        template=TEMPLATE,
        context={**sold_of(booking), "due_minor": due_of(_payable_of(booking))},
        dedupe_key=key,
        channels=channels,
        not_before=reminder_time(booking),
        not_after=booking.start_time,
        **about("booking", booking),
    )


@transaction_required
def _payable_of(booking: Booking) -> Payable | None:
    return lock_payable(booking.payable_id) if booking.payable_id else None


def _key(booking: Booking) -> str:
    """Another one for each time that it is moved to."""
    return f"{TEMPLATE}:{booking.pk}:{booking.version}"


@transaction_required
def _next_key(booking: Booking) -> str:
    """Another one than that of what was withdrawn."""
    before = count_withdrawn(
        subject_type="booking", subject_id=booking.pk, template=TEMPLATE
    )
    return f"{_key(booking)}:{before}" if before else _key(booking)
