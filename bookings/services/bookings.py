"""Bookings: confirm a hold, cancel a booking."""

import secrets
from datetime import datetime
from uuid import UUID

from bookings.errors import (
    CancellationClosed,
    HoldHasExpired,
    HoldIsReleased,
    NotCancellable,
    PaymentRequired,
)
from bookings.locks import lock_booking_with_hold, lock_hold
from bookings.models import Booking, BookingHold, SlotClaim
from bookings.queries import get_booking
from bookings.states import (
    BOOKING_MOVES,
    HOLD_MOVES,
    BookingStatus,
    HoldStatus,
    PaymentMode,
)
from recovery import audit, idempotency, outbox
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move

# Crockford's base 32 without U: nothing that people mistake for something else.
_REFERENCE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAY_ONLINE, PAY_AT_VENUE = "online", "at_venue"


@retry_on_conflict
def confirm_hold(
    *,
    hold_id: UUID,
    customer_id: UUID,
    pay: str = "",
    once: idempotency.Once | None = None,
) -> tuple[Booking, bool]:
    """Turn a hold into a booking; says whether it is new or was there already.

    Raises:
        HoldNotFound: it is not a hold of this customer.
        HoldHasExpired, HoldIsReleased: it came too late.
        PaymentRequired: the resource is paid online first.
    """
    booking_id = uuid7()
    idempotency.begin(once, status=201, object_id=booking_id)
    hold = lock_hold(hold_id, customer_id=customer_id)
    if hold.status == HoldStatus.CONFIRMED:
        existing = Booking.objects.values_list("pk", flat=True).get(hold=hold)
        idempotency.correct(once, status=200, object_id=existing)
        return get_booking(existing, customer_id=customer_id), False
    # The clock is read after the lock is held: the wait may have outlived the hold.
    now = read_clock()
    _check_confirmable(hold, pay, now)
    booking = _insert_booking(hold, booking_id, now)
    _move_to_confirmed(hold, booking, audit.Actor.customer(customer_id))
    return booking, True


def _check_confirmable(hold: BookingHold, pay: str, now: datetime) -> None:
    if hold.status == HoldStatus.RELEASED:
        raise HoldIsReleased
    if hold.status == HoldStatus.EXPIRED or hold.expires_at <= now:
        raise HoldHasExpired
    if hold.price_minor and not _may_pay_at_venue(hold.resource.payment_mode, pay):
        raise PaymentRequired(
            "This booking must be paid online before it is confirmed."
        )


def _may_pay_at_venue(mode: str, pay: str) -> bool:
    if mode == PaymentMode.EITHER:
        return pay == PAY_AT_VENUE
    return mode == PaymentMode.AT_VENUE and pay != PAY_ONLINE


def _insert_booking(hold: BookingHold, booking_id: UUID, now: datetime) -> Booking:
    """The claims stay as they are: they belong to the hold for life."""
    return Booking.objects.create(
        id=booking_id,
        reference=make_reference(),
        hold=hold,
        resource=hold.resource,
        customer_id=hold.customer_id,
        start_time=hold.start_time,
        end_time=hold.end_time,
        units=hold.units,
        price_minor=hold.price_minor,
        currency=hold.currency,
        created_at=now,
    )


@transaction_required
def _move_to_confirmed(hold: BookingHold, booking: Booking, actor: audit.Actor) -> None:
    require_move(HOLD_MOVES, hold.status, HoldStatus.CONFIRMED)
    BookingHold.objects.filter(pk=hold.pk).update(status=HoldStatus.CONFIRMED)
    audit.record(
        actor=actor,
        action="hold.confirmed",
        subject="hold",
        ids=[hold.pk],
        move=(HoldStatus.ACTIVE, HoldStatus.CONFIRMED),
    )
    audit.record(
        actor=actor,
        action="booking.confirmed",
        subject="booking",
        ids=[booking.pk],
        move=("", BookingStatus.CONFIRMED),
    )
    outbox.publish(
        "booking.confirmed", subject="booking", facts={booking.pk: booking.facts()}
    )


def make_reference() -> str:
    """A booking's name for people, 50 random bits, easy to say: `7K3QF-9XW2M`."""
    text = "".join(secrets.choice(_REFERENCE_ALPHABET) for _ in range(10))
    return f"{text[:5]}-{text[5:]}"


@retry_on_conflict
def cancel_booking(
    *,
    booking_id: UUID,
    customer_id: UUID,
    reason: str = "",
    once: idempotency.Once | None = None,
) -> Booking:
    """Cancel a booking that was not paid: both moves at once. Again: no change.

    Raises:
        BookingNotFound: it is not a booking of this customer.
        NotCancellable: the customer is there already, or it is over.
        CancellationClosed: it has begun.
    """
    idempotency.begin(once, status=200, object_id=booking_id)
    booking = lock_booking_with_hold(booking_id, customer_id=customer_id)
    if booking.status in {BookingStatus.CANCELLING, BookingStatus.CANCELLED}:
        return booking
    if BookingStatus.CANCELLING not in BOOKING_MOVES[booking.status]:
        raise NotCancellable(f"The booking is {booking.status}.")
    if booking.start_time <= read_clock():
        raise CancellationClosed("The booking has begun.")
    SlotClaim.objects.filter(hold=booking.hold_id).delete()
    _move_to_cancelled(booking, customer_id, reason)
    return get_booking(booking_id, customer_id=customer_id)


@transaction_required
def _move_to_cancelled(booking: Booking, customer_id: UUID, reason: str) -> None:
    Booking.objects.filter(pk=booking.pk).update(
        status=BookingStatus.CANCELLED,
        cancelled_at=Now(),
        cancelled_by=customer_id,
        cancel_reason=reason,
        version=booking.version + 1,
    )
    for action, move in [
        ("booking.cancelling", (BookingStatus.CONFIRMED, BookingStatus.CANCELLING)),
        ("booking.cancelled", (BookingStatus.CANCELLING, BookingStatus.CANCELLED)),
    ]:
        audit.record(
            actor=audit.Actor.customer(customer_id),
            action=action,
            subject="booking",
            ids=[booking.pk],
            move=move,
        )
        outbox.publish(action, subject="booking", facts={booking.pk: booking.facts()})
