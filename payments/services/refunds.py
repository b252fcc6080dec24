"""Refunds: asked for under the payable's lock, so that no money goes back twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, Sum

from payments.errors import (
    PayableHasChanged,
    PaymentDisputed,
    PaymentNotFound,
    RefundExceedsBalance,
)
from payments.locks import lock_payable
from payments.models import CardPayment, Dispute, OfflinePayment, Payable, Refund
from payments.services import troubles
from payments.services.four_eyes import Second, by_two, require_two
from payments.services.payables import charge, recount
from payments.states import (
    DONE_REFUNDS,
    FAILED_REFUNDS,
    RESERVED_REFUNDS,
    CardPaymentStatus,
    DisputeStatus,
    LineKind,
    RefundReason,
    RefundStatus,
)
from recovery import audit, violations
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import ValidationFailed
from slotbase.lib.ids import uuid7

Payment = CardPayment | OfflinePayment


@transaction_required
def request_refund(
    payable: Payable,
    payment: Payment,
    amount_minor: int,
    *,
    reason: RefundReason,
    actor: audit.Actor,
    replaces: Refund | None = None,
) -> Refund:
    """Promise money of one payment of a locked payable back; sent after the commit.

    Money that came in by hand goes back by hand: it stands in a case at once.

    Raises:
        ValidationFailed: the amount is not positive.
        Frozen: its money does not add up, and a person looks at it first.
        PaymentDisputed: the customer's bank has the money in its hands.
        RefundExceedsBalance: so much is not left of this payment.
    """
    if amount_minor <= 0:
        raise ValidationFailed(amount="Must be more than zero.")
    violations.refuse_if_broken(payable.pk, payment.pk)
    if has_open_dispute(payment):
        raise PaymentDisputed("Wait until the dispute is decided.")
    left = refundable_minor(payment)
    if amount_minor > left:
        raise RefundExceedsBalance(left)
    refund = _insert(payable, payment, amount_minor, reason, actor, replaces)
    if refund.is_payout:
        troubles.open_payout(payable, refund)
    else:
        after_commit("payments.attempt_refund", id=refund.pk)
    recount(payable)
    return refund


@transaction_required
def _insert(
    payable: Payable,
    payment: Payment,
    amount_minor: int,
    reason: RefundReason,
    actor: audit.Actor,
    replaces: Refund | None,
) -> Refund:
    is_card, id_ = isinstance(payment, CardPayment), uuid7()
    refund = Refund.objects.create(
        id=id_,
        payable=payable,
        card_payment=payment if isinstance(payment, CardPayment) else None,
        offline_payment=payment if isinstance(payment, OfflinePayment) else None,
        status=RefundStatus.REQUESTED if is_card else RefundStatus.NEEDS_STAFF,
        amount_minor=amount_minor,
        currency=currency_of(payment),
        reason=reason,
        requested_by_id=UUID(actor.id) if actor.kind != "system" else None,
        origin=replaces.origin if replaces else id_,
        is_payout=not is_card,
        next_run_at=Now() if is_card else None,
    )
    record_move(refund, "", RefundStatus.REQUESTED, actor)
    if not is_card:
        record_move(refund, RefundStatus.REQUESTED, RefundStatus.NEEDS_STAFF, actor)
    return refund


@transaction_required
def record_move(
    refund: Refund, before: str, to: str, actor: audit.Actor, reason: str = ""
) -> None:
    """One entry of a refund's history."""
    audit.record(
        actor=actor,
        action=f"refund.{to.lower()}",
        subject="refund",
        ids=[refund.pk],
        move=(before, to),
        reason=reason,
    )


@transaction_required
def request_excess(
    payable: Payable, *, reason: RefundReason, actor: audit.Actor
) -> list[Refund]:
    """Promise back all that we have of a locked payable beyond what is owed.

    The latest payment first, cards before cash; what is disputed is left alone, and so
    is the money of refunds that failed: it stands in a case, and staff decide.
    """
    refunds = []
    with_staff = _with_staff(payable)
    for payment in _refundable_payments(payable):
        amount = min(
            payable.excess_minor - sum(with_staff.values()),
            refundable_minor(payment) - with_staff[payment.pk],
        )
        if amount > 0 and not has_open_dispute(payment):
            refunds.append(
                request_refund(payable, payment, amount, reason=reason, actor=actor)
            )
    return refunds


def unpromised_minor(payable: Payable) -> int:
    """What is too much of a payable, and in no refund, not even in one that failed."""
    return payable.excess_minor - sum(_with_staff(payable).values())


