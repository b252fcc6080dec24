"""What messages about sales are made of: the slot, whom they go to, and the money."""

from collections.abc import Iterable
from typing import Any

from bookings.models import Booking, BookingHold, WaitlistEntry
from payments.models import Dispute, Payable, Refund
from payments.states import DisputeStatus


def back_of(refunds: Iterable[Refund]) -> dict[str, int]:
    """What arrives by itself, and what is to be fetched at the venue."""
    back = {"refund_minor": 0, "payout_minor": 0}
    for refund in refunds:
        name = "payout_minor" if refund.is_payout else "refund_minor"
        back[name] += refund.amount_minor
    return back


def fee_of(payable: Payable | None) -> dict[str, int]:
    """What is owed although it is cancelled: how much of it we have, and have not."""
    if payable is None:
        return {"fee_kept_minor": 0, "fee_due_minor": 0}
    kept = min(max(payable.kept_minor, 0), payable.owed_minor)
    # What a bank decides about may turn out to be paid.
    due = payable.owed_minor - kept - in_dispute_minor(payable)
    return {"fee_kept_minor": kept, "fee_due_minor": max(due, 0)}


def in_dispute_minor(payable: Payable | None) -> int:
    """What a bank has taken and decides about now; an inquiry took nothing."""
    if payable is None:
        return 0
    disputes = Dispute.objects.filter(
        card_payment__payable=payable,
        card_payment__is_mismatch=False,
        status=DisputeStatus.OPEN,
        took_money=True,
    )
    return sum(dispute.amount_minor for dispute in disputes)


def key_of_cancelled(booking: Booking) -> str:
    """Of the mail that tells of a cancellation and of what it gives back."""
    return f"booking_cancelled:{booking.pk}"


def sold_of(sale: Booking | BookingHold) -> dict[str, Any]:
    """What was sold, with its reference if it is a booking."""
    reference = sale.reference if isinstance(sale, Booking) else ""
    return {**slot_of(sale), "reference": reference, "currency": sale.currency}


def slot_of(sale: Booking | BookingHold | WaitlistEntry) -> dict[str, Any]:
    """Where and when."""
    venue = sale.resource.venue
    return {
        "title": sale.resource.name,
        "venue_name": venue.name,
        "venue_address": venue.address,
        "time_zone": venue.time_zone,
        "start_time": sale.start_time.isoformat(),
        "end_time": sale.end_time.isoformat(),
    }


def appointment_of(booking: Booking) -> dict[str, Any]:
    """For calendars: which one it is, and how often it was changed."""
    return {"booking_id": str(booking.pk), "sequence": booking.version}


def about(subject: str, sale: Booking | BookingHold | WaitlistEntry) -> dict[str, Any]:
    """Whom it is for, and what it is about."""
    return {
        "recipient_id": sale.customer_id,
        "subject_type": subject,
        "subject_id": sale.pk,
        "venue_id": sale.resource.venue_id,
        "reference": getattr(sale, "reference", ""),
    }
