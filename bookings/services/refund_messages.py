"""What customers are told of money that goes back, and of what became of it."""

from uuid import UUID

from bookings.models import Booking, BookingHold
from bookings.queries import find_sale_of
from bookings.services.messages import tell_cancelled
from bookings.services.wording import (
    about,
    back_of,
    fee_of,
    key_of_cancelled,
    slot_of,
    sold_of,
)
from bookings.states import BookingStatus
from notifications.services.messages import is_queued, queue_message, withdraw
from payments.locks import lock_payable
from payments.models import Payable, Refund
from payments.queries import get_current_refund, is_withdrawn
from payments.states import STUCK_REFUNDS, RefundStatus
from slotbase.lib.db import transaction_required

SUCCEEDED, DELAYED = "refund_succeeded", "refund_delayed"
ELSEWHERE = "refund_elsewhere"


@transaction_required
def tell_refund_promised(
    booking: Booking, payable: Payable, refunds: list[Refund]
) -> None:
    """More goes back of a cancelled booking, now that its money is free again."""
    if not is_queued(dedupe_key=key_of_cancelled(booking)):
        return  # that mail is yet to come, and says it
    queue_message(
        template="refund_promised",
        context={
            **slot_of(booking),
            "reference": booking.reference,
            "currency": payable.currency,
            **back_of(refunds),
            **fee_of(payable),
        },
        dedupe_key=f"refund_promised:{refunds[0].pk}",
        **about("booking", booking),
    )


@transaction_required
def tell_late_refund(
    hold: BookingHold, payable: Payable, refunds: list[Refund]
) -> None:
    """Their money came too late, and these refunds give it back."""
    back = back_of(refunds)
    queue_message(
        template="late_payment_refunded",
        context={
            **slot_of(hold),
            "currency": payable.currency,
            **back,
            **fee_of(payable),
            "is_all": back["refund_minor"] == payable.paid_minor,
        },
        dedupe_key=f"late_payment_refunded:{refunds[0].pk}",
        **about("hold", hold),
    )


@transaction_required
def tell_refund(*, payable_id: UUID, refund_id: UUID) -> None:
    """Where a refund, or the one in its place, stands now; each news once.

    It arrived, takes longer, or is paid in another way. What was said before, and did
    not go out yet, is no news any more.
    """
    lock_payable(payable_id)
    refund, sale = get_current_refund(refund_id), find_sale_of(payable_id)
    if refund is None or sale is None or not (template := _news_of(refund)):
        return
    if isinstance(sale, Booking) and sale.status == BookingStatus.CANCELLING:
        tell_cancelled(sale)  # its workflow is about to: this comes first
    is_settled = refund.status == RefundStatus.RESOLVED_OUT_OF_BAND
    key = _key(template, refund, is_settled=is_settled)
    _withdraw_what_was_said(refund, key)
    queue_message(
        template=template,
        context={
            **sold_of(sale),
            "currency": refund.currency,
            "refund_minor": refund.amount_minor,
            "is_settled": is_settled,
        },
        dedupe_key=key,
        **about("booking" if isinstance(sale, Booking) else "hold", sale),
    )


def _news_of(refund: Refund) -> str:
    if refund.status == RefundStatus.SUCCEEDED:
        return SUCCEEDED
    if refund.status == RefundStatus.RESOLVED_OUT_OF_BAND:
        return ELSEWHERE
    if refund.status not in STUCK_REFUNDS or is_withdrawn(refund):
        return ""
    return ELSEWHERE if refund.is_payout else DELAYED


def _key(template: str, refund: Refund, *, is_settled: bool = False) -> str:
    return f"{template}:{refund.pk}" + (":settled" if is_settled else "")


@transaction_required
def _withdraw_what_was_said(refund: Refund, key: str) -> None:
    chain = Refund.objects.filter(origin=refund.origin).order_by("id")
    for each in chain:
        for template in (SUCCEEDED, DELAYED, ELSEWHERE):
            if (other := _key(template, each)) != key:
                withdraw(dedupe_key=other)
