"""Webhooks of Stripe: a hint to look, in any order, as often as they come."""

from itertools import permutations
from typing import Any

import pytest
from django.db import transaction

from payments.handlers import HANDLERS
from payments.models import CardPayment, Dispute, Payable, Refund
from recovery import inbox
from recovery.models import AuditEntry, Case, InboxEvent, OutboxEvent
from slotbase.lib.clock import Now
from slotbase.providers.stripe import client
from tests.adversity import Stripe
from tests.conftest import Sandbox
from tests.payments.money import (
    ask_refund,
    begin,
    counters,
    look_now,
    make_paid,
    make_payable,
    open_kinds,
    process_all,
    send,
    store_event,
)

pytestmark = pytest.mark.django_db

ALL_TYPES = sorted(type_ for handler in HANDLERS for type_ in handler.types)


def pay(stripe: Stripe, payment: CardPayment, outcome: str = "succeed") -> str:
    stripe.tell("pay", payment_intent=payment.provider_id, outcome=outcome)
    assert payment.provider_id is not None
    return payment.provider_id


def status_of(event: InboxEvent) -> str:
    event.refresh_from_db()
    return event.status


# --- Each type -----------------------------------------------------------------


def test_the_types_that_are_promised_are_handled() -> None:
    assert len(ALL_TYPES) == 16
    assert all(handler.is_critical for handler in HANDLERS)


@pytest.mark.parametrize(
    ("outcome", "type_", "status"),
    [
        ("succeed", "succeeded", "SUCCEEDED"),
        ("decline", "payment_failed", "OPEN"),
        ("processing", "processing", "PROCESSING"),
        ("require_action", "requires_action", "OPEN"),
    ],
)
def test_what_becomes_of_an_intent_is_recorded(
    stripe: Stripe, outcome: str, type_: str, status: str
) -> None:
    payment = begin(make_payable())
    event = store_event(f"payment_intent.{type_}", pay(stripe, payment, outcome))

    process_all()

    payment.refresh_from_db()
    assert (status_of(event), payment.status) == ("PROCESSED", status)


def test_an_intent_that_somebody_canceled_at_stripe_is_over(stripe: Stripe) -> None:
    payment = begin(make_payable())
    assert payment.provider_id is not None
    client.cancel_intent(payment.provider_id, idempotency_key="by hand")
    store_event("payment_intent.canceled", payment.provider_id)

    process_all()

    payment.refresh_from_db()
    assert (payment.status, payment.next_run_at) == ("CANCELED", None)


def test_an_intent_of_which_we_never_heard_the_id_is_ours_by_what_it_says(
    stripe: Stripe,
) -> None:
    stripe.fails("accept_then_hang", "payment_intents.create")
    payment = begin(make_payable())
    (made,) = stripe.effects("payment_intent_created")
    store_event("payment_intent.requires_action", made["payment_intent"])

    process_all()

    payment.refresh_from_db()
    assert (payment.status, payment.provider_id) == ("OPEN", made["payment_intent"])
    assert payment.client_secret


@pytest.mark.parametrize(
    "type_", ["refund.created", "refund.updated", "charge.refund.updated"]
)
def test_what_becomes_of_a_refund_is_recorded(
    stripe: Stripe, sandbox: Sandbox, type_: str
) -> None:
    stripe.fails("accept_then_hang", "refunds.create")
    refund = send(ask_refund(make_paid(sandbox), 1000))
    (made,) = stripe.effects("refund_created")
    event = store_event(type_, made["refund"])

    process_all()

    refund.refresh_from_db()
    assert (status_of(event), refund.status) == ("PROCESSED", "SUCCEEDED")
    assert refund.lease_token is None


