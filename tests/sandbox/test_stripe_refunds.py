"""Refunds never exceed what was paid; banks and disputes have the last word."""

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


def refund(sandbox: OwnSandbox, **params: Any) -> stripe.Refund:
    return stripe_of(sandbox).v1.refunds.create(params)


def charge_of(sandbox: OwnSandbox, intent: stripe.PaymentIntent) -> stripe.Charge:
    return stripe_of(sandbox).v1.charges.retrieve(intent.latest_charge)


def refusal(sandbox: OwnSandbox, **params: Any) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refund(sandbox, **params)
    return caught.value


def test_a_refund_by_intent_is_of_all_that_was_paid(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    made = refund(
        sandbox,
        payment_intent=intent.id,
        reason="requested_by_customer",
        metadata={"refund_id": "r1"},
    )

    assert made.id.startswith("re_")
    assert (made.amount, made.currency, made.status) == (5000, "eur", "succeeded")
    assert (made.payment_intent, made.charge) == (intent.id, intent.latest_charge)
    assert made.reason == "requested_by_customer"
    charge = charge_of(sandbox, intent)
    assert (charge.amount_refunded, charge.refunded) == (5000, True)
    assert effects(sandbox, "refund_created") == [
        {
            "kind": "refund_created",
            "refund": made.id,
            "charge": intent.latest_charge,
            "payment_intent": intent.id,
            "amount": 5000,
            "currency": "eur",
            "status": "succeeded",
            "metadata": {"refund_id": "r1"},
        }
    ]
    assert event_types(sandbox)[-2:] == ["refund.created", "charge.refunded"]


def test_parts_add_up_and_no_more(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    refund(sandbox, payment_intent=intent.id, amount=3000)
    assert not charge_of(sandbox, intent).refunded
    too_much = refusal(sandbox, payment_intent=intent.id, amount=2001)
    refund(sandbox, charge=intent.latest_charge)
    nothing_left = refusal(sandbox, payment_intent=intent.id)

    assert (too_much.http_status, too_much.param) == (400, "amount")
    assert too_much.user_message == (
        "Refund amount (€20.01) is greater than unrefunded amount on charge (€20.00)"
    )
    assert nothing_left.code == "charge_already_refunded"
    amounts = [each["amount"] for each in effects(sandbox, "refund_created")]
    assert amounts == [3000, 2000]
    assert charge_of(sandbox, intent).amount_refunded == 5000


def test_more_than_was_paid_is_refused(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    error = refusal(sandbox, payment_intent=intent.id, amount=5001)

    assert error.param == "amount"
    assert "greater than charge amount (€50.00)" in error.user_message


@pytest.mark.parametrize("outcome", ["abandon", "decline", "processing"])
def test_what_was_not_paid_cannot_be_refunded(
    sandbox: OwnSandbox, outcome: str
) -> None:
    intent = new_intent(sandbox)
    pay(sandbox, intent, outcome)

    error = refusal(sandbox, payment_intent=intent.id)

    assert "does not have a successful charge to refund" in error.user_message
    assert effects(sandbox, "refund_created") == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "payment_intent or charge"),
        ({"payment_intent": "pi_x", "charge": "ch_x"}, "only specify one"),
        ({"payment_intent": "pi_none"}, "No such payment_intent: 'pi_none'"),
        ({"charge": "ch_none"}, "No such charge: 'ch_none'"),
        ({"payment_intent": "pi_x", "amount": 0}, "greater than or equal to 1"),
        ({"payment_intent": "pi_x", "reason": "rain"}, "Invalid reason"),
        ({"payment_intent": "pi_x", "note": "x"}, "unknown parameter: note"),
    ],
)
def test_bad_refunds_are_refused(
    sandbox: OwnSandbox, params: dict[str, Any], words: str
) -> None:
    assert words in refusal(sandbox, **params).user_message


def test_refunds_are_listed_by_what_they_refund(sandbox: OwnSandbox) -> None:
    first, second = paid_intent(sandbox), paid_intent(sandbox)
    mine = [
        refund(sandbox, payment_intent=first.id, amount=n).id for n in (100, 200, 300)
    ][::-1]
    other = refund(sandbox, payment_intent=second.id)
    refunds = stripe_of(sandbox).v1.refunds

    by_intent = refunds.list({"payment_intent": first.id, "limit": 2})
    by_charge = refunds.list({"charge": second.latest_charge})

    assert [each.id for each in by_intent.auto_paging_iter()] == mine
    assert (len(by_intent.data), by_intent.has_more) == (2, True)
    assert [each.id for each in by_charge.data] == [other.id]
    assert refunds.retrieve(other.id) == other


