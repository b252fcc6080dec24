"""What the customer does with an intent: pays, fails, is asked for more, leaves."""

from collections.abc import Callable
from functools import partial

from slotbase.sandbox.stripe.account import CHARGES, Account, Object, new_id
from slotbase.sandbox.stripe.charges import CARD, new_charge
from slotbase.sandbox.stripe.intents import effect_on
from slotbase.sandbox.stripe.operations import Effect

PAYABLE = (
    *("requires_payment_method", "requires_confirmation", "requires_action"),
    "processing",
)
_DECLINES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
}


def _charge_in_hand(account: Account, intent: Object) -> Object:
    """The charge that is being processed, or a new one."""
    if intent["status"] == "processing":
        return account.get(CHARGES, intent["latest_charge"], "charge")
    charge = account.add(CHARGES, new_charge(intent))
    intent["latest_charge"] = charge["id"]
    return charge


def _succeed(account: Account, intent: Object) -> Effect:
    charge = _charge_in_hand(account, intent)
    # They differ from the first if a test changed the intent meanwhile.
    amount, currency = intent["amount"], intent["currency"]
    charge.update(
        status="succeeded",
        paid=True,
        captured=True,
        amount=amount,
        amount_captured=amount,
        currency=currency,
        outcome=_outcome("approved_by_network", "Payment complete.", "authorized"),
    )
    intent.update(
        status="succeeded",
        amount_received=amount,
        last_payment_error=None,
        next_action=None,
        payment_method=charge["payment_method"],
        processing=None,
    )
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.succeeded", intent)
    return effect_on(intent, "paid", charge=charge["id"])


def _decline(decline_code: str, account: Account, intent: Object) -> Effect:
    charge, message = _charge_in_hand(account, intent), _DECLINES[decline_code]
    charge.update(
        status="failed",
        failure_code="card_declined",
        failure_message=message,
        outcome=_outcome("declined_by_network", message, "issuer_declined"),
    )
    intent.update(
        status="requires_payment_method",
        last_payment_error={
            "type": "card_error",
            "code": "card_declined",
            "decline_code": decline_code,
            "doc_url": "https://stripe.com/docs/error-codes/card-declined",
            "message": message,
            "charge": charge["id"],
            "payment_method": _method(charge["payment_method"]),
        },
        next_action=None,
        payment_method=None,
        processing=None,
    )
    account.emit("charge.failed", charge)
    account.emit("payment_intent.payment_failed", intent)
    return effect_on(intent, "declined", charge=charge["id"])


def _outcome(network_status: str, message: str, kind: str) -> Object:
    return {
        "network_status": network_status,
        "reason": None,
        "risk_level": "normal",
        "seller_message": message,
        "type": kind,
    }


def _method(id_: str) -> Object:
    return {"id": id_, "object": "payment_method", "type": "card", "card": CARD}


def _require_action(account: Account, intent: Object) -> None:
    intent.update(
        status="requires_action",
        payment_method=new_id("pm"),
        next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}},
    )
    account.emit("payment_intent.requires_action", intent)


def _process(account: Account, intent: Object) -> None:
    charge = _charge_in_hand(account, intent)
    intent.update(
        status="processing", payment_method=charge["payment_method"], next_action=None
    )
    account.emit("charge.pending", charge)
    account.emit("payment_intent.processing", intent)


def _leave(_account: Account, _intent: Object) -> None:
    """The customer closes the window: Stripe does not notice."""


OUTCOMES: dict[str, Callable[[Account, Object], Effect | None]] = {
    "succeed": _succeed,
    "decline": partial(_decline, "generic_decline"),
    "insufficient_funds": partial(_decline, "insufficient_funds"),
    "require_action": _require_action,
    "complete_action": _succeed,
    "processing": _process,
    "abandon": _leave,
}


def is_possible(intent: Object, outcome: str) -> bool:
    """Whether the customer can do that with an intent in this state."""
    if outcome == "complete_action":
        return bool(intent["status"] == "requires_action")
    if outcome in {"processing", "require_action"}:
        return intent["status"] in PAYABLE and intent["status"] != "processing"
    return intent["status"] in PAYABLE
