"""Events say what happened, to what, and because of which request."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import OwnSandbox
from tests.sandbox.stripe_client import (
    SIGNING_SECRET,
    new_intent,
    paid_intent,
    pay,
    receiving,
    stripe_of,
    tell,
    wait_until,
)


def listed(sandbox: OwnSandbox, **params: Any) -> list[str]:
    events = stripe_of(sandbox).v1.events.list({"limit": 100, **params})
    return [event.type for event in events.data]


def test_an_event_has_the_object_as_it_was_then(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    events = stripe_of(sandbox).v1.events.list({"types": ["payment_intent.created"]})

    assert events.data[0].data.object["id"] == intent.id
    assert events.data[0].data.object["status"] == "requires_payment_method"
    assert stripe_of(sandbox).v1.events.retrieve(events.data[0].id) == events.data[0]


def test_an_event_names_the_request_that_caused_it(sandbox: OwnSandbox) -> None:
    intent = stripe_of(sandbox).v1.payment_intents.create(
        {"amount": 5000, "currency": "eur"}, {"idempotency_key": "k"}
    )
    pay(sandbox, intent, "succeed")

    paid, _, created = stripe_of(sandbox).v1.events.list().data

    assert created.request.id == intent.last_response.request_id
    assert created.request.idempotency_key == "k"
    assert (paid.request.id, paid.request.idempotency_key) == (None, None)


def test_events_are_chosen_by_type(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    stripe_of(sandbox).v1.refunds.create({"payment_intent": intent.id})

    assert listed(sandbox) == [
        "charge.refunded",
        "refund.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]
    assert listed(sandbox, type="charge.refunded") == ["charge.refunded"]
    assert len(listed(sandbox, type="charge.*")) == 2
    chosen = ["refund.created", "charge.succeeded"]
    assert listed(sandbox, types=chosen) == chosen
    with pytest.raises(stripe.InvalidRequestError, match="at most 20"):
        listed(sandbox, types=["x"] * 21)


def test_events_are_chosen_by_time_and_page(sandbox: OwnSandbox) -> None:
    made = [new_intent(sandbox) for _ in range(3)]
    newest = stripe_of(sandbox).v1.events.list({"limit": 1}).data[0]

    assert len(listed(sandbox, created={"gte": made[0].created})) == 3
    assert listed(sandbox, created={"gte": made[-1].created + 1}) == []
    assert len(listed(sandbox, starting_after=newest.id)) == 2


def test_a_charge_refunded_event_carries_a_charge(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    stripe_of(sandbox).v1.refunds.create({"payment_intent": intent.id, "amount": 100})

    data = stripe_of(sandbox).v1.events.list({"type": "charge.refunded"}).data[0].data

    assert data.object["object"] == "charge"
    assert (data.object["amount_refunded"], data.object["refunded"]) == (100, False)
    assert data.previous_attributes.to_dict() == {
        "amount_refunded": 0,
        "refunded": False,
    }


def test_an_updated_refund_tells_what_it_was(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    refund = stripe_of(sandbox).v1.refunds.create({"payment_intent": intent.id})

    tell(sandbox, "refunds", refund=refund.id, status="failed")

    events = stripe_of(sandbox).v1.events.list({"type": "refund.*"}).data
    assert [event.type for event in events] == [
        *("refund.failed", "refund.updated", "refund.created")
    ]
    assert events[1].data.previous_attributes["status"] == "succeeded"
    assert events[1].data.object["status"] == "failed"


def test_a_payment_can_be_silent(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)

    pay(sandbox, intent, "succeed", silent=True)

    assert listed(sandbox) == ["payment_intent.created"]
    found = stripe_of(sandbox).v1.payment_intents.retrieve(intent.id)
    assert found.status == "succeeded"
    pay(sandbox, new_intent(sandbox), "succeed")
    assert "payment_intent.succeeded" in listed(sandbox)


def test_without_an_endpoint_nothing_is_pending(sandbox: OwnSandbox) -> None:
    new_intent(sandbox)

    assert listed(sandbox, delivery_success=True) == ["payment_intent.created"]
    assert listed(sandbox, delivery_success=False) == []


def test_undelivered_events_can_be_asked_for(sandbox: OwnSandbox) -> None:
    with receiving() as receiver:
        endpoint = {"provider": "stripe", "secret": SIGNING_SECRET, "retry_ms": []}
        sandbox.post("/_sandbox/webhooks/endpoints", {**endpoint, "url": receiver.url})
        receiver.statuses = [500, 200]
        new_intent(sandbox)
        new_intent(sandbox)
        receiver.wait_for(2)
        wait_until(lambda: listed(sandbox, delivery_success=True))

        failed = stripe_of(sandbox).v1.events.list({"delivery_success": False}).data

        assert [event.pending_webhooks for event in failed] == [1]
        sandbox.post(
            "/_sandbox/webhooks",
            {"provider": "stripe", "action": "resend", "ids": [failed[0].id]},
        )
        receiver.wait_for(3)
        wait_until(lambda: not listed(sandbox, delivery_success=False))
    sandbox.delete("/_sandbox/webhooks/endpoints?provider=stripe")
