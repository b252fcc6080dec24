"""Money that was recorded by mistake: taken back by a row of its own, never deleted.

The reversing row has a receipt of the same venue, so that the numbers of the till stay
without gaps and whoever counts it finds both.
"""

from uuid import UUID

from payments.errors import PaymentNotFound, VoidNotAllowed
from payments.locks import lock_payable, next_receipt_number
from payments.models import OfflinePayment, Payable
from payments.services.payables import publish_voided, recount
from payments.services.refunds import left_minor
from recovery import audit, violations
from slotbase.accounts.models import User
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import uuid7

#: Whoever has it voids any payment of their venues; others what they took in today.
MAY_VOID_ALL = "payments.void_payment"


@retry_on_conflict
def void_payment(*, payment_id: UUID, staff_id: UUID, reason: str) -> OfflinePayment:
    """Take back a payment that was never handed over; returns the reversing row.

    Raises:
        ValidationFailed: nobody says why.
        PaymentNotFound: there is no such payment.
        VoidNotAllowed: it is not of this person and of today.
        InvalidState: it is voided already, or money of it or of its sale went back.
        Frozen: its money does not add up, and a person looks at it first.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why.")
    payment = _find(payment_id)
    payable = lock_payable(payment.payable_id)
    violations.refuse_if_broken(payable.pk, payment.pk)
    if not may_void(payment, staff_id):
        raise VoidNotAllowed
    _require_whole(payable, payment)
    reversal = _reverse(payment, staff_id, reason)
    recount(payable)
    publish_voided(payable)
    return reversal


def may_void(payment: OfflinePayment, staff_id: UUID) -> bool:
    """Whether a person may take it back; that they work at its venue is seen before."""
    staff = User.objects.get(pk=staff_id)
    if staff.has_perm(MAY_VOID_ALL):
        return True
    zone = payment.venue.zone
    today = read_clock().astimezone(zone).date()
    is_of_today = payment.recorded_at.astimezone(zone).date() == today
    return payment.recorded_by_id == staff_id and is_of_today


def is_voidable(payment: OfflinePayment) -> bool:
    """Whether it stands: neither voided nor itself a void."""
    return payment.reverses_id is None and not hasattr(payment, "reversed_by")


def _find(payment_id: UUID) -> OfflinePayment:
    found = OfflinePayment.objects.select_related("venue").filter(pk=payment_id)
    if (payment := found.first()) is None:
        raise PaymentNotFound
    return payment


@transaction_required
def _require_whole(payable: Payable, payment: OfflinePayment) -> None:
    if payment.reverses_id is not None:
        raise InvalidState("It is a void itself. Record the payment anew instead.")
    if OfflinePayment.objects.filter(reverses=payment).exists():
        raise InvalidState("It is voided already.")
    if left_minor(payment) != payment.amount_minor:
        raise InvalidState("Money of it was given back: the customer has paid it.")
    if payable.kept_minor < payment.amount_minor:
        raise InvalidState(
            "More of this sale was given back or is disputed than would be left."
        )


@transaction_required
def _reverse(payment: OfflinePayment, staff_id: UUID, reason: str) -> OfflinePayment:
    reversal = OfflinePayment.objects.create(
        id=uuid7(),
        payable_id=payment.payable_id,
        amount_minor=-payment.amount_minor,
        currency=payment.currency,
        method=payment.method,
        note=reason.strip()[:200],
        recorded_by_id=staff_id,
        venue_id=payment.venue_id,
        receipt_number=next_receipt_number(payment.venue_id),
        tax_rate=payment.tax_rate,
        tax_minor=-payment.tax_minor,
        idempotency_key=uuid7(),
        reverses=payment,
    )
    actor = audit.Actor.staff(staff_id)
    # What they typed stands in the row, where it can be erased.
    audit.record(
        actor=actor,
        action="payment.voided",
        subject="offlinepayment",
        ids=[payment.pk, reversal.pk],
    )
    return reversal
