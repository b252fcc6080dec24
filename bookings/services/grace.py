"""Grace: a hold lasts longer, once, while its payment is being decided."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models.functions import Greatest

from bookings.locks import lock_hold
from bookings.models import BookingHold
from bookings.states import HoldStatus
from payments.locks import lock_payable, lock_payables
from payments.models import CardPayment, Payable
from payments.services.payables import end_payables, publish_settled
from payments.states import UNDECIDED_PAYMENTS
from recovery import audit
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required


@retry_on_conflict
def give_grace(*, hold_id: UUID, customer_id: UUID) -> None:
    """Let a hold with an undecided card payment live on, if it would soon run out.

    Raises:
        HoldNotFound: it is not a hold of this customer.
    """
    hold = lock_hold(hold_id, customer_id=customer_id)
    if hold.payable_id is None or hold.status != HoldStatus.ACTIVE:
        return
    lock_payable(hold.payable_id)
    left = hold.expires_at - read_clock()
    is_undecided = CardPayment.objects.filter(
        payable=hold.payable_id,
        status__in=UNDECIDED_PAYMENTS,
        cancel_requested_at=None,
    ).exists()
    if timedelta() < left < _grace() and is_undecided:
        _extend([hold], actor=audit.Actor.customer(customer_id))


def _grace() -> timedelta:
    return timedelta(seconds=settings.PAYMENT_GRACE_SECONDS)


@transaction_required
def settle_expiring_payables(hold_ids: list[UUID], *, actor: audit.Actor) -> list[UUID]:
    """What becomes of the money meant for locked holds that have run out.

    Where it came in time, the hold gets its grace: those are returned. For the others
    nothing is owed any more.
    """
    holds = list(BookingHold.objects.filter(pk__in=hold_ids, payable__isnull=False))
    holds_by_payable = {hold.payable_id: hold for hold in holds}
    paid, ended = [], []
    for payable in lock_payables(each for each in holds_by_payable if each):
        hold = holds_by_payable[payable.pk]
        if _was_paid_in_time(hold, payable):
            paid.append(hold)
            # Whoever was to decide may have found it expired, a moment ago.
            publish_settled(payable)
        else:
            ended.append(payable.pk)
    _extend(paid, actor=actor)
    end_payables(ended, actor=actor)
    return [hold.pk for hold in paid]


def _was_paid_in_time(hold: BookingHold, payable: Payable) -> bool:
    """And has not had its grace yet."""
    if payable.paid_at is None or hold.grace_given_at is not None:
        return False
    return payable.is_covered and payable.paid_at <= hold.expires_at


@transaction_required
def _extend(holds: list[BookingHold], *, actor: audit.Actor) -> None:
    fresh = [hold.pk for hold in holds if hold.grace_given_at is None]
    if not fresh:
        return
    BookingHold.objects.filter(pk__in=fresh).update(
        expires_at=Greatest("expires_at", Now() + _grace()), grace_given_at=Now()
    )
    audit.record(actor=actor, action="hold.extended", subject="hold", ids=fresh)
