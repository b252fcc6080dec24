"""Money other than asked for: staff count it as a credit, or give it back."""

from uuid import UUID

from payments.locks import lock_payable
from payments.models import CardPayment, Payable
from payments.services import troubles
from payments.services.payables import publish_settled, recount
from payments.services.refunds import refundable_minor, request_excess, request_refund
from payments.states import CardPaymentStatus, RefundReason
from recovery import audit, cases
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState


@retry_on_conflict
def accept_as_credit(*, payable_id: UUID, staff_id: UUID) -> None:
    """Count what came, whatever was asked for; what it pays for is decided next.

    Raises:
        InvalidState: it came in another currency, which pays nothing here.
    """
    payable, actor = lock_payable(payable_id), audit.Actor.staff(staff_id)
    for payment in _odd_payments(payable):
        if payment.received_currency != payable.currency:
            raise InvalidState(f"It came in {payment.received_currency}: refund it.")
        CardPayment.objects.filter(pk=payment.pk).update(is_mismatch=False)
        _tell("card_payment.accepted", payment, actor)
    recount(payable)
    cases.close_by_itself(troubles.mismatch_of(payable.pk), "It counts as a credit.")
    publish_settled(payable)


@retry_on_conflict
def refund_mismatch(*, payable_id: UUID, staff_id: UUID) -> None:
    """Give back what differs, or what is more than is owed.

    Raises:
        InvalidState: there is nothing to give back.
        PaymentDisputed: a bank decides about it.
    """
    payable, actor = lock_payable(payable_id), audit.Actor.staff(staff_id)
    refunds = [
        request_refund(payable, each, left, reason=RefundReason.STAFF, actor=actor)
        for each in _odd_payments(payable)
        if (left := refundable_minor(each))
    ]
    refunds += request_excess(payable, reason=RefundReason.STAFF, actor=actor)
    if not refunds:
        raise InvalidState("There is nothing to give back.")
    cases.close_by_itself(troubles.mismatch_of(payable.pk), "It is given back.")


def _odd_payments(payable: Payable) -> list[CardPayment]:
    return list(
        payable.card_payments.filter(
            status=CardPaymentStatus.SUCCEEDED, is_mismatch=True
        )
    )


@transaction_required
def _tell(action: str, payment: CardPayment, actor: audit.Actor) -> None:
    audit.record(actor=actor, action=action, subject="cardpayment", ids=[payment.pk])
