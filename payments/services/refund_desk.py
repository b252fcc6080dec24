"""What staff do about a refund that did not reach the customer."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from payments.errors import RefundExceedsBalance, RefundNotFound
from payments.locks import lock_payable
from payments.models import Payable, Refund
from payments.services import troubles
from payments.services.four_eyes import Second, by_two, require_two_for
from payments.services.payables import recount
from payments.services.refund_calls import move_refund, publish_refund, renew_key
from payments.services.refunds import refundable_minor, request_refund
from payments.states import FAILED_REFUNDS, RefundReason, RefundStatus
from recovery import audit, cases
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import InvalidState, ValidationFailed

OFFERED_AFTER_READS = 2


@by_two("retry_refund", "Send a refund again")
def retry_refund(
    *, refund_id: UUID, staff_id: UUID, second: Second | None = None
) -> Refund:
    """Send a refund again; one that failed at its bank is replaced by a new one.

    Raises:
        RefundNotFound, InvalidState: it cannot be sent again.
        RefundExceedsBalance, PaymentDisputed: its money is not ours to give any more.
        ApprovalRequired: staff decided it, and it is more than one person may let go.
    """
    payable, refund = _lock(refund_id)
    actor = audit.Actor.staff(staff_id)
    if refund.status == RefundStatus.NEEDS_STAFF and not refund.is_payout:
        again = _send_same(refund, actor)
    else:
        again = _send_another(payable, refund, actor)
    if _was_decided_by_staff(again):
        require_two_for(again, staff_id=staff_id, second=second, about=refund)
    return again


def _was_decided_by_staff(refund: Refund) -> bool:
    """Not what a policy or a rule promised: that goes where it was promised to go."""
    first = Refund.objects.filter(pk=refund.origin, approved_by__isnull=False)
    return refund.reason == RefundReason.STAFF or first.exists()


@transaction_required
def _send_same(refund: Refund, actor: audit.Actor) -> Refund:
    """It did not fail, it came to no end: so it is not replaced."""
    if refund.first_sent_at:
        _take_up(refund, actor)
    else:
        renew_key(refund, actor, reason="Staff try again.")
    after_commit("payments.attempt_refund", id=refund.pk)
    return refund


@transaction_required
def _send_another(payable: Payable, refund: Refund, actor: audit.Actor) -> Refund:
    if refund.status not in FAILED_REFUNDS:
        raise InvalidState(f"The refund is {refund.status}.")
    if _later_one(refund):
        raise InvalidState("Another refund was made in its place.")
    return request_refund(
        payable,
        refund.payment,
        refund.amount_minor,
        reason=RefundReason(refund.reason),
        actor=actor,
        replaces=refund,
    )


@transaction_required
def _take_up(refund: Refund, actor: audit.Actor) -> None:
    """It may have happened: the same key, or Stripe's list, keeps it from a second."""
    move_refund(
        refund,
        RefundStatus.REQUESTED,
        actor=actor,
        reason="Staff try again.",
        next_run_at=Now(),
        attempts=0,
        deaths=0,
    )


def _later_one(refund: Refund) -> bool:
    return Refund.objects.filter(origin=refund.origin, pk__gt=refund.pk).exists()


@retry_on_conflict
def look_at_stripe(*, refund_id: UUID, staff_id: UUID) -> None:
    """Ask Stripe now what became of a refund, without sending it.

    Raises:
        RefundNotFound, InvalidState: there is nothing to ask about.
    """
    _, refund = _lock(refund_id)
    if refund.card_payment_id is None or refund.is_payout:
        raise InvalidState("Stripe has nothing to do with it.")
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="refund.reconcile_requested",
        subject="refund",
        ids=[refund.pk],
    )
    after_commit("payments.reconcile_refund", refund_id=refund.pk)


def _say_evidence(asked: Mapping[str, Any]) -> list[str]:
    """For whoever has to agree."""
    return [f"Evidence: {asked['evidence']}"]


