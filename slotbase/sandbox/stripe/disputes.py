"""Disputes: the customer's bank takes money back, and perhaps gives it back again."""

from typing import Any

from slotbase.sandbox.stripe.account import (
    DISPUTES,
    Account,
    Object,
    new_id,
    now,
)
from slotbase.sandbox.stripe.charges import PARENTS, of_its_parents
from slotbase.sandbox.stripe.operations import Effect, listing, retrieval

OPEN = ("needs_response", "under_review", "warning_needs_response")
CLOSED = ("won", "lost", "warning_closed")
_WEEK = 7 * 86400


def is_charged_back(account: Account, charge: Object) -> bool:
    """Whether a dispute has taken the charge's money and not given it back."""
    return any(
        each["charge"] == charge["id"] and not each["is_charge_refundable"]
        for each in account.newest_first(DISPUTES)
    )


def open_dispute(
    account: Account, charge: Object, *, amount: int, status: str, reason: str
) -> tuple[Object, Effect]:
    """Dispute a charge; only an inquiry (`warning_...`) leaves its money with us."""
    is_inquiry = status.startswith("warning_")
    dispute = account.add(
        DISPUTES,
        {
            "id": new_id("du"),
            "object": "dispute",
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now(),
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {},
            "evidence_details": {
                "due_by": now() + _WEEK,
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": is_inquiry,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": status,
        },
    )
    charge["disputed"] = True
    account.emit("charge.dispute.created", dispute)
    if not is_inquiry:
        account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute, _effect_on(dispute, "dispute_opened")


def move_dispute(account: Account, dispute: Object, status: str) -> Effect:
    """Give a dispute another status; won ones bring the money back."""
    before = {"status": dispute["status"]}
    dispute["status"] = status
    if status == "won":
        dispute["is_charge_refundable"] = True
    if status not in CLOSED:
        account.emit("charge.dispute.updated", dispute, before)
        return _effect_on(dispute, "dispute_updated")
    account.emit("charge.dispute.closed", dispute)
    if status == "won":
        account.emit("charge.dispute.funds_reinstated", dispute)
    return _effect_on(dispute, "dispute_closed")


def _effect_on(dispute: Object, kind: str) -> Effect:
    names = ("charge", "payment_intent", "amount", "currency", "status")
    fields: dict[str, Any] = {name: dispute[name] for name in names}
    return {"kind": kind, "dispute": dispute["id"], **fields}


OPERATIONS = [
    listing(DISPUTES, of_its_parents, known=PARENTS),
    retrieval(DISPUTES, "dispute"),
]
