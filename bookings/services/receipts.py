"""Receipts: each payment that something was sold for has one, by mail."""

from uuid import UUID

from bookings.models import Booking
from bookings.queries import find_booking_of
from bookings.services.wording import about, sold_of
from notifications.services.messages import queue_message
from payments.locks import lock_payable
from payments.queries import Received, list_received
from slotbase.lib.db import retry_on_conflict, transaction_required


@retry_on_conflict
def send_receipts(*, payable_id: UUID) -> None:
    """Owe a receipt for each payment that has none; again: nothing new.

    Money that bought nothing has none: it goes back, and its customer is told so.
    """
    lock_payable(payable_id)
    booking = find_booking_of(payable_id)
    if booking is None:
        return
    for payment in list_received(payable_id):
        if booking.cancelled_at is None or payment.at <= booking.cancelled_at:
            _send(booking, payment)


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
