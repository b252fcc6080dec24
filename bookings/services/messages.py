"""What customers are told about their bookings, with the transaction that did it."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from bookings.models import Booking, BookingHold, WaitlistEntry
from bookings.queries import is_inside_closure
from notifications.services.messages import is_queued, queue_email, withdraw
from payments.locks import lock_payable
from payments.models import Dispute, Payable, Refund
from payments.queries import list_refunds
from payments.states import DisputeStatus, RefundReason, RefundStatus
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
def tell_moved(booking: Booking, *, was_local: str) -> None:
    """It is at another time or place, or the clocks there show another time.

    `was_local` is when it was to start, by the clocks of its venue at that time.
    """
    withdraw(dedupe_key=f"booking_confirmed:{booking.pk}")
    queue_email(
        template="booking_moved",
        context={
            **_slot(booking),
            "reference": booking.reference,
            "currency": booking.currency,
            "was_local": was_local,
        },
        dedupe_key=f"booking_moved:{booking.pk}:{booking.version}",
        not_after=booking.end_time,
        **_about("booking", booking),
    )


@transaction_required
def tell_cancelled(booking: Booking) -> None:
    """It is cancelled, and what goes back; that it was booked is no news any more."""
    # Locked: what else is promised from now on has a mail of its own.
    payable = lock_payable(booking.payable_id) if booking.payable_id else None
    withdraw(dedupe_key=f"booking_confirmed:{booking.pk}")
    queue_email(
        template="booking_cancelled",
        context={
            **_slot(booking),
            "reference": booking.reference,
            "currency": booking.currency,
            **_back(_promised_by_cancelling(payable)),
            **_fee(payable),
            "in_dispute_minor": _in_dispute_minor(payable),
        },
        dedupe_key=_key_of_cancelled(booking),
        **_about("booking", booking),
    )


def _key_of_cancelled(booking: Booking) -> str:
    return f"booking_cancelled:{booking.pk}"


@transaction_required
def tell_refund_promised(
    booking: Booking, payable: Payable, refunds: list[Refund]
) -> None:
    """More goes back of a cancelled booking, now that its money is free again."""
    if not is_queued(dedupe_key=_key_of_cancelled(booking)):
        return  # that mail is yet to come, and says it
    queue_email(
        template="refund_promised",
        context={
            **_slot(booking),
            "reference": booking.reference,
            "currency": payable.currency,
            **_back(refunds),
            **_fee(payable),
        },
        dedupe_key=f"refund_promised:{refunds[0].pk}",
        **_about("booking", booking),
    )


@transaction_required
def tell_late_refund(
    hold: BookingHold, payable: Payable, refunds: list[Refund]
) -> None:
    """Their money came too late, and these refunds give it back."""
    back = _back(refunds)
    queue_email(
        template="late_payment_refunded",
        context={
            **_slot(hold),
            "currency": payable.currency,
            **back,
            **_fee(payable),
            "is_all": back["refund_minor"] == payable.paid_minor,
        },
        dedupe_key=f"late_payment_refunded:{refunds[0].pk}",
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


@transaction_required
def tell_offered(entry: WaitlistEntry, hold: BookingHold) -> None:
    """What they waited for is kept for them, for a while."""
    queue_email(
        template="waitlist_offered",
        context={
            **_slot(entry),
            "price_minor": hold.price_minor,
            "currency": hold.currency,
            "offered_until": hold.expires_at.isoformat(),
        },
        dedupe_key=f"waitlist_offered:{entry.pk}",
        not_after=hold.expires_at,
        **_about("waitlistentry", entry),
    )


@transaction_required
def withdraw_offer(entry: WaitlistEntry) -> None:
    """That there is an offer is no news any more."""
    withdraw(dedupe_key=f"waitlist_offered:{entry.pk}")


@transaction_required
def tell_lapsed(entry: WaitlistEntry) -> None:
    """Their offer ran out, and they do not wait any more."""
    queue_email(
        template="waitlist_lapsed",
        context={
            **_slot(entry),
            "currency": entry.resource.venue.currency,
            # Then it was not theirs to confirm.
            "was_closed": entry.hold is not None and is_inside_closure(entry.hold),
        },
        dedupe_key=f"waitlist_lapsed:{entry.pk}",
        not_after=entry.start_time,
        **_about("waitlistentry", entry),
    )


def _promised_by_cancelling(payable: Payable | None) -> list[Refund]:
    """Not what staff gave back before, nor late money, which has a mail of its own."""
    return [
        refund
        for refund in list_refunds(payable)
        if refund.reason == RefundReason.CANCELLED
        # Taken back by us before it was sent; one that Stripe canceled is still owed.
        and (refund.status != RefundStatus.CANCELED or refund.provider_id)
    ]


def _back(refunds: Iterable[Refund]) -> dict[str, int]:
    """What arrives by itself, and what is to be fetched at the venue."""
    back = {"refund_minor": 0, "payout_minor": 0}
    for refund in refunds:
        name = "payout_minor" if refund.is_payout else "refund_minor"
        back[name] += refund.amount_minor
    return back


def _fee(payable: Payable | None) -> dict[str, int]:
    """What is owed although it is cancelled: how much of it we have, and have not."""
    if payable is None:
        return {"fee_kept_minor": 0, "fee_due_minor": 0}
    kept = min(max(payable.kept_minor, 0), payable.owed_minor)
    # What a bank decides about may turn out to be paid.
    due = payable.owed_minor - kept - _in_dispute_minor(payable)
    return {"fee_kept_minor": kept, "fee_due_minor": max(due, 0)}


def _in_dispute_minor(payable: Payable | None) -> int:
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


def _slot(sale: Booking | BookingHold | WaitlistEntry) -> dict[str, Any]:
    venue = sale.resource.venue
    return {
        "title": sale.resource.name,
        "venue_name": venue.name,
        "time_zone": venue.time_zone,
        "start_time": sale.start_time.isoformat(),
        "end_time": sale.end_time.isoformat(),
    }


def _about(subject: str, sale: Booking | BookingHold | WaitlistEntry) -> dict[str, Any]:
    return {
        "recipient_id": sale.customer_id,
        "subject_type": subject,
        "subject_id": sale.pk,
        "venue_id": sale.resource.venue_id,
        "reference": getattr(sale, "reference", ""),
    }
