"""Payment intents: made and canceled by us, paid by the customer (paying.py)."""

from collections.abc import Mapping
from typing import Any

from slotbase.sandbox.stripe import forms, money
from slotbase.sandbox.stripe.account import INTENTS, Account, Object, new_id, now
from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.operations import (
    Call,
    Done,
    Effect,
    Operation,
    listing,
    retrieval,
)

# Stripe names processing as well, and mostly refuses it.
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)
_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
# Fields of things that are not simulated, as an account without them shows them.
_UNUSED: Object = {
    **dict.fromkeys(["application", "application_fee_amount", "customer"]),
    **dict.fromkeys(["on_behalf_of", "payment_method_configuration_details"]),
    **dict.fromkeys(["review", "setup_future_usage", "shipping", "source"]),
    **dict.fromkeys(["statement_descriptor", "statement_descriptor_suffix"]),
    **dict.fromkeys(["transfer_data", "transfer_group"]),
}


def effect_on(intent: Object, kind: str, **more: Any) -> Effect:
    """What happened to an intent, for the ledger."""
    return {
        "kind": kind,
        "payment_intent": intent["id"],
        "amount": intent["amount"],
        "currency": intent["currency"],
        "metadata": dict(intent["metadata"]),
        **more,
    }


def _create(account: Account, call: Call) -> Done:
    intent = account.add(INTENTS, _new_intent(call.params))
    account.emit("payment_intent.created", intent)
    return Done(intent, effect_on(intent, "payment_intent_created"))


def _new_intent(params: Mapping[str, Any]) -> Object:
    id_ = new_id("pi")
    chosen = params.get("payment_method_types")
    return {
        **_UNUSED,
        "id": id_,
        "object": "payment_intent",
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": None
        if chosen
        else {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{id_}_{new_id('secret')}",
        "confirmation_method": "automatic",
        "created": now(),
        "currency": params["currency"],
        "description": params.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": forms.set_metadata(params.get("metadata", {})),
        "next_action": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": chosen or ["card"],
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "status": "requires_payment_method",
    }


def _read_types(name: str, raw: Any) -> list[str]:
    types = forms.texts(name, raw)
    for each in types:
        if each != "card":
            raise Refused(
                f'The payment method type "{each}" is invalid. Please ensure the '
                "provided type is activated in your dashboard.",
                code="payment_intent_invalid_parameter",
                param=name,
            )
    return types


def _check_new(params: Mapping[str, Any]) -> None:
    money.check_chargeable(params["amount"], params["currency"])
    if params.get("confirm"):
        raise Refused(
            "The sandbox does not confirm: POST /_sandbox/stripe/pay does.",
            param="confirm",
        )


def _update(account: Account, call: Call) -> Done:
    intent = account.get(INTENTS, call.id, "intent")
    changes = call.params.get("metadata", {})
    intent["metadata"] = forms.set_metadata({**intent["metadata"], **changes})
    intent["description"] = call.params.get("description", intent["description"])
    return Done(intent)


def _cancel(account: Account, call: Call) -> Done:
    intent = account.get(INTENTS, call.id, "intent")
    if intent["status"] not in CANCELABLE:
        raise Refused(
            "You cannot cancel this PaymentIntent because it has a status of "
            f"{intent['status']}. Only a PaymentIntent with one of the following "
            f"statuses may be canceled: {', '.join(CANCELABLE)}.",
            code="payment_intent_unexpected_state",
            payment_intent=intent,
        )
    intent.update(
        status="canceled",
        canceled_at=now(),
        cancellation_reason=call.params.get("cancellation_reason"),
        next_action=None,
    )
    account.emit("payment_intent.canceled", intent)
    return Done(intent, effect_on(intent, "payment_intent_canceled"))


_PATH = f"/v1/{INTENTS}"
OPERATIONS = [
    Operation(
        "POST",
        _PATH,
        f"{INTENTS}.create",
        _create,
        {
            "amount": forms.integer(1),
            "currency": money.currency,
            "capture_method": forms.choice("automatic", "automatic_async"),
            "confirm": forms.boolean,
            "description": forms.text,
            "metadata": forms.metadata,
            "payment_method_types": _read_types,
            "receipt_email": forms.text,
        },
        required=("amount", "currency"),
        check=_check_new,
    ),
    listing(INTENTS, lambda _account, _params: lambda _: True),
    retrieval(INTENTS, "intent", known={"client_secret": forms.text}),
    Operation(
        "POST",
        f"{_PATH}/{{id}}",
        f"{INTENTS}.update",
        _update,
        {"metadata": forms.metadata, "description": forms.text},
    ),
    Operation(
        "POST",
        f"{_PATH}/{{id}}/cancel",
        f"{INTENTS}.cancel",
        _cancel,
        {"cancellation_reason": forms.choice(*_REASONS)},
    ),
]
