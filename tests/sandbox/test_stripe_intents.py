"""Payment intents go only where Stripe lets them go, and say what happened."""

import typing
from typing import Any

import pytest
import stripe

from tests.sandbox.client import OwnSandbox
from tests.sandbox.stripe_client import (
    effects,
    event_types,
    new_intent,
    paid_intent,
    pay,
    stripe_of,
    tell,
)


def look(sandbox: OwnSandbox, intent: stripe.PaymentIntent) -> stripe.PaymentIntent:
    return stripe_of(sandbox).v1.payment_intents.retrieve(intent.id)


def test_a_new_intent_waits_for_the_customer(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox, description="Court 1")

    assert intent.id.startswith("pi_")
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert intent.status == "requires_payment_method"
    assert (intent.amount, intent.currency, intent.amount_received) == (5000, "eur", 0)
    assert intent.metadata.to_dict() == {"payment_id": "p1"}
    assert intent.payment_method_types == ["card"]
    assert (intent.latest_charge, intent.livemode) == (None, False)
    assert look(sandbox, intent) == intent
    assert effects(sandbox) == [
        {
            "kind": "payment_intent_created",
            "payment_intent": intent.id,
            "amount": 5000,
            "currency": "eur",
            "metadata": {"payment_id": "p1"},
        }
    ]


def test_the_customer_pays(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    assert (intent.status, intent.amount_received) == ("succeeded", 5000)
    charge = stripe_of(sandbox).v1.charges.retrieve(intent.latest_charge)
    assert (charge.status, charge.paid, charge.captured) == ("succeeded", True, True)
    assert (charge.amount, charge.amount_refunded) == (5000, 0)
    assert (charge.refunded, charge.disputed) == (False, False)
    assert charge.payment_intent == intent.id
    assert charge.metadata.to_dict() == {"payment_id": "p1"}
    assert [each["charge"] for each in effects(sandbox, "paid")] == [charge.id]
    assert event_types(sandbox) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


@pytest.mark.parametrize(
    ("outcome", "decline_code"),
    [("decline", "generic_decline"), ("insufficient_funds", "insufficient_funds")],
)
def test_a_declined_customer_may_try_again(
    sandbox: OwnSandbox, outcome: str, decline_code: str
) -> None:
    intent = new_intent(sandbox)

    pay(sandbox, intent, outcome)

    declined = look(sandbox, intent)
    error = declined.last_payment_error
    assert declined.status == "requires_payment_method"
    assert (error.code, error.decline_code) == ("card_declined", decline_code)
    assert (error.type, error.charge) == ("card_error", declined.latest_charge)
    assert declined.amount_received == 0
    pay(sandbox, intent, "succeed")
    paid = look(sandbox, intent)
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    assert paid.latest_charge != declined.latest_charge
    assert len(effects(sandbox, "paid")) == 1
    charges = stripe_of(sandbox).v1.charges.list({"payment_intent": intent.id})
    assert [each.status for each in charges.data] == ["succeeded", "failed"]
    assert "payment_intent.payment_failed" in event_types(sandbox)


def test_an_action_is_required_and_then_done(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)

    pay(sandbox, intent, "require_action")
    asked = look(sandbox, intent)
    pay(sandbox, intent, "complete_action")

    assert (asked.status, asked.next_action.type) == (
        "requires_action",
        "use_stripe_sdk",
    )
    paid = look(sandbox, intent)
    assert (paid.status, paid.next_action) == ("succeeded", None)
    assert event_types(sandbox)[1] == "payment_intent.requires_action"


@pytest.mark.parametrize("end", ["succeed", "decline"])
def test_what_is_processed_ends_with_the_same_charge(
    sandbox: OwnSandbox, end: str
) -> None:
    intent = new_intent(sandbox)

    pay(sandbox, intent, "processing")
    processing = look(sandbox, intent)
    pay(sandbox, intent, end)

    assert processing.status == "processing"
    ended = look(sandbox, intent)
    assert ended.latest_charge == processing.latest_charge is not None
    assert len(stripe_of(sandbox).v1.charges.list().data) == 1
    assert event_types(sandbox)[1:3] == ["charge.pending", "payment_intent.processing"]


def test_stripe_does_not_notice_who_leaves(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)

    pay(sandbox, intent, "abandon")

    assert look(sandbox, intent) == intent
    assert event_types(sandbox) == ["payment_intent.created"]


def test_another_sum_than_ours_can_be_paid(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)

    pay(sandbox, intent, "succeed", amount=4999, currency="usd")

    paid = look(sandbox, intent)
    assert (paid.amount, paid.amount_received, paid.currency) == (4999, 4999, "usd")
    assert effects(sandbox, "paid")[0]["amount"] == 4999


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        ("succeed", "succeed"),
        ("succeed", "decline"),
        ("processing", "processing"),
        ("decline", "complete_action"),
    ],
)
def test_the_customer_cannot_do_everything(
    sandbox: OwnSandbox, before: str, outcome: str
) -> None:
    intent = new_intent(sandbox)
    pay(sandbox, intent, before)
    wish = {"payment_intent": intent.id, "outcome": outcome}

    answer = sandbox.post("/_sandbox/stripe/pay", wish)

    assert answer.status_code == 400
    assert f"no {outcome}" in answer.json()["error"]


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ({"silent": "yes"}, "silent must be true or false"),
        ({"amount": -1}, "amount must be a whole number from 0"),
        ({"currency": "eurr"}, "currency must be one of: aed"),
    ],
)
def test_what_the_customer_does_is_checked(
    sandbox: OwnSandbox, told: dict[str, Any], hint: str
) -> None:
    intent = new_intent(sandbox)
    wish = {"payment_intent": intent.id, "outcome": "succeed", **told}

    answer = sandbox.post("/_sandbox/stripe/pay", wish)

    assert answer.status_code == 400
    assert hint in answer.json()["error"]
    assert look(sandbox, intent) == intent