def test_a_charge_that_was_refunded_in_parts_tells_of_each_part(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_paid(sandbox)
    stripe.fails("accept_then_hang", "refunds.create")
    ours = send(ask_refund(payment, 1000))
    made = stripe.tell(
        "dashboard/refunds", payment_intent=payment.provider_id, amount=300
    )
    event = store_event("charge.refunded", made["charge"])

    process_all()

    ours.refresh_from_db()
    assert (status_of(event), ours.status) == ("PROCESSED", "SUCCEEDED")
    assert Refund.objects.get(reason="OUTSIDE").amount_minor == 300
    assert counters(payment.payable_id) == (2400, 2400, 1300, 0, 0)


# --- Whatever comes ------------------------------------------------------------


def test_the_same_news_fifty_times_has_one_effect(stripe: Stripe) -> None:
    payment = begin(make_payable())
    intent_id = pay(stripe, payment)
    for _ in range(50):
        store_event("payment_intent.succeeded", intent_id)

    inbox.process_inbox()

    assert set(InboxEvent.objects.values_list("status", flat=True)) == {"PROCESSED"}
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)
    assert OutboxEvent.objects.filter(type="payments.payable_settled").count() == 1


@pytest.mark.parametrize("type_", ALL_TYPES)
def test_live_data_is_not_taken_for_test_data(stripe: Stripe, type_: str) -> None:
    event = store_event(type_, "pi_live", livemode=True)

    inbox.process_inbox()

    assert status_of(event) == "IGNORED"
    assert event.ignored_because.startswith("livemode")
    assert stripe.calls("payment_intents.retrieve") == 0


def test_what_nobody_handles_is_ignored(stripe: Stripe) -> None:
    event = store_event("customer.created", "cus_1")

    inbox.process_inbox()

    assert status_of(event) == "IGNORED"


@pytest.mark.parametrize("type_", ["refund.created", "charge.refunded"])
def test_refunds_of_somebody_elses_payment_are_ignored_in_the_end(
    stripe: Stripe, sandbox: Sandbox, type_: str
) -> None:
    payment = make_paid(sandbox)
    made = stripe.tell("dashboard/refunds", payment_intent=payment.provider_id)
    CardPayment.objects.update(provider_id="pi_another")
    subject = made["charge"] if type_ == "charge.refunded" else made["id"]
    event = store_event(type_, subject)

    inbox.process_inbox()
    assert status_of(event) == "RETRY"
    process_all()

    assert status_of(event) == "IGNORED"
    assert not Refund.objects.exists()


def test_while_stripe_cannot_be_asked_a_case_stands_and_then_closes_itself(
    stripe: Stripe,
) -> None:
    payment = begin(make_payable())
    event = store_event("payment_intent.succeeded", pay(stripe, payment))
    stripe.fails("5xx", "payment_intents.retrieve")

    inbox.process_inbox()
    assert (status_of(event), open_kinds()) == ("RETRY", ["webhook_failure"])
    assert Case.objects.get().severity == "critical"
    process_all()

    assert (status_of(event), open_kinds()) == ("PROCESSED", [])


def test_a_webhook_without_an_object_needs_a_person_and_stops_nobody(
    stripe: Stripe,
) -> None:
    payment = begin(make_payable())
    broken = store_event("payment_intent.succeeded", "pi_1")
    InboxEvent.objects.update(payload={"id": "evt_1"})
    good = store_event("payment_intent.succeeded", pay(stripe, payment))

    inbox.process_inbox()

    assert [status_of(event) for event in (broken, good)] == ["RETRY", "PROCESSED"]
    process_all()
    assert status_of(broken) == "DEAD"


# --- In any order --------------------------------------------------------------


def process_one_by_one(events: Any) -> None:
    for type_, id_ in events:
        store_event(type_, id_)
        InboxEvent.objects.filter(next_run_at__isnull=False).update(next_run_at=Now())
        inbox.process_inbox()
    process_all()


