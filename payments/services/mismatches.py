"""Money other than asked for: staff count it as a credit, or give it back."""

from datetime import datetime
from uuid import UUID

from django.db.models import Max

from payments.locks import lock_payable
from payments.models import CardPayment, Dispute, OfflinePayment, Payable
from payments.services import troubles
from payments.services.four_eyes import Second, by_two, require_two
from payments.services.payables import publish_settled, recount
from payments.services.refunds import (
    left_minor,
    refundable_minor,
    request_excess,
    request_refund,
    unpromised_minor,
)
from payments.states import CardPaymentStatus, DisputeStatus, RefundReason
from recovery import audit, cases
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState


def has_money_in_question(payable_id: UUID) -> bool:
    """Whether we have money other than asked for, which nobody has decided about."""
    return any(left_minor(payment) > 0 for payment in _odd_payments(payable_id))


@transaction_required
def question_excess(payable: Payable) -> None:
    """Ask staff about what is too much for a sale that stands, unless they decided it.

    What refunds that failed would have given back stands in a case already.
    """
    too_much = unpromised_minor(payable)
    if too_much > 0 and not _is_decided(payable):
        troubles.open_mismatch(
            payable,
            cause="It is more than is owed.",
            amount_minor=too_much,
            currency=payable.currency,
        )


def _is_decided(payable: Payable) -> bool:
    """Whether staff had the last word about its money.

    They did if nothing came by itself since they took in cash, where they have to say
    that it may be too much, or since they closed the case: it is a credit on purpose.
    """
    decided, came = _last_decision(payable), _last_coming(payable)
    return decided is not None and (came is None or came < decided)


def _last_decision(payable: Payable) -> datetime | None:
    cash = OfflinePayment.objects.filter(payable=payable, reverses=None)
    recorded = cash.aggregate(last=Max("recorded_at"))["last"]
    closed = cases.closed_at_of(troubles.mismatch_of(payable.pk))
    return max(filter(None, (recorded, closed)), default=None)


def _last_coming(payable: Payable) -> datetime | None:
    """When money came last, or came back, without a person here."""
    won = Dispute.objects.filter(
        card_payment__payable=payable, status=DisputeStatus.WON
    ).aggregate(last=Max("closed_at"))["last"]
    paid = payable.card_payments.aggregate(last=Max("succeeded_at"))["last"]
    return max(filter(None, (won, paid)), default=None)


@retry_on_conflict
def accept_as_credit(*, payable_id: UUID, staff_id: UUID) -> None:
    """Count what came, whatever was asked for; what it pays for is decided next.

    Raises:
        InvalidState: it came in another currency, which pays nothing here.
    """
    payable, actor = lock_payable(payable_id), audit.Actor.staff(staff_id)
    for payment in _odd_payments(payable.pk):
        if payment.received_currency != payable.currency:
            raise InvalidState(f"It came in {payment.received_currency}: refund it.")
        CardPayment.objects.filter(pk=payment.pk).update(is_mismatch=False)
        _tell("card_payment.accepted", payment, actor)
    recount(payable)
    cases.close_by_itself(troubles.mismatch_of(payable.pk), "It counts as a credit.")
    publish_settled(payable)


@by_two("refund_mismatch", "Refund what differs")
def refund_mismatch(
    *, payable_id: UUID, staff_id: UUID, second: Second | None = None
) -> None:
    """Give back what differs, or what is more than is owed.

    Raises:
        InvalidState: there is nothing to give back.
        PaymentDisputed: a bank decides about it.
        ApprovalRequired: it is more than one person may give back.
    """
    payable, actor = lock_payable(payable_id), audit.Actor.staff(staff_id)
    refunds = [
        request_refund(payable, each, left, reason=RefundReason.STAFF, actor=actor)
        for each in _odd_payments(payable.pk)
        if (left := refundable_minor(each))
    ]
    refunds += request_excess(payable, reason=RefundReason.STAFF, actor=actor)
    if not refunds:
        raise InvalidState("There is nothing to give back.")
    require_two(payable, refunds, staff_id=staff_id, second=second)
    cases.close_by_itself(troubles.mismatch_of(payable.pk), "It is given back.")


def _odd_payments(payable_id: UUID) -> list[CardPayment]:
    return list(
        CardPayment.objects.filter(
            payable=payable_id, status=CardPaymentStatus.SUCCEEDED, is_mismatch=True
        )
    )


@transaction_required
def _tell(action: str, payment: CardPayment, actor: audit.Actor) -> None:
    audit.record(actor=actor, action=action, subject="cardpayment", ids=[payment.pk])
