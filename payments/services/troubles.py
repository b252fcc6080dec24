"""The cases of payments: what each is about, and how it is opened and closed."""

from typing import Any
from uuid import UUID

from django.conf import settings

from payments.models import CardPayment, Dispute, Payable, Refund
from payments.states import RefundStatus
from recovery import cases
from recovery.states import CaseSeverity
from slotbase.lib.db import transaction_required
from slotbase.lib.money import exponent, format_money
from slotbase.providers.stripe.client import Intent


def about(payable: Payable) -> dict[str, Any]:
    """What every case about a payable tells of the sale."""
    return {
        "venue_id": payable.venue_id,
        "customer_id": payable.customer_id,
        "reference": payable.reference,
    }


def _of(row: Refund | CardPayment | Dispute) -> dict[str, Any]:
    return {
        "subject_type": type(row).__name__.lower(),
        "subject_id": str(row.pk),
        "amount_minor": row.amount_minor,
        "currency": row.currency,
    }


# What Stripe says of refunds that failed.
_WHY = {
    "lost_or_stolen_card": "The card was reported lost or stolen.",
    "expired_or_canceled_card": "The card has expired or was cancelled.",
    "charge_for_pending_refund_disputed": "The customer's bank took the money back.",
    "insufficient_funds": "There was not enough money in the account at Stripe.",
    "declined": "The customer's bank declined it.",
    "merchant_request": "Somebody called it off at Stripe.",
    "unknown": "The customer's bank gave no reason.",
}


def say_why(refund: Refund) -> str:
    """Why a refund failed at its bank, in words; empty if that is not known."""
    reason = refund.failure_reason
    return _WHY.get(reason, reason.replace("_", " "))


# What Stripe says of refunds that do not arrive.
_WHY_SLOW = {
    "charge_pending": "the payment itself is still on its way",
    "insufficient_funds": "there is not enough money in our account at Stripe",
    "processing": "it is being processed",
}


def say_why_slow(refund: Refund) -> str:
    """Why a refund has not arrived for so long, in words; empty if nobody knows."""
    if refund.status == RefundStatus.REQUIRES_ACTION:
        return "It has waited ten days for the customer to act at Stripe."
    why = _WHY_SLOW.get(refund.pending_reason)
    return f"It has been on its way for ten days: {why}." if why else ""


# --- Refunds -------------------------------------------------------------------


def refund_failure_of(refund: Refund) -> str:
    """The fingerprint of the case about a refund, and about those that replace it."""
    return f"refund_failure:{refund.origin}"


def payout_of(refund: Refund) -> str:
    """The fingerprint of the case about money to be paid out by hand."""
    return f"refund_payout:{refund.origin}"


def late_money_of(payable_id: UUID) -> str:
    """The fingerprint of the case about money for a slot that is gone."""
    return f"late_money:{payable_id}"


def mismatch_of(payable_id: UUID) -> str:
    """The fingerprint of the case about money other than asked for."""
    return f"payment_mismatch:{payable_id}"


def unmatched_of(provider_id: str) -> str:
    """The fingerprint of the case about an object of Stripe that is nobody's."""
    return f"unmatched_payment:{provider_id}"


def is_large(refund: Refund) -> bool:
    """Whether somebody must hear at once that it failed."""
    limit: int = settings.REFUND_ALERT_MAJOR * 10 ** exponent(refund.currency)
    return refund.amount_minor > limit


@transaction_required
def open_refund_failure(payable: Payable, refund: Refund, *, cause: str) -> None:
    """The refund did not reach the customer, and will not by itself."""
    cases.open_case(
        cases.Opening(
            kind="refund_failure",
            fingerprint=refund_failure_of(refund),
            title=f"Refund failed: {payable}",
            cause=cause,
            severity=CaseSeverity.CRITICAL if is_large(refund) else None,
            details={"attempts": refund.attempts, "payment": str(refund.payment)},
            **_of(refund),
            **about(payable),
        )
    )


@transaction_required
def open_payout(payable: Payable, refund: Refund) -> None:
    """The front desk owes the customer money."""
    cases.open_case(
        cases.Opening(
            kind="refund_payout",
            fingerprint=payout_of(refund),
            title=f"Pay out: {payable}",
            details={"payment": str(refund.payment)},
            **_of(refund),
            **about(payable),
        )
    )


@transaction_required
def refund_arrived(payable: Payable, refund: Refund) -> None:
    """Close what was open about this refund, and about the late money it gave back."""
    is_by_hand = refund.status == RefundStatus.RESOLVED_OUT_OF_BAND
    how = "Staff settled it by hand." if is_by_hand else "The refund succeeded."
    cases.close_by_itself(refund_failure_of(refund), how)
    cases.close_by_itself(payout_of(refund), "The money was given back.")
    if not payable.excess_minor and not payable.refund_reserved_minor:
        cases.close_by_itself(late_money_of(payable.pk), "The money was given back.")


