"""Receipts: each payment that something was sold for has one, by mail."""

from uuid import UUID

from bookings.models import Booking
from bookings.queries import find_booking_of
from bookings.services.wording import about, sold_of
from notifications.services.messages import queue_message
from payments.locks import lock_payable
from payments.models import Payable
from payments.queries import Received, is_withdrawn, list_received, list_refunds
from slotbase.lib.db import retry_on_conflict, transaction_required


@retry_on_conflict
def send_receipts(*, payable_id: UUID) -> None:
    """Owe a receipt for each payment that has none; again: nothing new.

    Money that bought nothing has none: it goes back, and its customer is told so. What
    pays a fee after all has one.
    """
    payable = lock_payable(payable_id)
    booking = find_booking_of(payable_id)
    if booking is None:
        return
    for payment in list_received(payable_id):
        is_late = booking.cancelled_at and payment.at > booking.cancelled_at
        if not is_late or _pays_fee(payable, payment):
            _send(booking, payment)


def _pays_fee(payable: Payable, payment: Received) -> bool:
    """Whether something is owed all the same, and some of this money stays for it."""
    back = sum(
        refund.amount_minor
        for refund in list_refunds(payable)
        if payment.id in {refund.card_payment_id, refund.offline_payment_id}
        and not is_withdrawn(refund)
    )
    return payable.owed_minor > 0 and back < payment.amount_minor


@transaction_required
def _send(booking: Booking, payment: Received) -> None:
    queue_message(
        template="receipt",
        context={
            **sold_of(booking),
            "currency": payment.currency,
            "number": payment.number,
            "method": payment.method,
            "paid_minor": payment.amount_minor,
            "tax_minor": payment.tax_minor,
            "tax_rate": payment.tax_rate,
            "paid_at": payment.at.isoformat(),
        },
        dedupe_key=f"receipt:{payment.id}",
        **about("booking", booking),
    )
