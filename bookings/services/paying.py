"""Paying for a hold by card, and confirming it then: the requests that ask Stripe."""

from dataclasses import dataclass
from uuid import UUID

from bookings.errors import (
    HoldHasExpired,
    HoldIsReleased,
    NothingToPay,
    PaymentUndecided,
    ResourceClosed,
)
from bookings.locks import lock_hold
from bookings.models import Booking, BookingHold
from bookings.queries import find_booking_of, get_hold, is_inside_closure
from bookings.services.bookings import confirm_hold, may_pay_at_venue
from bookings.services.grace import give_grace
from bookings.services.sales import ensure_payable
from bookings.services.settling import settle_payable
from bookings.states import HoldStatus, PaymentMode
from payments.models import CardPayment, Payable
from payments.queries import get_latest_card_payment
from payments.services import card_payments
from payments.services.mismatches import has_money_in_question
from payments.states import UNDECIDED_PAYMENTS, CardPaymentStatus
from recovery import audit, idempotency, senders
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.failpoints import failpoint
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import Intent, Patience


@dataclass(frozen=True)
class Started:
    """A card payment; ready once the customer can pay."""

    payment: CardPayment
    is_ready: bool


def start_payment(
    *, hold_id: UUID, customer_id: UUID, once: idempotency.Once | None = None
) -> Started:
    """Let the customer pay for a hold by card; again: the same payment.

    Raises:
        HoldNotFound: it is not a hold of this customer.
        HoldHasExpired, HoldIsReleased: it came too late.
        NothingToPay: it is not paid by card.
        ResourceClosed: it was closed meanwhile.
        Unavailable: Stripe cannot be asked now, or nothing may be sent; nothing was
            begun.
    """
    senders.require_going()
    with client.bulkhead():
        payment, is_new = _begin(hold_id, customer_id, once)
        if payment.status in card_payments.NOT_MADE:
            payment = card_payments.attempt_now(payment, is_ours=is_new)
    if payment.status == CardPaymentStatus.CANCELED:
        _forget(once)
        raise NothingToPay("It cannot be paid by card.")
    is_ready = payment.status not in card_payments.NOT_MADE
    if is_ready and once is not None:
        _promise_ready(once, hold_id)
    return Started(payment, is_ready)


@retry_on_conflict
def _begin(
    hold_id: UUID, customer_id: UUID, once: idempotency.Once | None
) -> tuple[CardPayment, bool]:
    """What is owed and the payment, durable before Stripe hears of it."""
    idempotency.begin(once, status=202, object_id=hold_id)
    hold = lock_hold(hold_id, customer_id=customer_id)
    _check_payable(hold)
    actor = audit.Actor.customer(customer_id)
    payable = ensure_payable(hold, actor=actor)
    if not payable.due_minor:
        raise NothingToPay("It is paid.")
    if has_money_in_question(payable.pk):
        raise NothingToPay("What was paid is being looked at.")
    return card_payments.begin_card_payment(payable, actor=actor)


def _check_payable(hold: BookingHold) -> None:
    if hold.status == HoldStatus.CONFIRMED:
        raise NothingToPay("It is a booking already.")
    if hold.status == HoldStatus.RELEASED:
        raise HoldIsReleased
    if hold.status == HoldStatus.EXPIRED or hold.expires_at <= read_clock():
        raise HoldHasExpired
    is_online = hold.resource.payment_mode in {PaymentMode.ONLINE, PaymentMode.EITHER}
    if not is_online or not hold.price_minor:
        raise NothingToPay("It is not paid online.")
    if is_inside_closure(hold):
        raise ResourceClosed


@retry_on_conflict
def _forget(once: idempotency.Once | None) -> None:
    """A refusal leaves no answer to its key."""
    idempotency.withdraw(once)


@retry_on_conflict
def _promise_ready(once: idempotency.Once, hold_id: UUID) -> None:
    idempotency.correct(once, status=201, object_id=hold_id)


def confirm_paid_hold(
    *,
    hold_id: UUID,
    customer_id: UUID,
    pay: str = "",
    once: idempotency.Once | None = None,
) -> tuple[Booking, bool]:
    """Confirm a hold as `confirm_hold` does, after Stripe was asked about its payment.

    Money that came too late is decided here and now.

    Raises:
        HoldNotFound, HoldHasExpired, HoldIsReleased, PaymentRequired, CardDeclined,
            PaymentUndecided, ResourceClosed: as `confirm_hold`.
        Unavailable: too many requests ask Stripe already.
    """
    intent = _ask_stripe(hold_id, customer_id, pay)
    failpoint("booking.asked")
    try:
        return confirm_hold(
            hold_id=hold_id, customer_id=customer_id, pay=pay, once=once, intent=intent
        )
    except PaymentUndecided:
        give_grace(hold_id=hold_id, customer_id=customer_id)
        raise
    except (HoldHasExpired, HoldIsReleased):
        if late := _settle_late(hold_id, customer_id):
            return late
        raise


def _ask_stripe(hold_id: UUID, customer_id: UUID, pay: str) -> Intent | None:
    """What Stripe says of the hold's undecided payment; None if there is none."""
    hold = get_hold(hold_id, customer_id=customer_id)
    if may_pay_at_venue(hold.resource.payment_mode, pay):
        return None  # nobody need wait for Stripe
    payment = get_latest_card_payment(hold.payable_id) if hold.payable_id else None
    if payment is None or payment.status not in UNDECIDED_PAYMENTS:
        return None
    give_grace(hold_id=hold_id, customer_id=customer_id)
    if payment.provider_id is None:
        return None
    with client.bulkhead():
        try:
            return client.retrieve_intent(
                payment.provider_id, patience=Patience.REQUEST
            )
        except ProviderError:
            card_payments.look_soon(payment.pk)
            raise PaymentUndecided from None


def _settle_late(hold_id: UUID, customer_id: UUID) -> tuple[Booking, bool] | None:
    """The booking that money for a hold that is over buys or bought, if it does."""
    payable_id = get_hold(hold_id, customer_id=customer_id).payable_id
    if payable_id is None:
        return None
    if not Payable.objects.filter(pk=payable_id, paid_minor__gt=0).exists():
        return None
    if (earlier := find_booking_of(payable_id)) is not None:
        return earlier, False
    settle_payable(payable_id=payable_id)
    booking = find_booking_of(payable_id)
    return (booking, True) if booking else None
