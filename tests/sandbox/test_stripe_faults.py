"""Each fault at Stripe: what the client sees, and what really happened."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import OwnSandbox
from tests.sandbox.stripe_client import (
    effects,
    new_intent,
    paid_intent,
    stripe_of,
)

REFUND = "refunds.create"


def script(sandbox: OwnSandbox, fault: str, operation: str, **options: Any) -> None:
    told = {"provider": "stripe", "operation": operation, "fault": fault}
    answer = sandbox.post("/_sandbox/faults", {"count": 1, **told, **options})
    assert answer.status_code == 201, answer.text


def refund(
    sandbox: OwnSandbox, intent: stripe.PaymentIntent, key: str = "k"
) -> stripe.Refund:
    client = stripe_of(sandbox, timeout=0.5)
    return client.v1.refunds.create(
        {"payment_intent": intent.id}, {"idempotency_key": key}
    )


def count(sandbox: OwnSandbox) -> int:
    return len(effects(sandbox, "refund_created"))


@pytest.mark.parametrize(
    ("fault", "error", "has_happened"),
    [
        ("4xx", stripe.InvalidRequestError, False),
        ("5xx", stripe.APIError, False),
        ("hang", stripe.APIConnectionError, False),
        ("accept_then_hang", stripe.APIConnectionError, True),
        ("reset_after_effect", stripe.APIConnectionError, True),
        ("malformed", stripe.APIError, True),
    ],
)
def test_the_same_key_leads_to_one_refund_after_every_fault(
    sandbox: OwnSandbox, fault: str, error: type[Exception], has_happened: bool
) -> None:
    intent = paid_intent(sandbox)
    script(sandbox, fault, REFUND)

    with pytest.raises(error):
        refund(sandbox, intent)
    before = count(sandbox)
    made = refund(sandbox, intent)

    assert before == has_happened
    assert made.status == "succeeded"
    assert [each["refund"] for each in effects(sandbox, "refund_created")] == [made.id]


@pytest.mark.parametrize("fault", ["hang", "accept_then_hang", "reset_after_effect"])
def test_without_a_key_a_blind_repeat_tells_what_really_happened(
    sandbox: OwnSandbox, fault: str
) -> None:
    """The control of the test above: a new key shows whether the first one acted."""
    intent = paid_intent(sandbox)
    script(sandbox, fault, REFUND)
    with pytest.raises(stripe.APIConnectionError):
        refund(sandbox, intent)

    if fault == "hang":
        assert refund(sandbox, intent, key="other").status == "succeeded"
    else:
        with pytest.raises(stripe.InvalidRequestError, match="already been refunded"):
            refund(sandbox, intent, key="other")
    assert count(sandbox) == 1


def test_a_stored_500_is_repeated_for_its_key_only(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    script(sandbox, "stored_500", REFUND)

    errors = []
    for _ in range(3):
        with pytest.raises(stripe.APIError) as caught:
            refund(sandbox, intent)
        errors.append(caught.value)

    assert [error.http_status for error in errors] == [500, 500, 500]
    assert {error.headers["Stripe-Should-Retry"] for error in errors} == {"false"}
    replayed = [error.headers.get("Idempotent-Replayed") for error in errors]
    assert replayed == [None, "true", "true"]
    assert count(sandbox) == 0
    assert refund(sandbox, intent, key="k2").status == "succeeded"
    assert count(sandbox) == 1


def test_a_stored_500_does_not_unsay_what_was_answered(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    made = refund(sandbox, intent)
    script(sandbox, "stored_500", REFUND, count=2)

    assert refund(sandbox, intent).id == made.id
    with pytest.raises(stripe.IdempotencyError):
        stripe_of(sandbox).v1.refunds.create(
            {"payment_intent": intent.id, "amount": 1}, {"idempotency_key": "k"}
        )
    assert refund(sandbox, intent).id == made.id


def test_a_500_that_is_not_stored_heals_with_its_key(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    script(sandbox, "5xx", REFUND, count=2, status=503)

    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            refund(sandbox, intent)
        assert caught.value.http_status == 503

    assert refund(sandbox, intent).status == "succeeded"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, stripe.InvalidRequestError, None),
        (401, stripe.AuthenticationError, None),
        (402, stripe.CardError, "card_declined"),
        (403, stripe.PermissionError, None),
        (404, stripe.InvalidRequestError, "resource_missing"),
        (409, stripe.APIError, "idempotency_key_in_use"),
        (429, stripe.RateLimitError, "rate_limit"),
    ],
)
def test_refusals_become_the_errors_of_the_sdk(
    sandbox: OwnSandbox, status: int, error: type[Any], code: str | None
) -> None:
    intent = paid_intent(sandbox)
    script(sandbox, "4xx", REFUND, status=status)

    with pytest.raises(error) as caught:
        refund(sandbox, intent)

    assert caught.value.http_status == status
    assert caught.value.error.to_dict().get("code") == code
    assert caught.value.request_id.startswith("req_")
    assert count(sandbox) == 0


def test_the_sdk_itself_repeats_a_reset_call_with_one_effect(
    sandbox: OwnSandbox,
) -> None:
    script(sandbox, "reset_after_effect", "payment_intents.create")
    client = stripe_of(sandbox, max_network_retries=1)

    intent = client.v1.payment_intents.create({"amount": 5000, "currency": "eur"})

    assert intent.status == "requires_payment_method"
    assert len(effects(sandbox, "payment_intent_created")) == 1


def test_every_operation_can_be_made_to_fail(sandbox: OwnSandbox) -> None:
    intent, v1 = paid_intent(sandbox), stripe_of(sandbox).v1
    made = refund(sandbox, intent)
    charge, event = intent.latest_charge, v1.events.list().data[0].id
    calls: dict[str, Any] = {
        "payment_intents.create": lambda: new_intent(sandbox),
        "payment_intents.retrieve": lambda: v1.payment_intents.retrieve(intent.id),
        "payment_intents.list": v1.payment_intents.list,
        "payment_intents.update": lambda: v1.payment_intents.update(intent.id),
        "payment_intents.cancel": lambda: v1.payment_intents.cancel(intent.id),
        "charges.retrieve": lambda: v1.charges.retrieve(charge),
        "charges.list": v1.charges.list,
        "refunds.create": lambda: refund(sandbox, intent, key="new"),
        "refunds.retrieve": lambda: v1.refunds.retrieve(made.id),
        "refunds.list": v1.refunds.list,
        "refunds.cancel": lambda: v1.refunds.cancel(made.id),
        "disputes.retrieve": lambda: v1.disputes.retrieve("du_none"),
        "disputes.list": v1.disputes.list,
        "events.retrieve": lambda: v1.events.retrieve(event),
        "events.list": v1.events.list,
    }
    for operation, call in calls.items():
        script(sandbox, "5xx", operation)
        with pytest.raises(stripe.APIError) as caught:
            call()
        assert caught.value.http_status == 500, operation
    wish = {"provider": "stripe", "fault": "ok"}
    hint = sandbox.post("/_sandbox/faults", wish).json()["error"]
    assert set(hint.removesuffix(".").split(": ")[1].split(", ")) == {*calls, "*"}


def test_a_fault_can_wait_for_what_a_form_says(sandbox: OwnSandbox) -> None:
    script(sandbox, "5xx", "payment_intents.create", match="booking_7")

    new_intent(sandbox, metadata={"booking": "booking_6"})
    with pytest.raises(stripe.APIError):
        new_intent(sandbox, metadata={"booking": "booking_7"})
