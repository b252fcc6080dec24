"""Disputes: a bank decides, nothing goes back meanwhile, and what follows from it."""

from typing import Any

import pytest

from bookings.models import Booking
from bookings.services.cancelling import cancel_booking
from payments.errors import PaymentDisputed
from payments.models import CardPayment, Dispute, Payable, Refund
from recovery.models import AuditEntry, Case
from tests.adversity import Stripe
from tests.conftest import Sandbox
from tests.payments.money import (
    ask_refund,
    counters,
    make_paid,
    make_paid_booking,
    make_sold,
    open_kinds,
    process_all,
    run_due_work,
    send,
    store_event,
)

pytestmark = pytest.mark.django_db


def dispute(stripe: Stripe, payment: CardPayment, **more: Any) -> str:
    """A customer asks their bank; Stripe tells us."""
    opened = stripe.tell("disputes", payment_intent=payment.provider_id, **more)
    store_event("charge.dispute.created", opened["id"])
    process_all()
    id_: str = opened["id"]
    return id_


def decide(stripe: Stripe, dispute_id: str, status: str) -> None:
    stripe.tell("disputes", dispute=dispute_id, status=status)
    store_event("charge.dispute.closed", dispute_id)
    process_all()


def payment_of(booking: Booking) -> CardPayment:
    return CardPayment.objects.get(payable=booking.payable_id)


@pytest.mark.case("dispute", "opens")
def test_a_dispute_takes_the_money_away_and_stands_in_a_case(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_sold(sandbox)

    dispute(stripe, payment, reason="fraudulent")

    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 2400)
    assert Payable.objects.get().kept_minor == 0
    case = Case.objects.get(kind="dispute")
    assert (case.audience, case.severity, case.amount_minor) == (
        *("support_lead", "critical"),
        2400,
    )


@pytest.mark.case("dispute", "closes")
def test_one_that_is_won_gives_it_back(stripe: Stripe, sandbox: Sandbox) -> None:
    payment = make_sold(sandbox)
    id_ = dispute(stripe, payment)

    decide(stripe, id_, "won")

    found = Dispute.objects.get()
    assert found.status == "WON"
    assert found.closed_at is not None
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)
    assert open_kinds() == []


def test_one_that_is_lost_keeps_it_away(stripe: Stripe, sandbox: Sandbox) -> None:
    payment = make_sold(sandbox)
    id_ = dispute(stripe, payment)

    decide(stripe, id_, "lost")

    assert Dispute.objects.get().status == "LOST"
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 2400)
    assert open_kinds() == []


def test_one_that_was_lost_may_be_won_later(stripe: Stripe, sandbox: Sandbox) -> None:
    payment = make_sold(sandbox)
    id_ = dispute(stripe, payment)
    decide(stripe, id_, "lost")

    decide(stripe, id_, "won")
    store_event("charge.dispute.funds_reinstated", id_)
    process_all()

    assert Dispute.objects.get().status == "WON"
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)
    moves = AuditEntry.objects.filter(subject_type="dispute").order_by("id")
    assert list(moves.values_list("to_state", flat=True)) == ["OPEN", "LOST", "WON"]


def test_who_cancelled_gets_it_back_when_what_was_lost_is_won(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    id_ = dispute(stripe, payment_of(booking))
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    decide(stripe, id_, "lost")
    run_due_work()
    assert not Refund.objects.exists()

    decide(stripe, id_, "won")
    run_due_work()

    assert Refund.objects.get().status == "SUCCEEDED"


def test_an_inquiry_that_ends_took_no_money(stripe: Stripe, sandbox: Sandbox) -> None:
    payment = make_sold(sandbox)
    id_ = dispute(stripe, payment, status="warning_needs_response")

    decide(stripe, id_, "warning_closed")

    assert Dispute.objects.get().status == "WON"
    assert counters(payment.payable_id)[4] == 0


def test_an_inquiry_makes_nothing_due_and_keeps_no_refund_back(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_sold(sandbox)

    dispute(stripe, payment, status="warning_needs_response")

    assert open_kinds() == ["dispute"]
    assert Payable.objects.get().due_minor == 0
    assert send(ask_refund(payment, 1000)).status == "SUCCEEDED"


def test_an_inquiry_that_becomes_a_dispute_takes_the_money(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_sold(sandbox)
    id_ = dispute(stripe, payment, status="warning_needs_response")

    stripe.tell("disputes", dispute=id_, status="needs_response")
    store_event("charge.dispute.updated", id_)
    process_all()

    assert counters(payment.payable_id)[4] == 2400
    with pytest.raises(PaymentDisputed):
        ask_refund(payment, 1000)


def test_the_same_news_again_changes_nothing(stripe: Stripe, sandbox: Sandbox) -> None:
    payment = make_sold(sandbox)
    id_ = dispute(stripe, payment)
    for type_ in ("created", "updated", "funds_withdrawn"):
        store_event(f"charge.dispute.{type_}", id_)

    process_all()

    assert AuditEntry.objects.filter(subject_type="dispute").count() == 1
    assert Case.objects.get(kind="dispute").occurrences == 1


def test_a_refund_that_was_not_sent_yet_is_withdrawn(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_sold(sandbox)
    refund = ask_refund(payment, 1000)

    dispute(stripe, payment)

    refund.refresh_from_db()
    assert (refund.status, refund.next_run_at) == ("CANCELED", None)
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 2400)
    assert open_kinds() == ["dispute"]


def test_a_refund_that_may_be_on_its_way_is_not_withdrawn(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_sold(sandbox)
    stripe.fails("accept_then_hang", "refunds.create")
    refund = send(ask_refund(payment, 1000))

    dispute(stripe, payment, amount=1400)

    refund.refresh_from_db()
    assert refund.status == "UNKNOWN"
    assert send(refund).status == "SUCCEEDED"


def test_who_cancels_during_a_dispute_gets_it_back_once_it_is_won(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    id_ = dispute(stripe, payment_of(booking))
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()
    assert not Refund.objects.exists()

    decide(stripe, id_, "won")
    run_due_work()

    assert Refund.objects.get().status == "SUCCEEDED"
    assert Payable.objects.get().status == "REFUNDED"


def test_who_cancels_during_a_dispute_gets_nothing_twice(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    id_ = dispute(stripe, payment_of(booking))
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    decide(stripe, id_, "lost")
    run_due_work()

    assert not Refund.objects.exists()
    assert stripe.effects("refund_created") == []


def test_of_a_dispute_about_a_part_the_rest_is_promised_once_it_is_decided(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    id_ = dispute(stripe, payment_of(booking), amount=1000)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()
    assert not Refund.objects.exists()

    decide(stripe, id_, "lost")
    run_due_work()

    refund = Refund.objects.get()
    # Stripe refunds nothing of a charge that a bank took back: people pay it out.
    assert (refund.amount_minor, refund.status) == (1400, "NEEDS_STAFF")
    assert "refund_failure" in open_kinds()


def test_a_dispute_about_somebody_elses_payment_is_ignored_in_the_end(
    stripe: Stripe, sandbox: Sandbox, settings: Any
) -> None:
    payment = make_paid(sandbox)
    CardPayment.objects.filter(pk=payment.pk).update(provider_id="pi_another")
    opened = stripe.tell("disputes", payment_intent=payment.provider_id)
    event = store_event("charge.dispute.created", opened["id"])

    process_all()

    event.refresh_from_db()
    assert event.status == "IGNORED"
    assert not Dispute.objects.exists()