def money() -> dict[str, Any]:
    """All that is known of it now."""
    payable = Payable.objects.get()
    return {
        "counters": counters(payable.pk),
        "word": payable.status,
        "payments": list(
            CardPayment.objects.values_list("status", "received_minor", "next_run_at")
        ),
        "refunds": sorted(
            Refund.objects.values_list("reason", "status", "amount_minor")
        ),
        "disputes": list(Dispute.objects.values_list("status", "amount_minor")),
        "cases": open_kinds(),
        "unprocessed": InboxEvent.objects.exclude(status="PROCESSED").count(),
        "settled": OutboxEvent.objects.filter(type="payments.payable_settled").count(),
    }


def ends_of(orders: Any) -> list[dict[str, Any]]:
    """How it ends for each order, from the same beginning."""
    ends = []
    for order in orders:
        beginning = transaction.savepoint()
        process_one_by_one(order)
        ends.append(money())
        transaction.savepoint_rollback(beginning)
    return ends


def orders_that_begin_with(
    events: list[tuple[str, str]], first: int
) -> list[list[tuple[str, str]]]:
    rest = events[:first] + events[first + 1 :]
    return [[events[first], *order] for order in permutations(rest)]


@pytest.mark.parametrize("first", range(5))
def test_a_payment_with_a_refund_and_a_dispute_ends_the_same_in_every_order(
    stripe: Stripe, first: int
) -> None:
    payment = begin(make_payable())
    intent_id = pay(stripe, payment, "processing")
    pay(stripe, payment)
    made = stripe.tell("dashboard/refunds", payment_intent=intent_id, amount=500)
    dispute = stripe.tell("disputes", payment_intent=intent_id, amount=1900)
    stripe.tell("disputes", dispute=dispute["id"], status="won")
    events = [
        ("payment_intent.processing", intent_id),
        ("payment_intent.succeeded", intent_id),
        ("refund.created", made["id"]),
        ("charge.refunded", made["charge"]),
        ("charge.dispute.closed", dispute["id"]),
    ]

    ends = ends_of(orders_that_begin_with(events, first))

    assert len(ends) == 24
    assert (
        ends
        == [
            {
                "counters": (2400, 2400, 500, 0, 0),
                "word": "PARTIALLY_REFUNDED",
                "payments": [("SUCCEEDED", 2400, None)],
                "refunds": [("OUTSIDE", "SUCCEEDED", 500)],
                "disputes": [("WON", 1900)],
                "cases": ["payment_mismatch"],
                "unprocessed": 0,
                "settled": 1,
            }
        ]
        * 24
    )


@pytest.mark.parametrize("first", range(5))
def test_a_refund_that_a_bank_sent_back_ends_the_same_in_every_order(
    stripe: Stripe, sandbox: Sandbox, first: int
) -> None:
    payment = make_paid(sandbox)
    stripe.fails("accept_then_hang", "refunds.create")
    send(ask_refund(payment, 1000))
    (made,) = stripe.effects("refund_created")
    stripe.tell("refunds", refund=made["refund"], status="failed")
    events = [
        ("refund.created", made["refund"]),
        ("charge.refunded", made["charge"]),
        ("refund.updated", made["refund"]),
        ("charge.refund.updated", made["refund"]),
        ("refund.failed", made["refund"]),
    ]

    ends = ends_of(orders_that_begin_with(events, first))

    assert len(ends) == 24
    assert (
        ends
        == [
            {
                "counters": (2400, 2400, 0, 0, 0),
                "word": "PAID",
                "payments": [("SUCCEEDED", 2400, None)],
                "refunds": [("STAFF", "FAILED", 1000)],
                "disputes": [],
                "cases": ["refund_failure"],
                "unprocessed": 0,
                "settled": 1,
            }
        ]
        * 24
    )


def test_a_late_processing_moves_nothing_back(stripe: Stripe) -> None:
    payment = begin(make_payable())
    intent_id = pay(stripe, payment)
    look_now(payment)
    before = AuditEntry.objects.filter(subject_type="cardpayment").count()

    store_event("payment_intent.processing", intent_id)
    process_all()

    payment.refresh_from_db()
    assert payment.status == "SUCCEEDED"
    assert AuditEntry.objects.filter(subject_type="cardpayment").count() == before