@by_two("settle_by_hand", "Settle a refund by hand", say=_say_evidence)
def settle_by_hand(
    *, refund_id: UUID, staff_id: UUID, evidence: str, second: Second | None = None
) -> None:
    """The customer has the money in another way; what shows it is kept.

    Raises:
        ValidationFailed: without evidence.
        RefundNotFound, InvalidState: it is not in the hands of staff.
        RefundExceedsBalance: its money went back in another way since.
        ApprovalRequired: nobody agreed yet that so much is handed out.
    """
    if not evidence.strip():
        raise ValidationFailed(evidence="Say what shows that the customer has it.")
    payable, refund = _lock(refund_id)
    if _later_one(refund):
        raise InvalidState("Another refund was made in its place.")
    if not can_be_settled(refund):
        raise InvalidState("It may have arrived: look at Stripe twice, then decide.")
    _require_money(refund)
    if second or not (refund.is_payout and refund.approved_by_id):
        require_two_for(refund, staff_id=staff_id, second=second)
    move_refund(
        refund,
        RefundStatus.RESOLVED_OUT_OF_BAND,
        actor=audit.Actor.staff(staff_id),
        evidence=evidence,
        settled_at=Now(),
    )
    recount(payable)
    troubles.refund_arrived(payable, refund)
    publish_refund("payments.refund_paid_otherwise", payable, refund)


@by_two("hand_to_front_desk", "Let the front desk pay out")
def hand_to_front_desk(
    *, refund_id: UUID, staff_id: UUID, second: Second | None = None
) -> None:
    """The card does not take it: let the front desk pay it out.

    Only when it surely did not arrive: it failed, or Stripe was asked twice.

    Raises:
        RefundNotFound, InvalidState: it may still arrive by itself.
        RefundExceedsBalance: its money went back in another way since.
        ApprovalRequired: it is more than one person may let go.
    """
    payable, refund = _lock(refund_id)
    if not can_be_paid_out(refund):
        raise InvalidState("It may have arrived: look at Stripe twice, then decide.")
    _require_money(refund)
    require_two_for(refund, staff_id=staff_id, second=second)
    actor = audit.Actor.staff(staff_id)
    move_refund(refund, RefundStatus.NEEDS_STAFF, actor=actor, is_payout=True)
    recount(payable)
    cases.close_by_itself(
        troubles.refund_failure_of(refund), "The front desk pays it out."
    )
    troubles.open_payout(payable, refund)
    publish_refund("payments.refund_handed_over", payable, refund)


def is_owed(refund: Refund) -> bool:
    """Whether the customer waits for it, and its money is still there."""
    if refund.status in FAILED_REFUNDS:
        is_there = refundable_minor(refund.payment) >= refund.amount_minor
        return is_there and not _later_one(refund)
    return refund.status == RefundStatus.NEEDS_STAFF


@transaction_required
def _require_money(refund: Refund) -> None:
    """What failed is not reserved: somebody may have given it back anew."""
    left = refundable_minor(refund.payment)
    if refund.status in FAILED_REFUNDS and left < refund.amount_minor:
        raise RefundExceedsBalance(left)


def can_be_settled(refund: Refund) -> bool:
    """Whether staff may say that the customer has it from another hand."""
    return refund.is_payout or can_be_paid_out(refund)


def can_be_paid_out(refund: Refund) -> bool:
    """Whether it is sure that the card did not get it."""
    if refund.is_payout or _later_one(refund):
        return False
    if refund.status in FAILED_REFUNDS:
        return True
    never_sent = refund.first_sent_at is None
    was_read = refund.absent_reads >= OFFERED_AFTER_READS
    return refund.status == RefundStatus.NEEDS_STAFF and (never_sent or was_read)


@transaction_required
def _lock(refund_id: UUID) -> tuple[Payable, Refund]:
    found = Refund.objects.filter(pk=refund_id).values_list("payable", flat=True)
    if (payable_id := found.first()) is None:
        raise RefundNotFound
    return lock_payable(payable_id), Refund.objects.get(pk=refund_id)
