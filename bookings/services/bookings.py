"""Bookings: a hold becomes one, once what it costs is paid or will be at the venue."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bookings.errors import (
    HoldHasExpired,
    HoldIsReleased,
    PaymentRequired,
    PaymentUndecided,
    ResourceClosed,
)
from bookings.hours import say_local
from bookings.locks import lock_hold
from bookings.models import Booking, BookingHold
from bookings.queries import get_booking, is_inside_closure, list_terms
from bookings.services import conflicts, messages
from bookings.services.line import claim_entry_of
from bookings.services.sales import ensure_payable
from bookings.states import (
    HOLD_MOVES,
    BookingStatus,
    HoldSource,
    HoldStatus,
    PaymentMode,
)
from payments.errors import CardDeclined
from payments.locks import lock_payable
from payments.models import CardPayment
from payments.queries import get_latest_card_payment
from payments.services.intents import record_intent
from payments.services.payables import call_off_card_payments, name_payable
from payments.states import CardPaymentStatus
from recovery import audit, idempotency, outbox
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import DomainError
from slotbase.lib.failpoints import failpoint
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move
from slotbase.providers.stripe.client import Intent

# Crockford's base 32 without U: nothing that people mistake for something else.
_REFERENCE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAY_ONLINE, PAY_AT_VENUE = "online", "at_venue"
Refusal = DomainError | PaymentUndecided


@dataclass(frozen=True)
class Confirmation:
    """Who wants which hold confirmed, and how it is paid.

    `intent` is what Stripe said of its payment a moment ago: it is recorded in the same
    transaction, whatever becomes of the hold.
    """

    hold_id: UUID
    customer_id: UUID
    pay: str = ""
    once: idempotency.Once | None = None
    intent: Intent | None = None
    actor: audit.Actor | None = None


def confirm_hold(
    *,
    hold_id: UUID,
    customer_id: UUID,
    pay: str = "",
    once: idempotency.Once | None = None,
    intent: Intent | None = None,
    actor: audit.Actor | None = None,
) -> tuple[Booking, bool]:
    """Turn a hold into a booking; says whether it is new or was there already.

    Raises:
        HoldNotFound: it is not a hold of this customer.
        HoldHasExpired, HoldIsReleased: it came too late.
        PaymentRequired, CardDeclined: it must be paid first.
        PaymentUndecided: the payment is on its way; the booking comes with it.
        ResourceClosed: it was closed meanwhile. What is paid is booked all the same.
    """
    wish = Confirmation(hold_id, customer_id, pay, once, intent, actor)
    result = _confirm(wish)
    if isinstance(result, Exception):
        raise result
    return result


@retry_on_conflict
def _confirm(wish: Confirmation) -> tuple[Booking, bool] | Refusal:
    """The booking, or why there is none: a refusal, too, commits what Stripe said."""
    booking_id = uuid7()
    idempotency.begin(wish.once, status=201, object_id=booking_id)
    hold = lock_hold(wish.hold_id, customer_id=wish.customer_id)
    if wish.intent is not None:
        record_intent(wish.intent)
    if hold.status == HoldStatus.CONFIRMED:
        existing = Booking.objects.values_list("pk", flat=True).get(hold=hold)
        idempotency.correct(wish.once, status=200, object_id=existing)
        return get_booking(existing, customer_id=wish.customer_id), False
    # The clock is read after the lock is held: the wait may have outlived the hold.
    now = read_clock()
    if refusal := _why_not(hold, wish.pay, now):
        idempotency.withdraw(wish.once)
        return refusal
    booking = sell_locked_hold(
        hold,
        booking_id=booking_id,
        now=now,
        actor=wish.actor or audit.Actor.customer(wish.customer_id),
    )
    failpoint("booking.confirming")
    return booking, True


@transaction_required
def _why_not(hold: BookingHold, pay: str, now: datetime) -> Refusal | None:
    if hold.status == HoldStatus.RELEASED:
        return HoldIsReleased()
    if hold.status == HoldStatus.EXPIRED or hold.expires_at <= now:
        return HoldHasExpired()
    if hold.price_minor and _is_paid(hold):
        return None  # even where it is closed by now: staff see to that
    refusal = _why_not_unpaid(hold, pay)
    if isinstance(refusal, PaymentUndecided):
        return refusal
    return ResourceClosed() if is_inside_closure(hold) else refusal


@transaction_required
def _why_not_unpaid(hold: BookingHold, pay: str) -> Refusal | None:
    mode = hold.resource.payment_mode
    if not hold.price_minor or may_pay_at_venue(mode, pay):
        return None
    return _why_not_paid(get_latest_card_payment(hold.payable_id))


@transaction_required
def _is_paid(hold: BookingHold) -> bool:
    if hold.payable_id is None:
        return False
    return lock_payable(hold.payable_id).is_covered


def may_pay_at_venue(mode: str, pay: str) -> bool:
    """Whether a booking can be confirmed unpaid, given what the customer chose."""
    if mode == PaymentMode.EITHER:
        return pay == PAY_AT_VENUE
    return mode == PaymentMode.AT_VENUE and pay != PAY_ONLINE


def _why_not_paid(payment: CardPayment | None) -> Refusal:
    if payment is not None and _is_undecided(payment):
        return PaymentUndecided()
    if payment is not None and payment.decline_code:
        return CardDeclined()
    return PaymentRequired("This booking must be paid online before it is confirmed.")


def _is_undecided(payment: CardPayment) -> bool:
    """Whether the customer did what they could, and others are at it."""
    if payment.status == CardPaymentStatus.SUCCEEDED:
        return payment.is_mismatch  # staff look at it; any other was counted
    if payment.status == CardPaymentStatus.OPEN:
        return payment.provider_status == "requires_action"
    return payment.status != CardPaymentStatus.CANCELED


@transaction_required
def sell_locked_hold(
    hold: BookingHold, *, booking_id: UUID, now: datetime, actor: audit.Actor
) -> Booking:
    """Make the booking of a locked hold, which may be sold: both move at once."""
    payable = ensure_payable(hold, actor=actor) if hold.price_minor else None
    booking = _insert_booking(hold, booking_id, now)
    if payable is not None:
        name_payable(payable.pk, reference=booking.reference)
        if not payable.is_covered:
            call_off_card_payments(payable)
    _move_to_confirmed(hold, booking, actor)
    if hold.source == HoldSource.WAITLIST:
        claim_entry_of(hold, actor=actor)
    messages.withdraw_warning(hold)
    messages.tell_confirmed(booking)
    conflicts.report_conflict(booking)
    return booking


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
        payable_id=hold.payable_id,
        cancellation_terms=list_terms(hold.resource),
        local_start=say_local(hold.start_time, hold.resource.venue.zone),
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