def _with_staff(payable: Payable) -> Counter[UUID]:
    """What refunds that failed would have given back of each payment."""
    latest = {refund.origin: refund for refund in payable.refunds.order_by("id")}
    amounts: Counter[UUID] = Counter()
    for refund in latest.values():
        # One that we took back before it was sent promises nothing any more.
        is_ours_to_decide = refund.provider_id is not None or refund.is_payout
        if refund.status in FAILED_REFUNDS and is_ours_to_decide:
            amounts[refund.payment.pk] += refund.amount_minor
    return amounts


def _refundable_payments(payable: Payable) -> Iterator[Payment]:
    yield from payable.card_payments.filter(
        status=CardPaymentStatus.SUCCEEDED, is_mismatch=False
    ).order_by("-id")
    yield from payable.offline_payments.filter(
        reverses=None, reversed_by=None
    ).order_by("-id")


def currency_of(payment: Payment) -> str:
    """The currency in which a payment came."""
    if isinstance(payment, CardPayment):
        return payment.received_currency or payment.currency
    return payment.currency


def refundable_minor(payment: Payment) -> int:
    """What can still be promised back of a payment, in minor units."""
    return max(left_minor(payment), 0)


def left_minor(payment: Payment) -> int:
    """What is left of a payment once all promises are kept; negative: too many."""
    promised = payment.refunds.filter(status__in=[*RESERVED_REFUNDS, *DONE_REFUNDS])
    gone: int = promised.aggregate(Sum("amount_minor"))["amount_minor__sum"] or 0
    if isinstance(payment, OfflinePayment):
        is_void = OfflinePayment.objects.filter(reverses=payment).exists()
        return 0 if is_void else payment.amount_minor - gone
    taken = payment.disputes.filter(took_money=True).exclude(status=DisputeStatus.WON)
    gone += taken.aggregate(Sum("amount_minor"))["amount_minor__sum"] or 0
    return payment.received_minor - gone


@dataclass(frozen=True)
class Refundable:
    """A payment of which something can be given back now."""

    payment: Payment
    left_minor: int
    currency: str


def list_refundable(payable: Payable) -> list[Refundable]:
    """What staff can give back of a payable, payment by payment."""
    cards = payable.card_payments.filter(status=CardPaymentStatus.SUCCEEDED)
    by_hand = payable.offline_payments.filter(reverses=None, reversed_by=None)
    payments: list[Payment] = [*cards.order_by("id"), *by_hand.order_by("id")]
    return [
        Refundable(payment, left, currency_of(payment))
        for payment in payments
        if (left := refundable_minor(payment)) and not has_open_dispute(payment)
    ]


def has_open_dispute(payment: Payment) -> bool:
    """Whether a bank decides about this payment now."""
    if isinstance(payment, OfflinePayment):
        return False
    return Dispute.objects.filter(
        card_payment=payment, status=DisputeStatus.OPEN, took_money=True
    ).exists()


@by_two("refund_amount", "Refund")
def refund_amount(
    *,
    payment_id: UUID,
    amount_minor: int,
    staff_id: UUID,
    version: int,
    stays_owed: bool = False,
    second: Second | None = None,
) -> Refund:
    """Staff give back all or part of one payment; `version` is the payable's they saw.

    What goes back need not be paid again, unless it `stays_owed`.

    Raises:
        PaymentNotFound: there is none, or it did not succeed.
        PayableHasChanged: somebody did something with its money meanwhile.
        ApprovalRequired: it is more than one person may give back.
        ValidationFailed, PaymentDisputed, RefundExceedsBalance: as `request_refund`.
    """
    payment = find_payment(payment_id)
    payable = lock_payable(payment.payable_id)
    require_version(payable, version)
    due_before = payable.due_minor
    refund = request_refund(
        payable,
        payment,
        amount_minor,
        reason=RefundReason.STAFF,
        actor=audit.Actor.staff(staff_id),
    )
    if not stays_owed:
        charge(payable, LineKind.WAIVER, due_before - payable.due_minor)
    require_two(payable, [refund], staff_id=staff_id, second=second)
    return refund


def find_payment(payment_id: UUID) -> Payment:
    """A payment that brought money.

    Raises:
        PaymentNotFound: there is none.
    """
    is_meant = Q(pk=payment_id)
    card = CardPayment.objects.filter(is_meant, status=CardPaymentStatus.SUCCEEDED)
    cash = OfflinePayment.objects.filter(is_meant, reverses=None)
    if (payment := card.first() or cash.first()) is None:
        raise PaymentNotFound
    return payment


def require_version(payable: Payable, version: int) -> None:
    """Refuse to act on what somebody changed since it was looked at.

    Raises:
        PayableHasChanged: somebody did.
    """
    if payable.version != version:
        raise PayableHasChanged("Look at it again, then decide.")