def test_a_bank_may_return_a_refund_days_later(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    made = refund(sandbox, payment_intent=intent.id)

    tell(
        sandbox,
        "refunds",
        refund=made.id,
        status="failed",
        failure_reason="expired_or_canceled_card",
    )

    failed = stripe_of(sandbox).v1.refunds.retrieve(made.id)
    assert failed.status == "failed"
    assert failed.failure_reason == "expired_or_canceled_card"
    charge = charge_of(sandbox, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert event_types(sandbox)[-3:] == [
        "refund.updated",
        "charge.refund.updated",
        "refund.failed",
    ]
    changed = effects(sandbox, "refund_status_changed")
    assert [(each["refund"], each["status"]) for each in changed] == [
        (made.id, "failed")
    ]
    assert refund(sandbox, payment_intent=intent.id).status == "succeeded"


def test_the_next_refund_can_be_told_its_fate(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)
    reason = "insufficient_funds"
    tell(sandbox, "refunds/next", status="pending", pending_reason=reason)

    pending = refund(sandbox, payment_intent=intent.id, amount=100)
    usual = refund(sandbox, payment_intent=intent.id, amount=100)
    tell(sandbox, "refunds", refund=pending.id, status="succeeded")

    assert (pending.status, pending.pending_reason) == ("pending", reason)
    assert usual.status == "succeeded"
    settled = stripe_of(sandbox).v1.refunds.retrieve(pending.id)
    assert settled.status == "succeeded"
    assert "pending_reason" not in settled.to_dict()
    assert charge_of(sandbox, intent).amount_refunded == 200


def test_reset_forgets_the_fate_of_the_next_refund(sandbox: OwnSandbox) -> None:
    tell(sandbox, "refunds/next", status="failed")
    sandbox.reset()

    made = refund(sandbox, payment_intent=paid_intent(sandbox).id)

    assert made.status == "succeeded"


def test_only_what_waits_for_the_customer_can_be_canceled(
    sandbox: OwnSandbox,
) -> None:
    intent, client = paid_intent(sandbox), stripe_of(sandbox)
    tell(sandbox, "refunds/next", status="requires_action")
    waiting = refund(sandbox, payment_intent=intent.id, amount=100)
    done = refund(sandbox, payment_intent=intent.id, amount=200)

    assert client.v1.refunds.cancel(waiting.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="is succeeded"):
        client.v1.refunds.cancel(done.id)

    assert charge_of(sandbox, intent).amount_refunded == 200


@pytest.mark.parametrize("status", ["pending", "requires_action", "canceled"])
def test_success_ends_in_failure_or_not_at_all(
    sandbox: OwnSandbox, status: str
) -> None:
    made = refund(sandbox, payment_intent=paid_intent(sandbox).id)
    wish = {"refund": made.id, "status": status}

    assert sandbox.post("/_sandbox/stripe/refunds", wish).status_code == 400


def test_failure_is_for_good(sandbox: OwnSandbox) -> None:
    made = refund(sandbox, payment_intent=paid_intent(sandbox).id)
    tell(sandbox, "refunds", refund=made.id, status="failed")
    wish = {"refund": made.id, "status": "succeeded"}

    answer = sandbox.post("/_sandbox/stripe/refunds", wish)

    assert "failed for good" in answer.json()["error"]


def test_somebody_refunds_in_the_dashboard(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    made = tell(sandbox, "dashboard/refunds", payment_intent=intent.id, amount=4000)

    listed = stripe_of(sandbox).v1.refunds.list({"payment_intent": intent.id}).data
    assert [(each.id, each.amount) for each in listed] == [(made["id"], 4000)]
    assert listed[0].metadata.to_dict() == {}
    assert len(effects(sandbox, "refund_created")) == 1
    event = stripe_of(sandbox).v1.events.list({"type": "refund.created"}).data[0]
    assert event.request.id is None
    assert "€10.00" in refusal(sandbox, payment_intent=intent.id, amount=1001)._message


def test_what_is_disputed_cannot_be_refunded_until_it_is_won(
    sandbox: OwnSandbox,
) -> None:
    intent = paid_intent(sandbox)

    dispute = tell(sandbox, "disputes", payment_intent=intent.id)
    refused = refusal(sandbox, payment_intent=intent.id)
    assert charge_of(sandbox, intent).disputed
    tell(sandbox, "disputes", dispute=dispute["id"], status="under_review")
    tell(sandbox, "disputes", dispute=dispute["id"], status="won")

    assert refused.code == "charge_disputed"
    assert refund(sandbox, payment_intent=intent.id).status == "succeeded"
    assert [each for each in event_types(sandbox) if "dispute" in each] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
    kinds = [each["kind"] for each in effects(sandbox)]
    assert [kind for kind in kinds if "dispute" in kind] == [
        "dispute_opened",
        "dispute_updated",
        "dispute_closed",
    ]


def test_a_lost_dispute_keeps_the_money_unless_it_is_won_after_all(
    sandbox: OwnSandbox,
) -> None:
    intent = paid_intent(sandbox)
    dispute = tell(sandbox, "disputes", charge=intent.latest_charge, amount=1000)

    tell(sandbox, "disputes", dispute=dispute["id"], status="lost")

    assert refusal(sandbox, payment_intent=intent.id).code == "charge_disputed"
    found = stripe_of(sandbox).v1.disputes.list({"payment_intent": intent.id}).data
    assert [(each.status, each.amount) for each in found] == [("lost", 1000)]
    assert "charge.dispute.funds_reinstated" not in event_types(sandbox)
    wish = {"dispute": dispute["id"], "status": "needs_response"}
    assert sandbox.post("/_sandbox/stripe/disputes", wish).status_code == 400

    tell(sandbox, "disputes", dispute=dispute["id"], status="won")
    assert "charge.dispute.funds_reinstated" in event_types(sandbox)


def test_an_inquiry_takes_no_money(sandbox: OwnSandbox) -> None:
    intent = paid_intent(sandbox)

    status = "warning_needs_response"
    tell(sandbox, "disputes", payment_intent=intent.id, status=status)

    assert "charge.dispute.funds_withdrawn" not in event_types(sandbox)
    assert refund(sandbox, payment_intent=intent.id).status == "succeeded"
