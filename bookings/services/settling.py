"""Money came in for something that was sold, or was to be: what follows from it.

Each step is a transaction of its own and looks at how things are then, so it may run
any number of times, by several at once, and be cut off anywhere.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from bookings.errors import (
    HoldHasExpired,
    HoldIsReleased,
    PaymentRequired,
    PaymentUndecided,
    ResourceClosed,
    SlotUnavailable,
)
from bookings.locks import lock_latest_hold_of, lock_resource
from bookings.models import Booking, BookingHold
from bookings.queries import find_booking_of, is_closed, is_there_already
from bookings.rules import Rules, get_rules
from bookings.services.bookings import confirm_hold, sell_locked_hold
from bookings.services.claims import retire_expired_holds, win_slot
from bookings.services.receipts import send_receipts
from bookings.services.refund_messages import tell_late_refund, tell_refund_promised
from bookings.services.reminders import correct_reminder
from bookings.states import BookingStatus, HoldSource, HoldStatus
from payments.errors import CardDeclined
from payments.locks import lock_payable, lock_payables
from payments.models import OfflinePayment, Payable, Refund
from payments.services import troubles
from payments.services.mismatches import question_excess
from payments.services.payables import charge, waive
from payments.services.refunds import Payment, list_refundable, request_excess
from payments.states import LineKind, RefundReason
from recovery import audit
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.ids import uuid7

SYSTEM = audit.Actor.system("settling")


def settle_payable(*, payable_id: UUID) -> None:
    """Decide about the money of a payable: it buys its slot, or goes back in full.

    What is too much for a booking goes back if that is over; else staff are asked. What
    bought something has a receipt.
    """
    if find_booking_of(payable_id) is None:
        _buy(payable_id)
    if find_booking_of(payable_id) is not None:
        _see_to_excess(payable_id)
        send_receipts(payable_id=payable_id)


def _buy(payable_id: UUID) -> None:
    hold = BookingHold.objects.filter(payable=payable_id).order_by("-id").first()
    if hold is None:
        _return_what_buys_nothing(payable_id)
        return
    if hold.status == HoldStatus.ACTIVE:
        _retire_if_expired(hold.pk)
        if _confirm(hold):
            return
    _settle_late(payable_id)


@retry_on_conflict
def _retire_if_expired(hold_id: UUID) -> None:
    retire_expired_holds([hold_id], part="settling")


def _confirm(hold: BookingHold) -> bool:
    """Whether nothing more is to be decided: it is sold, or not paid in full yet."""
    try:
        confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id, actor=SYSTEM)
    except (HoldHasExpired, HoldIsReleased):
        return False
    except (PaymentRequired, CardDeclined, PaymentUndecided, ResourceClosed):
        return True  # a part of it, or in question: the hold keeps its time
    return True


@retry_on_conflict
def _return_what_buys_nothing(payable_id: UUID) -> None:
    """Its hold came to nothing and was deleted since, or there was no sale at all."""
    for payable in lock_payables([payable_id]):
        if payable.excess_minor:
            _give_back(payable, cause="There is nothing that it could buy any more.")


@retry_on_conflict
def _see_to_excess(payable_id: UUID) -> None:
    """A booking that is over keeps what its policy says, and no more."""
    payable = lock_payable(payable_id)
    bookings = Booking.objects.select_related("hold__resource__venue")
    booking = bookings.get(payable=payable)
    if booking.status not in {BookingStatus.CANCELLING, BookingStatus.CANCELLED}:
        question_excess(payable)
        correct_reminder(booking)
        return
    if _has_come_late(booking, payable):
        if refunds := _give_back(payable, cause="The booking is cancelled."):
            tell_late_refund(booking.hold, payable, refunds)
        return
    # Paid in time: a dispute about it is over, say.
    reason = RefundReason.CANCELLED
    if refunds := request_excess(payable, reason=reason, actor=SYSTEM):
        tell_refund_promised(booking, payable, refunds)


def _has_come_late(booking: Booking, payable: Payable) -> bool:
    """Whether something that can go back came when the booking was cancelled."""
    if booking.cancelled_at is None:
        return False
    return any(
        _came_at(each.payment) > booking.cancelled_at
        for each in list_refundable(payable)
    )


def _came_at(payment: Payment) -> datetime:
    if isinstance(payment, OfflinePayment):
        return payment.recorded_at
    assert payment.succeeded_at is not None, "it can be refunded"  # noqa: S101
    return payment.succeeded_at


@retry_on_conflict
def _settle_late(payable_id: UUID) -> None:
    """The slot is not kept any more: buy it anew if it is free, else give all back."""
    hold = _lock(payable_id)
    if hold is None or hold.status in {HoldStatus.ACTIVE, HoldStatus.CONFIRMED}:
        return  # decided by somebody else meanwhile
    is_gone = not hold.customer.is_active
    cause = "The customer is gone." if is_gone else _why_not_anew(hold)
    if not cause:
        try:
            with transaction.atomic():  # several units: some may have been claimed
                is_bought = _buy_anew(hold, payable_id)
        except SlotUnavailable:
            cause = "The slot was taken meanwhile."
        except PaymentRequired:
            cause = "It is only a part of the price."
        else:
            if is_bought:
                return
            cause = "Somebody waited for the slot."
    payable = lock_payable(payable_id)
    if refunds := _give_back(payable, cause=cause):
        tell_late_refund(hold, payable, refunds)


@transaction_required
def _lock(payable_id: UUID) -> BookingHold | None:
    """Resource before hold, since units may be chosen (lock order)."""
    hold = BookingHold.objects.filter(payable=payable_id).order_by("-id").first()
    if hold is not None:
        lock_resource(hold.resource_id)
    return lock_latest_hold_of(payable_id)


@transaction_required
def _why_not_anew(hold: BookingHold) -> str:
    """Why late money buys nothing, in our words; empty if it may."""
    if hold.status == HoldStatus.RELEASED:
        return "The customer gave the slot back."
    now = read_clock()
    if now - hold.expires_at > timedelta(seconds=settings.LATE_RECLAIM_SECONDS):
        return "It came too late."
    if now >= hold.start_time:
        return "The time has begun."
    if is_there_already(hold):
        return "The customer has booked this time again."
    return "It is closed then." if is_closed(hold) else ""


@transaction_required
def _buy_anew(hold: BookingHold, payable_id: UUID) -> bool:
    """A new hold on the same terms, sold at once; False if somebody waits for it."""
    anew = BookingHold(
        id=uuid7(),
        resource=hold.resource,
        customer_id=hold.customer_id,
        start_time=hold.start_time,
        end_time=hold.end_time,
        buffer_before_minutes=hold.buffer_before_minutes,
        buffer_after_minutes=hold.buffer_after_minutes,
        price_minor=hold.price_minor,
        currency=hold.currency,
        payable_id=payable_id,
        source=HoldSource.LATE_PAYMENT,
    )
    if not win_slot(_rules_of(hold), anew, units=len(hold.units), actor=SYSTEM):
        return False
    payable = lock_payable(payable_id)
    charge(payable, LineKind.PRICE, hold.price_minor)
    if not payable.is_covered:
        raise PaymentRequired
    sell_locked_hold(anew, booking_id=uuid7(), now=read_clock(), actor=SYSTEM)
    return True


def _rules_of(hold: BookingHold) -> Rules:
    first, last = hold.start_time.date(), hold.end_time.date()
    return get_rules(hold.resource_id, first=first, last=last)


@transaction_required
def _give_back(payable: Payable, *, cause: str) -> list[Refund]:
    """Promise back what came too late and is too much; the refunds, if any."""
    if payable.owed_minor and not Booking.objects.filter(payable=payable).exists():
        waive(payable)
    refunds = request_excess(payable, reason=RefundReason.LATE, actor=SYSTEM)
    if refunds:
        troubles.open_late_money(payable, cause=cause)
    return refunds
