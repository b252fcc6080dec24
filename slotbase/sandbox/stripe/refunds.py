"""Refunds: made by us or in the dashboard, and what becomes of them at the bank."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slotbase.sandbox.stripe import forms
from slotbase.sandbox.stripe.account import (
    CHARGES,
    REFUNDS,
    Account,
    Object,
    new_id,
    now,
)
from slotbase.sandbox.stripe.charges import (
    PARENTS,
    add_refunded,
    charge_of,
    of_its_parents,
    unrefunded,
)
from slotbase.sandbox.stripe.disputes import is_charged_back
from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.money import check_fraction, format_money
from slotbase.sandbox.stripe.operations import (
    Call,
    Done,
    Effect,
    Operation,
    listing,
    retrieval,
)

MOVES = {
    "pending": ("requires_action", "succeeded", "failed", "canceled"),
    "requires_action": ("pending", "succeeded", "failed", "canceled"),
    # Banks return money days later.
    "succeeded": ("failed",),
    "failed": (),
    "canceled": (),
}
REASONS = ("duplicate", "fraudulent", "requested_by_customer")
PENDING_REASONS = ("charge_pending", "insufficient_funds", "processing")
FAILURE_REASONS = (
    *("charge_for_pending_refund_disputed", "declined", "expired_or_canceled_card"),
    *("insufficient_funds", "lost_or_stolen_card", "merchant_request", "unknown"),
)
_NOT_PAID_OUT = {"failed", "canceled"}


@dataclass(frozen=True)
class Fate:
    """A state of a refund and why it is in it."""

    status: str = "succeeded"
    pending_reason: str | None = None
    failure_reason: str | None = None


def effect_on(refund: Object, kind: str) -> Effect:
    """What happened to a refund, for the ledger."""
    names = ("charge", "payment_intent", "amount", "currency", "status")
    return {
        "kind": kind,
        "refund": refund["id"],
        **{name: refund[name] for name in names},
        "metadata": dict(refund["metadata"]),
    }


def refund(account: Account, given: Mapping[str, Any], fate: Fate) -> Object:
    """Refund a charge, named by `charge` or `payment_intent`: `amount`, or the rest.

    Raises:
        Refused: not paid, disputed, refunded already, or more than what is left.
    """
    charge = charge_of(account, given)
    amount = _check_amount(account, charge, given.get("amount"))
    made = account.add(REFUNDS, _new_refund(charge, amount, given, fate))
    account.emit("refund.created", made)
    before = {key: charge[key] for key in ("amount_refunded", "refunded")}
    if fate.status not in _NOT_PAID_OUT:
        add_refunded(charge, amount)
        account.emit("charge.refunded", charge, before)
    if fate.status == "failed":
        account.emit("refund.failed", made)
    return made


def _check_amount(account: Account, charge: Object, wanted: int | None) -> int:
    if is_charged_back(account, charge):
        raise Refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    left = unrefunded(charge)
    if left == 0:
        raise Refused(
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
        )
    amount = left if wanted is None else wanted
    if amount > left:
        raise _too_much(charge, amount)
    check_fraction(amount, charge["currency"])
    return amount


def _too_much(charge: Object, amount: int) -> Refused:
    is_first = charge["amount_refunded"] == 0
    what = "charge amount" if is_first else "unrefunded amount on charge"
    sums = (amount, unrefunded(charge))
    asked, left = (format_money(each, charge["currency"]) for each in sums)
    return Refused(
        f"Refund amount ({asked}) is greater than {what} ({left})", param="amount"
    )


def _new_refund(
    charge: Object, amount: int, given: Mapping[str, Any], fate: Fate
) -> Object:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now(),
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": forms.set_metadata(given.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "transfer_reversal": None,
        **_fields(fate),
    }


def _fields(fate: Fate) -> Object:
    """Of pending_reason and failure_reason Stripe shows the one that applies."""
    fields: Object = {"status": fate.status}
    if fate.pending_reason:
        fields["pending_reason"] = fate.pending_reason
    if fate.failure_reason:
        fields["failure_reason"] = fate.failure_reason
    return fields


def settle(account: Account, made: Object, fate: Fate) -> Effect:
    """Move a refund to another state; failed and canceled ones give the money back."""
    names = ("status", "pending_reason", "failure_reason")
    before = {name: made.pop(name, None) for name in names}
    made.update(_fields(fate))
    if fate.status in _NOT_PAID_OUT:
        add_refunded(account.get(CHARGES, made["charge"], "charge"), -made["amount"])
    changed = {key: old for key, old in before.items() if old != made.get(key)}
    account.emit("refund.updated", made, changed)
    account.emit("charge.refund.updated", made, changed)
    if fate.status == "failed":
        account.emit("refund.failed", made)
    return effect_on(made, "refund_status_changed")


class NextFates:
    """What will become of the refunds to come, in order; then they succeed."""

    def __init__(self) -> None:
        self._fates: list[Fate] = []

    def add(self, fate: Fate) -> None:
        """One more."""
        self._fates.append(fate)

    def clear(self) -> None:
        """All refunds to come succeed."""
        self._fates.clear()

    def create(self, account: Account, call: Call) -> Done:
        """`refunds.create`; a refused one uses no fate up."""
        fate = self._fates[0] if self._fates else Fate()
        made = refund(account, call.params, fate)
        del self._fates[:1]
        return Done(made, effect_on(made, "refund_created"))


def _check_target(params: Mapping[str, Any]) -> None:
    given = params.keys() & {"charge", "payment_intent"}
    if not given:
        raise Refused(
            "One of the following params should be provided for this request: "
            "payment_intent or charge.",
            code="parameter_missing",
        )
    if len(given) > 1:
        raise Refused("You may only specify one of charge and payment_intent.")


def _cancel(account: Account, call: Call) -> Done:
    made = account.get(REFUNDS, call.id, "id")
    if made["status"] != "requires_action":
        raise Refused(
            "Only a refund with a status of requires_action can be canceled; this one "
            f"is {made['status']}."
        )
    return Done(made, settle(account, made, Fate("canceled")))


def operations(fates: NextFates) -> list[Operation]:
    """The operations on refunds."""
    return [
        Operation(
            "POST",
            f"/v1/{REFUNDS}",
            f"{REFUNDS}.create",
            fates.create,
            {
                "amount": forms.integer(1),
                "charge": forms.text,
                "metadata": forms.metadata,
                "payment_intent": forms.text,
                "reason": forms.choice(*REASONS),
            },
            check=_check_target,
        ),
        listing(REFUNDS, of_its_parents, known=PARENTS),
        retrieval(REFUNDS),
        Operation("POST", f"/v1/{REFUNDS}/{{id}}/cancel", f"{REFUNDS}.cancel", _cancel),
    ]
