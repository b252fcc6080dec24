"""Every payment and refund is compared with Stripe: page by page, and to the end."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from bookings.models import Booking
from payments.models import CardPayment, Payable, ReconciledDay, Reconciliation, Refund
from payments.services import comparing, reconcile_desk
from payments.services.subjects import SUBJECTS
from recovery import cases
from recovery.models import Case
from slotbase.lib.clock import Now, read_clock
from slotbase.providers.stripe import client
from tests.adversity import Clock, Stripe
from tests.factories import make_staff
from tests.payments.money import (
    TESTER,
    ask_refund,
    begin,
    begin_payment,
    counters,
    make_paid,
    make_payable,
    make_priced_hold,
    make_sold,
    open_kinds,
    pay,
    run_due_work,
    send,
    store_event,
)

pytestmark = pytest.mark.django_db(transaction=True)


def compare(rounds: int = 20) -> None:
    """Until all is compared, if it is due."""
    for _ in range(rounds):
        if not comparing.compare_with_stripe():
            return
    raise AssertionError("It does not come to an end.")


def compare_again() -> None:
    Reconciliation.objects.filter(name__in=SUBJECTS).update(next_run_at=Now())
    compare()


def make_old(model: Any) -> None:
    """They were made long enough ago that Stripe should list them."""
    model.objects.update(created_at=read_clock() - timedelta(hours=1))


def sums(name: str) -> list[tuple[int, int, int]]:
    days = ReconciledDay.objects.filter(name=name).order_by("day", "currency")
    return list(days.values_list("ours_minor", "stripe_minor", "objects_seen"))


def leave_alone(payment: CardPayment) -> None:
    """Nobody looks at it by itself any more today."""
    CardPayment.objects.filter(pk=payment.pk).update(
        next_run_at=read_clock() + timedelta(days=2)
    )


def make_refunded(stripe: Stripe) -> Refund:
    return send(ask_refund(make_paid(stripe._sandbox, make_payable()), 500))


# --- What Stripe told nobody ------------------------------------------------------


def test_a_payment_of_which_stripe_never_made_an_event_is_found_within_a_day(
    stripe: Stripe,
) -> None:
    hold = make_priced_hold()
    payment = begin_payment(hold)
    leave_alone(payment)
    pay(stripe._sandbox, payment.pk, silent=True)

    compare()
    run_due_work()

    assert Booking.objects.get().hold_id == hold.pk
    assert not Case.objects.exists()


def test_a_refund_of_which_no_webhook_came_is_found(stripe: Stripe) -> None:
    payment = make_paid(stripe._sandbox, make_payable())
    stripe.tell("dashboard/refunds", payment_intent=payment.provider_id, amount=300)

    compare()

    assert Refund.objects.get().reason == "OUTSIDE"
    assert counters(payment.payable_id) == (2400, 2400, 300, 0, 0)


def test_a_refund_that_its_bank_sent_back_in_silence_is_found(stripe: Stripe) -> None:
    stripe.tell("refunds/next", status="pending")
    refund = make_refunded(stripe)
    stripe.tell("refunds", refund=refund.provider_id, status="failed")

    compare()

    refund.refresh_from_db()
    assert refund.status == "FAILED"
    assert open_kinds() == ["refund_failure"]


# --- The sums -------------------------------------------------------------------


def test_both_sums_stand_side_by_side(stripe: Stripe) -> None:
    make_refunded(stripe)
    make_paid(stripe._sandbox, make_payable())

    compare()

    assert sums("payments") == [(4800, 4800, 2)]
    assert sums("refunds") == [(500, 500, 1)]
    compare_again()
    assert sums("payments") == [(4800, 4800, 2)]


def test_what_others_do_with_the_account_is_not_in_our_sums(stripe: Stripe) -> None:
    made = client.create_intent(
        amount_minor=900,
        currency="EUR",
        metadata={"shop": "7"},
        description="Of the shop",
        idempotency_key="shop",
        patience=client.Patience.WORKER,
    )
    stripe.tell("pay", payment_intent=made.id, outcome="succeed")

    compare()

    assert sums("payments") == []
    assert open_kinds() == ["unmatched_payment"]
    case, staff = Case.objects.get(), make_staff()
    seen = {"case_id": case.pk, "staff_id": staff.pk, "version": case.version}
    cases.discard_case(**seen, reason="It is the shop's.")
    compare_again()
    assert open_kinds() == []


def test_a_comparison_is_made_once_a_day(stripe: Stripe, clock: Clock) -> None:
    make_sold(stripe._sandbox)
    compare()
    calls = stripe.calls("payment_intents.list")

    clock.move(hours=23)
    compare()
    assert stripe.calls("payment_intents.list") == calls

    clock.move(hours=2)
    compare()
    assert stripe.calls("payment_intents.list") == calls + 1


def test_pages_are_turns_of_their_own_and_each_is_read_once(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    for _ in range(5):
        make_paid(stripe._sandbox, make_payable())
    row = Reconciliation.objects.create(name="payments")

    comparing.compare_with_stripe()
    row.refresh_from_db()
    assert row.began_at is not None
    assert row.cursor.startswith("pi_")
    compare()

    assert stripe.calls("payment_intents.list") == 3
    assert sums("payments") == [(12000, 12000, 5)]


def test_a_list_that_cannot_be_read_is_gone_on_with_where_it_was(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    for _ in range(3):
        make_paid(stripe._sandbox, make_payable())
    comparing.compare_with_stripe()
    stripe.fails("5xx", "payment_intents.list", status=503)
    comparing.compare_with_stripe()

    compare_again()

    assert sums("payments") == [(7200, 7200, 3)]


def test_few_calls_are_made_in_one_turn_however_much_differs(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "MOST_CALLS", 2)
    for _ in range(3):
        payment = begin(make_payable())
        leave_alone(payment)
        pay(stripe._sandbox, payment.pk, silent=True)
    before = stripe.calls("payment_intents.retrieve")

    comparing.compare_with_stripe()
    assert stripe.calls("payment_intents.retrieve") == before + 2
    compare()

    assert CardPayment.objects.filter(status="SUCCEEDED").count() == 3
    assert sums("payments") == [(7200, 7200, 3)]


# --- What nothing explains ----------------------------------------------------------


def test_a_payment_that_stripe_does_not_have_stands_in_a_case(stripe: Stripe) -> None:
    payment = make_paid(stripe._sandbox, make_payable())
    CardPayment.objects.update(provider_id="pi_of_nobody")
    make_old(CardPayment)
    # What Stripe has of it belongs to the row by its metadata no more.

    compare()

    case = Case.objects.get(kind="payment_mismatch")
    assert "pi_of_nobody is not known" in case.cause
    assert case.subject_id == str(payment.payable_id)


def test_another_amount_than_stripe_has_stands_in_a_case_and_is_told_once(
    stripe: Stripe,
) -> None:
    make_paid(stripe._sandbox, make_payable())
    CardPayment.objects.update(received_minor=2300)
    Payable.objects.update(paid_minor=2300)

    compare()
    compare_again()

    case = Case.objects.get(kind="payment_mismatch")
    assert "24.00" in case.cause
    assert case.occurrences == 1
    assert sums("payments") == [(2300, 2400, 1)]


def test_what_was_looked_at_is_not_asked_for_again(stripe: Stripe) -> None:
    make_paid(stripe._sandbox, make_payable())
    make_old(CardPayment)
    before = stripe.calls("payment_intents.retrieve")

    compare()

    assert stripe.calls("payment_intents.retrieve") == before


# --- Refunds of which nobody heard -----------------------------------------------


def test_a_refund_that_takes_more_than_ten_days_stands_in_a_case(
    stripe: Stripe, clock: Clock
) -> None:
    stripe.tell("refunds/next", status="pending", pending_reason="insufficient_funds")
    refund = send(ask_refund(make_sold(stripe._sandbox), 500))
    clock.move(days=9)
    assert send(refund).status == "PENDING"
    assert open_kinds() == []

    clock.move(days=2)
    send(refund)
    send(refund)

    case = Case.objects.get()
    assert (case.kind, case.occurrences) == ("refund_failure", 1)
    assert "not enough money" in case.cause
    stripe.tell("refunds", refund=refund.provider_id, status="succeeded")
    send(refund)
    assert open_kinds() == []


def test_money_given_back_at_stripe_for_what_stands_is_told(stripe: Stripe) -> None:
    payment = make_sold(stripe._sandbox)
    run_due_work()
    made = stripe.tell("dashboard/refunds", payment_intent=payment.provider_id)
    store_event("refund.created", made["id"])

    run_due_work()

    case = Case.objects.get()
    assert (case.kind, case.amount_minor) == ("payment_mismatch", payment.amount_minor)
    assert case.cause.endswith("it is due again.")


# --- Asked for by a person ------------------------------------------------------------


def test_asking_begins_anew_in_the_middle_of_a_comparison(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    for _ in range(3):
        make_paid(stripe._sandbox, make_payable())
    comparing.compare_with_stripe()

    assert reconcile_desk.reconcile_now(actor=TESTER)

    assert sums("payments") == [(7200, 7200, 3)]


def run_command(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("reconcile", *options, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_the_command_compares_and_says_how_things_stand(stripe: Stripe) -> None:
    make_refunded(stripe)
    assert run_command() == (0, "")

    code, said = run_command("--now")

    assert code == 0
    assert "payments: compared as of" in said
    assert "Stripe's EUR 24.00: agrees" in said.replace("24.00 EUR", "EUR 24.00")


def test_the_command_fails_if_something_differs(stripe: Stripe) -> None:
    make_paid(stripe._sandbox, make_payable())
    CardPayment.objects.update(received_minor=2300)
    Payable.objects.update(paid_minor=2300)

    code, said = run_command("--now", "--json")

    (day,) = json.loads(said)["days"]
    assert code == 1
    assert (day["ours_minor"], day["stripe_minor"]) == (2300, 2400)


@pytest.mark.usefixtures("stripe")
def test_the_command_stops_senders_for_who_restored_a_backup() -> None:
    code, said = run_command("--restored")

    assert code == 1
    assert "Senders are stopped" in said
