"""Buttons on the pages of cases about money: what staff do, and what each will do."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from payments.admin.base import MAY_PAY_OUT, MAY_REFUND
from payments.admin.refunds import (
    facts_of_intent,
    facts_of_payable,
    facts_of_refund,
    history_of_payable,
    history_of_refund,
    payable_of,
    refund_of,
)
from payments.errors import RefundNotFound
from payments.models import Refund
from payments.services import mismatches, refund_desk, unmatched
from payments.states import STUCK_REFUNDS
from recovery import cases
from recovery.admin.actions import (
    FOR_EVERY_CASE,
    is_free_for,
    refused_while,
    register_actions,
)
from recovery.admin.cases import Background, register_background
from recovery.backoffice import RowAction, Wish
from slotbase.lib.errors import InvalidState

IsOffered = Callable[[Any, UUID], bool]


def _require_free(case: Any, wish: Wish) -> None:
    cases.require_free(case_id=case.pk, staff_id=wish.staff_id, version=wish.version)


def _refund_id(case: Any) -> UUID:
    refund = refund_of(case)
    if refund is None:
        raise RefundNotFound
    return refund.pk


def _stuck_refunds(case: Any) -> list[Refund]:
    """Those of a payable that wait for a person and can be sent again."""
    payable = payable_of(case)
    if payable is None:
        return []
    found = payable.refunds.filter(status__in=STUCK_REFUNDS, is_payout=False)
    return [refund for refund in found.order_by("id") if refund_desk.is_owed(refund)]


# --- What each does --------------------------------------------------------------


def _retry(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    refund_desk.retry_refund(refund_id=_refund_id(case), staff_id=wish.staff_id)


def _look(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    refund_desk.look_at_stripe(refund_id=_refund_id(case), staff_id=wish.staff_id)


def _hand_over(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    refund_desk.hand_to_front_desk(refund_id=_refund_id(case), staff_id=wish.staff_id)


def _settle(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    refund_desk.settle_by_hand(
        refund_id=_refund_id(case), staff_id=wish.staff_id, evidence=wish.evidence
    )


def _retry_all(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    stuck = _stuck_refunds(case)
    if not stuck:
        raise InvalidState("Its refund is not stuck: it is on its way, or arrived.")
    for refund in stuck:
        refund_desk.retry_refund(refund_id=refund.pk, staff_id=wish.staff_id)


def _accept(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    payable_id = UUID(case.subject_id)
    mismatches.accept_as_credit(payable_id=payable_id, staff_id=wish.staff_id)


def _refund_mismatch(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    payable_id = UUID(case.subject_id)
    mismatches.refund_mismatch(payable_id=payable_id, staff_id=wish.staff_id)


def _link(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    unmatched.link_payment(
        intent_id=case.subject_id, reference=wish.reference, staff_id=wish.staff_id
    )


def _refund_unmatched(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    unmatched.refund_unmatched(intent_id=case.subject_id, staff_id=wish.staff_id)


def _note(case: Any, wish: Wish) -> None:
    cases.note_evidence(
        case_id=case.pk,
        staff_id=wish.staff_id,
        version=wish.version,
        evidence=wish.evidence,
    )


# --- Closing: not while somebody waits for money ------------------------------------


def _refund_waits(case: Any) -> bool:
    refund = refund_of(case)
    return refund is not None and refund_desk.is_owed(refund)


def _money_waits(case: Any) -> bool:
    """Whether there is money that is not ours, or that nobody has decided about."""
    payable = payable_of(case)
    if payable is None:
        return False
    is_open = payable.excess_minor or payable.refund_reserved_minor
    return bool(is_open or mismatches.has_money_in_question(payable.pk))


def _nothing_waits(_: Any) -> bool:
    return False


def _closing(
    permission: str, waits: Callable[[Any], bool] = _nothing_waits
) -> dict[str, RowAction[Any]]:
    """Resolve and discard: to close the case alone would leave money to nobody."""
    words = "There is money to be decided about first."
    return {
        name: replace(
            refused_while(waits, FOR_EVERY_CASE[name], words), permission=permission
        )
        for name in ("resolve", "discard")
    }


def _where(says: Callable[[Any], bool]) -> IsOffered:
    return lambda case, staff_id: is_free_for(case, staff_id) and says(case)


def _can_be_sent(refund: Refund | None) -> bool:
    return bool(refund and not refund.is_payout and refund_desk.is_owed(refund))


def _can_be_looked_at(refund: Refund | None) -> bool:
    return bool(refund and refund.card_payment_id and not refund.is_payout)


def _can_be_paid_out(refund: Refund | None) -> bool:
    return bool(
        refund and refund_desk.is_owed(refund) and refund_desk.can_be_paid_out(refund)
    )


def _can_be_settled(refund: Refund | None) -> bool:
    return bool(
        refund and refund_desk.is_owed(refund) and refund_desk.can_be_settled(refund)
    )


# --- The buttons of each kind ---------------------------------------------------------

register_background(
    Background(facts_of_refund, history_of_refund), "refund_failure", "refund_payout"
)
register_background(
    Background(facts_of_payable, history_of_payable), "late_money", "payment_mismatch"
)
register_background(Background(facts_of_intent), "unmatched_payment")
register_actions(
    "refund_failure",
    retry=RowAction(
        "Retry the refund",
        "Sends it to Stripe again now. If an earlier try may have arrived, Stripe finds"
        " that out first: the customer cannot get it twice. The case closes itself when"
        " it succeeds.",
        "The refund is sent again within seconds.",
        MAY_REFUND,
        _retry,
        _where(lambda case: _can_be_sent(refund_of(case))),
        needs_step_up=True,
        takes_reason=True,
    ),
    look=RowAction(
        "Look at Stripe now",
        "Asks Stripe what became of it; sends nothing. The answer stands in the history"
        " within seconds.",
        "Stripe is being asked: look at the history in a moment.",
        MAY_REFUND,
        _look,
        _where(lambda case: _can_be_looked_at(refund_of(case))),
    ),
    pay_out=RowAction(
        "Let the front desk pay it out",
        "Gives up on the card, for good: a case tells the front desk to pay the"
        " customer in another way, and this case closes.",
        "The front desk is asked to pay it out.",
        MAY_REFUND,
        _hand_over,
        _where(lambda case: _can_be_paid_out(refund_of(case))),
        needs_step_up=True,
        takes_reason=True,
    ),
    settle=RowAction(
        "Mark as settled",
        "Says that the customer has the money already, in another way; nothing is sent"
        " any more, and the case closes. Give evidence.",
        "The refund is settled, and its case is closed.",
        MAY_REFUND,
        _settle,
        _where(lambda case: _can_be_settled(refund_of(case))),
        needs_step_up=True,
        needs_evidence=True,
        takes_reason=True,
    ),
    **_closing(MAY_REFUND, _refund_waits),
)


register_actions(
    "refund_payout",
    paid_out=RowAction(
        "Paid out",
        "Says that you gave the customer this money; the case closes. Give evidence:"
        " a signature, the number of a receipt or of a transfer.",
        "It is noted that the customer has the money.",
        MAY_PAY_OUT,
        _settle,
        _where(_refund_waits),
        needs_step_up=True,
        needs_evidence=True,
        takes_reason=True,
    ),
    **_closing(MAY_PAY_OUT, _refund_waits),
)
register_actions(
    "late_money",
    retry=RowAction(
        "Retry the refund",
        "Sends again what did not reach the customer. The case closes itself when all"
        " of it has arrived. To book another slot, let the customer book anew.",
        "The refund is sent again within seconds.",
        MAY_REFUND,
        _retry_all,
        _where(lambda case: bool(_stuck_refunds(case))),
        needs_step_up=True,
        takes_reason=True,
    ),
    **_closing(MAY_REFUND, _money_waits),
)
register_actions(
    "payment_mismatch",
    accept=RowAction(
        "Accept as credit",
        "Counts what came, whatever was asked for: it pays for the booking as far as it"
        " goes, and what is too much stays with us until it is refunded.",
        "It counts as a credit.",
        MAY_REFUND,
        _accept,
        is_free_for,
        needs_step_up=True,
    ),
    refund=RowAction(
        "Refund it",
        "Gives back what differs, or what is more than is owed, to whoever paid it.",
        "The refund is on its way.",
        MAY_REFUND,
        _refund_mismatch,
        is_free_for,
        needs_step_up=True,
        takes_reason=True,
    ),
    **_closing(MAY_REFUND, _money_waits),
)
register_actions(
    "unmatched_payment",
    link=RowAction(
        "Link to a booking",
        "Counts it as paid for the booking whose reference you give, less what went"
        " back already. More than is owed opens another case.",
        "The payment counts for that booking.",
        MAY_REFUND,
        _link,
        is_free_for,
        needs_step_up=True,
        needs_reference=True,
    ),
    refund=RowAction(
        "Refund it",
        "Gives what is left of it back to whoever paid it.",
        "The refund is on its way.",
        MAY_REFUND,
        _refund_unmatched,
        is_free_for,
        needs_step_up=True,
        takes_reason=True,
    ),
    **_closing(MAY_REFUND)
    | {
        "discard": replace(
            FOR_EVERY_CASE["discard"],
            label="Ignore it",
            says="Leaves the money at Stripe as it is, and closes the case. Say why.",
            permission=MAY_REFUND,
        )
    },
)
register_actions(
    "dispute",
    note=RowAction(
        "Note evidence",
        "Keeps what you found out; the case stays open. What the bank is told is"
        " handed in at Stripe.",
        "It is noted.",
        MAY_REFUND,
        _note,
        is_free_for,
        needs_evidence=True,
    ),
    **_closing(MAY_REFUND),
)
