"""Charges: one attempt of a customer to pay an intent."""

from collections.abc import Mapping
from typing import Any

from slotbase.sandbox.stripe import forms
from slotbase.sandbox.stripe.account import (
    CHARGES,
    INTENTS,
    Account,
    Object,
    new_id,
    now,
)
from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.forms import Reader
from slotbase.sandbox.stripe.operations import Match, listing, retrieval

_UNUSED: Object = {
    **dict.fromkeys(["application", "application_fee", "application_fee_amount"]),
    **dict.fromkeys(["balance_transaction", "customer", "receipt_number"]),
    **dict.fromkeys(["failure_balance_transaction", "on_behalf_of", "review"]),
    **dict.fromkeys(["shipping", "source", "source_transfer", "transfer_data"]),
    **dict.fromkeys(["statement_descriptor", "statement_descriptor_suffix"]),
    **dict.fromkeys(["receipt_url", "transfer_group"]),
}
_NOBODY = {
    "address": dict.fromkeys(["city", "country", "line1", "line2", "postal_code"]),
    **dict.fromkeys(["email", "name", "phone", "tax_id"]),
}
PARENTS: dict[str, Reader] = {"payment_intent": forms.text, "charge": forms.text}
CARD = {"brand": "visa", "country": "US", "funding": "credit", "last4": "4242"}


def new_charge(intent: Object) -> Object:
    """A charge of the intent's amount that is neither paid nor failed yet."""
    return {
        **_UNUSED,
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": _NOBODY,
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": now(),
        "currency": intent["currency"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": new_id("pm"),
        "payment_method_details": {"card": CARD, "type": "card"},
        "receipt_email": intent["receipt_email"],
        "refunded": False,
        "status": "pending",
    }


def unrefunded(charge: Object) -> int:
    """What can still be refunded, in minor units."""
    return int(charge["amount"] - charge["amount_refunded"])


def add_refunded(charge: Object, amount: int) -> None:
    """Count an amount as refunded, or as given back if it is negative."""
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]


def charge_of(account: Account, given: Mapping[str, Any]) -> Object:
    """The charge that succeeded, named by `charge` or by its `payment_intent`.

    Raises:
        Refused: there is none.
    """
    if "payment_intent" in given:
        intent = account.get(INTENTS, given["payment_intent"], "payment_intent")
        id_ = intent["latest_charge"]
    else:
        id_ = given["charge"]
        intent = {"id": account.get(CHARGES, id_, "charge")["payment_intent"]}
    charge = account.get(CHARGES, id_, "charge") if id_ else None
    if charge is None or charge["status"] != "succeeded":
        raise Refused(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to "
            "refund.",
            param=next(iter(given.keys() & {"payment_intent", "charge"})),
        )
    return charge


def of_its_parents(account: Account, params: Mapping[str, Any]) -> Match:
    """What belongs to the intent and the charge that were asked for.

    Raises:
        Refused: there is no such intent or charge.
    """
    tables = {"payment_intent": INTENTS, "charge": CHARGES}
    wanted = {name: params[name] for name in tables if name in params}
    for name, id_ in wanted.items():
        account.get(tables[name], id_, name)
    return lambda each: all(each[name] == id_ for name, id_ in wanted.items())


OPERATIONS = [
    listing(CHARGES, of_its_parents, known={"payment_intent": forms.text}),
    retrieval(CHARGES),
]
