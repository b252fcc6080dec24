"""What customers are told about their bookings, with the transaction that did it."""

from typing import Any
from uuid import UUID

from bookings.models import Booking, BookingHold
from notifications.services.messages import queue_email, withdraw
from payments.models import Payable
from payments.queries import list_refunds
from payments.states import RefundStatus
from slotbase.lib.db import transaction_required


@transaction_required
def tell_confirmed(booking: Booking) -> None:
    """The slot is theirs."""
    queue_email(
        template="booking_confirmed",
        context={
            **_slot(booking),
            "reference": booking.reference,
            "price_minor": booking.price_minor,
            "currency": booking.currency,
        },
        dedupe_key=f"booking_confirmed:{booking.pk}",
        not_after=booking.end_time,
        **_about("booking", booking),
    )


@transaction_required
def tell_cancelled(booking: Booking) -> None:
    """It is cancelled, and what goes back; that it was booked is no news any more."""
    withdraw(dedupe_key=f"booking_confirmed:{booking.pk}")
    refunds = [
        each
        for each in list_refunds(booking.payable)
        if each.status != RefundStatus.CANCELED
    ]
    queue_email(
        template="booking_cancelled",
        context={
            **_slot(booking),
            "reference": booking.reference,
            "refund_expected": bool(refunds),
            "refund_minor": sum(refund.amount_minor for refund in refunds),
            "fee_minor": booking.payable.owed_minor if booking.payable else 0,
            "currency": booking.currency,
        },
        dedupe_key=f"booking_cancelled:{booking.pk}",
        **_about("booking", booking),
    )


@transaction_required
def tell_late_refund(hold: BookingHold, payable: Payable) -> None:
    """Their money came too late and goes back."""
    queue_email(
        template="late_payment_refunded",
        context={
            **_slot(hold),
            "amount_minor": payable.refund_reserved_minor,
            "currency": payable.currency,
        },
        dedupe_key=f"late_payment_refunded:{payable.pk}",
        **_about("hold", hold),
    )


@transaction_required
def tell_refund_delayed(
    booking: Booking, *, refund_id: UUID, amount_minor: int
) -> None:
    """Their refund did not arrive; people see to it."""
    queue_email(
        template="refund_delayed",
        context={
            **_slot(booking),
            "reference": booking.reference,
            "refund_minor": amount_minor,
            "currency": booking.currency,
        },
        dedupe_key=f"refund_delayed:{refund_id}",
        **_about("booking", booking),
    )


def _slot(sale: Booking | BookingHold) -> dict[str, Any]:
    venue = sale.resource.venue
    return {
        "title": sale.resource.name,
        "venue_name": venue.name,
        "time_zone": venue.time_zone,
        "start_time": sale.start_time.isoformat(),
        "end_time": sale.end_time.isoformat(),
    }


def _about(subject: str, sale: Booking | BookingHold) -> dict[str, Any]:
    return {
        "recipient_id": sale.customer_id,
        "subject_type": subject,
        "subject_id": sale.pk,
        "venue_id": sale.resource.venue_id,
        "reference": getattr(sale, "reference", ""),
    }