def test_a_canceled_intent_cannot_be_paid(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)
    client = stripe_of(sandbox)

    canceled = client.v1.payment_intents.cancel(
        intent.id, {"cancellation_reason": "abandoned"}
    )

    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.canceled_at >= intent.created
    wish = {"payment_intent": intent.id, "outcome": "succeed"}
    assert sandbox.post("/_sandbox/stripe/pay", wish).status_code == 400
    assert len(effects(sandbox, "payment_intent_canceled")) == 1
    assert event_types(sandbox)[-1] == "payment_intent.canceled"


@pytest.mark.parametrize("outcome", ["succeed", "processing", None])
def test_some_intents_cannot_be_canceled(
    sandbox: OwnSandbox, outcome: str | None
) -> None:
    intent, client = new_intent(sandbox), stripe_of(sandbox)
    if outcome:
        pay(sandbox, intent, outcome)
    else:
        client.v1.payment_intents.cancel(intent.id)

    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.cancel(intent.id)

    assert caught.value.http_status == 400
    assert caught.value.code == "payment_intent_unexpected_state"
    assert caught.value.error.payment_intent.id == intent.id
    assert len(effects(sandbox, "payment_intent_canceled")) == (outcome is None)


@pytest.mark.parametrize("outcome", ["decline", "require_action"])
def test_what_waits_for_the_customer_can_be_canceled(
    sandbox: OwnSandbox, outcome: str
) -> None:
    intent = new_intent(sandbox)
    pay(sandbox, intent, outcome)

    assert stripe_of(sandbox).v1.payment_intents.cancel(intent.id).status == "canceled"


def test_metadata_are_merged_and_unset(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox, metadata={"a": "1", "b": "2"})

    updated = stripe_of(sandbox).v1.payment_intents.update(
        intent.id, {"metadata": {"b": "", "c": "3"}}
    )

    assert updated.metadata.to_dict() == {"a": "1", "c": "3"}
    assert updated.status == "requires_payment_method"


def test_reset_forgets_everything(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    sandbox.reset()

    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent"):
        look(sandbox, intent)
    assert event_types(sandbox) == []
    assert effects(sandbox) == []


def objects_of_every_kind(sandbox: OwnSandbox) -> list[Any]:
    intent, client = paid_intent(sandbox), stripe_of(sandbox)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    failed = tell(sandbox, "refunds", refund=refund.id, status="failed")
    tell(sandbox, "disputes", payment_intent=intent.id)
    declined = new_intent(sandbox)
    pay(sandbox, declined, "decline")
    v1 = client.v1
    lists = [v1.charges, v1.refunds, v1.disputes, v1.events, v1.payment_intents]
    assert failed["failure_reason"] == "unknown"
    return [each for service in lists for each in service.list({"limit": 100}).data]


def test_all_fields_are_fields_that_stripe_has(sandbox: OwnSandbox) -> None:
    for each in objects_of_every_kind(sandbox):
        known = set(type(each).__annotations__)
        assert set(each.to_dict()) - known == set(), type(each)


def test_all_fields_that_stripe_always_has_are_there(sandbox: OwnSandbox) -> None:
    for each in objects_of_every_kind(sandbox):
        fields = each.to_dict()
        for name, kind in type(each).__annotations__.items():
            is_optional = type(None) in typing.get_args(kind)
            is_class_variable = typing.get_origin(kind) is typing.ClassVar
            if not is_optional and not is_class_variable and not name.startswith("_"):
                assert fields.get(name) is not None, (type(each), name)