@transaction_required
def refund_withdrawn(refund: Refund) -> None:
    """Nobody need see to it any more."""
    cases.close_by_itself(refund_failure_of(refund), "The refund was withdrawn.")
    cases.close_by_itself(payout_of(refund), "The refund was withdrawn.")


# --- Payments ------------------------------------------------------------------


@transaction_required
def open_late_money(payable: Payable, *, cause: str) -> None:
    """Money came for a slot that is gone; its refund is on the way."""
    cases.open_case(
        cases.Opening(
            kind="late_money",
            fingerprint=late_money_of(payable.pk),
            title=f"Paid too late: {payable}",
            cause=cause,
            subject_type="payable",
            subject_id=str(payable.pk),
            amount_minor=payable.paid_minor,
            currency=payable.currency,
            **about(payable),
        )
    )


@transaction_required
def open_mismatch(
    payable: Payable, *, cause: str, amount_minor: int, currency: str
) -> None:
    """More came than was asked for, or something else."""
    cases.open_case(
        cases.Opening(
            kind="payment_mismatch",
            fingerprint=mismatch_of(payable.pk),
            title=f"Payment differs: {payable}",
            cause=cause,
            subject_type="payable",
            subject_id=str(payable.pk),
            amount_minor=amount_minor,
            currency=currency,
            details={
                "owed": format_money(payable.owed_minor, payable.currency),
                "paid": format_money(payable.paid_minor, payable.currency),
            },
            **about(payable),
        )
    )


@transaction_required
def open_unmatched(intent: Intent) -> None:
    """There is money at Stripe that belongs to no sale that we know."""
    cases.open_case(
        cases.Opening(
            kind="unmatched_payment",
            fingerprint=unmatched_of(intent.id),
            title=f"Payment {intent.id} belongs to nothing we know",
            subject_type="paymentintent",
            subject_id=intent.id,
            amount_minor=intent.received_minor,
            currency=intent.currency,
            reference=intent.id[:64],
        )
    )


@transaction_required
def open_dispute(payable: Payable, dispute: Dispute) -> None:
    """A customer's bank asks for the money."""
    cases.open_case(
        cases.Opening(
            kind="dispute",
            fingerprint=dispute_of(dispute),
            title=f"Disputed: {payable}",
            cause=dispute.reason,
            **_of(dispute),
            **about(payable),
        )
    )


def dispute_of(dispute: Dispute) -> str:
    """The fingerprint of the case about a dispute."""
    return f"dispute:{dispute.provider_id}"


cases.register(
    cases.Kind(
        "refund_failure",
        CaseSeverity.HIGH,
        "support",
        "A refund did not reach the customer.",
        opened_when="a refund is refused for good, is out of attempts, or"
        " fails at its bank, be it days later",
        closes_itself_when="the refund succeeds",
        actions=("retry", "look", "pay_out", "settle"),
    ),
    cases.Kind(
        "refund_payout",
        CaseSeverity.HIGH,
        "front_desk",
        "A customer is owed money that must be paid out by hand.",
        opened_when="money that came in by hand must go back, or a card does"
        " not take a refund",
        closes_itself_when="the payout is recorded",
        actions=("paid_out",),
    ),
    cases.Kind(
        "late_money",
        CaseSeverity.HIGH,
        "support",
        "Money came for a slot that was gone; it goes back.",
        opened_when="money came for a slot that is gone",
        closes_itself_when="its refund succeeds",
        actions=("retry",),
    ),
    cases.Kind(
        "payment_mismatch",
        CaseSeverity.CRITICAL,
        "support",
        "A payment is not what was asked for, or came on top of another.",
        opened_when="a payment is not what was asked for, or is more than is"
        " owed; a refund was withdrawn since the money went another way",
        actions=("accept", "refund"),
    ),
    cases.Kind(
        "unmatched_payment",
        CaseSeverity.HIGH,
        "support",
        "Stripe has a payment that belongs to no sale.",
        opened_when="Stripe has a payment that belongs to no sale",
        closes_itself_when="it is matched",
        actions=("link", "refund", "discard"),
    ),
    cases.Kind(
        "dispute",
        CaseSeverity.CRITICAL,
        "support_lead",
        "A customer asked their bank for the money; refunds wait.",
        opened_when="a customer's bank asks for the money",
        closes_itself_when="it is won or lost",
        actions=("note",),
    ),
)
