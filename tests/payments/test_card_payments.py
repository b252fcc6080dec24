"""Card payments: made once, looked at, called off, and recorded as Stripe has them."""

from typing import Any

import pytest
from django.db import transaction

from payments.models import CardPayment, Payable
from payments.services import card_payments
from payments.services.card_payments import attempt_card_payments, look_soon
from payments.services.intents import record_intent
from payments.services.payables import call_off_card_payments
from recovery.models import AuditEntry, Case, OutboxEvent
from slotbase.providers.stripe import client
from tests.adversity import Clock, Stripe
from tests.payments.money import (
    begin,
    counters,
    look_now,
    make_cash,
    make_payable,
    open_kinds,
)

pytestmark = pytest.mark.django_db

CREATE, CANCEL = "payment_intents.create", "payment_intents.cancel"
RETRIEVE = "payment_intents.retrieve"


def call_off(payment: CardPayment) -> None:
    with transaction.atomic():
        call_off_card_payments(payment.payable)


def moves_of(payment: CardPayment) -> list[str]:
    entries = AuditEntry.objects.filter(
        subject_type="cardpayment", subject_id=str(payment.pk)
    )
    return [each.to_state for each in entries.order_by("id") if each.to_state]


def told() -> int:
    return OutboxEvent.objects.filter(type="payments.payable_settled").count()


def pay_as(stripe: Stripe, payment: CardPayment, outcome: str, **more: Any) -> None:
    told = {"payment_intent": payment.provider_id, "outcome": outcome, **more}
    stripe.tell("pay", **told)


# --- Made ----------------------------------------------------------------------


def test_a_payment_is_made_of_what_is_due_and_can_be_paid(stripe: Stripe) -> None:
    payment = begin(make_payable(2400))

    assert (payment.status, payment.amount_minor) == ("OPEN", 2400)
    assert payment.client_secret
    (made,) = stripe.effects("payment_intent_created")
    assert (made["amount"], made["currency"]) == (2400, "eur")
    assert made["metadata"] == {
        "slotbase_env": "main",
        "card_payment": str(payment.pk),
    }
    assert moves_of(payment) == ["CREATING", "OPEN"]


def test_who_begins_again_gets_the_same_payment(stripe: Stripe) -> None:
    payable = make_payable()

    assert begin(payable).pk == begin(payable).pk
    assert len(stripe.effects("payment_intent_created")) == 1


@pytest.mark.parametrize(
    "fault", ["accept_then_hang", "reset_after_effect", "malformed"]
)
def test_an_answer_that_is_lost_is_asked_for_with_the_same_key(
    stripe: Stripe, fault: str
) -> None:
    stripe.fails(fault, CREATE)
    payment = begin(make_payable())
    assert (payment.status, payment.client_secret) == ("UNKNOWN", "")

    payment = look_now(payment)

    assert payment.status == "OPEN"
    assert payment.client_secret
    assert len(stripe.effects("payment_intent_created")) == 1
    assert moves_of(payment) == ["CREATING", "UNKNOWN", "OPEN"]


def test_what_surely_did_not_happen_is_still_being_made(stripe: Stripe) -> None:
    stripe.fails("4xx", CREATE, status=429)
    payment = begin(make_payable())
    assert (payment.status, payment.attempts) == ("CREATING", 1)

    assert look_now(payment).status == "OPEN"


def test_a_key_that_holds_an_error_is_not_used_before_stripe_was_asked(
    stripe: Stripe,
) -> None:
    stripe.fails("stored_500", CREATE)
    payment = begin(make_payable())
    assert (payment.status, payment.is_key_spent) == ("UNKNOWN", True)

    payment = look_now(payment)
    assert (payment.status, payment.epoch) == ("UNKNOWN", 2)
    assert stripe.calls(CREATE) == 1

    payment = look_now(payment)
    assert payment.status == "OPEN"
    assert len(stripe.effects("payment_intent_created")) == 1


def test_what_was_made_under_a_key_that_holds_an_error_is_found(
    stripe: Stripe,
) -> None:
    stripe.fails("reset_after_effect", CREATE)
    payment = begin(make_payable())
    stripe.fails("5xx", CREATE)
    assert look_now(payment).is_key_spent

    payment = look_now(payment)

    assert (payment.status, payment.epoch) == ("OPEN", 1)
    assert len(stripe.effects("payment_intent_created")) == 1


def test_a_key_that_stripe_may_have_forgotten_is_not_used_again(
    stripe: Stripe, clock: Clock
) -> None:
    stripe.fails("accept_then_hang", CREATE)
    payment = begin(make_payable())
    clock.move(hours=23, minutes=1)
    stripe.tell("idempotency", expire="all")

    payment = look_now(payment)

    assert payment.status == "OPEN"
    assert len(stripe.effects("payment_intent_created")) == 1


def test_a_refusal_ends_it_and_stands_in_a_case(stripe: Stripe) -> None:
    payment = begin(make_payable(1))  # less than Stripe takes

    assert (payment.status, payment.next_run_at) == ("CANCELED", None)
    case = Case.objects.get(kind="dead_letter")
    assert case.subject_id == str(payment.pk)
    assert "refused" in case.cause


def test_out_of_attempts_it_ends_and_another_one_can_be_begun(
    stripe: Stripe, settings: Any
) -> None:
    settings.CARD_PAYMENT_RETRY_SECONDS = [1]
    stripe.fails("5xx", CREATE, count=2, status=503)
    payment = begin(make_payable())
    # Its key is spent: the second attempt would look, so let that fail as well.
    stripe.fails("5xx", "payment_intents.list", status=503)

    payment = look_now(payment)

    assert payment.status == "CANCELED"
    assert open_kinds() == ["dead_letter"]
    stripe.works()
    assert begin(payment.payable).status == "OPEN"


def test_wrong_credentials_use_up_no_attempt_and_stand_in_a_case(
    stripe: Stripe,
) -> None:
    stripe.fails("4xx", CREATE, status=401)

    payment = begin(make_payable())

    assert (payment.status, payment.attempts) == ("CREATING", 0)
    assert open_kinds() == ["provider_configuration"]


# --- Looked at -----------------------------------------------------------------


def test_money_that_no_webhook_told_of_is_found(stripe: Stripe) -> None:
    payment = begin(make_payable())
    pay_as(stripe, payment, "succeed", silent=True)

    payment = look_now(payment)

    assert (payment.status, payment.received_minor) == ("SUCCEEDED", 2400)
    assert (payment.client_secret, payment.next_run_at) == ("", None)
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)
    assert Payable.objects.get().paid_at is not None
    assert told() == 1


def test_an_open_payment_is_looked_at_again_after_a_while(
    stripe: Stripe, clock: Clock
) -> None:
    payment = begin(make_payable())
    assert attempt_card_payments() == 0

    clock.move(minutes=5, seconds=1)

    assert attempt_card_payments() == 1
    payment.refresh_from_db()
    assert (payment.status, payment.attempts) == ("OPEN", 0)


def test_a_worker_can_be_asked_to_look_soon(stripe: Stripe) -> None:
    payment = begin(make_payable())

    look_soon(payment.pk)

    assert attempt_card_payments() == 1


def test_a_declined_card_and_then_a_good_one(stripe: Stripe) -> None:
    payment = begin(make_payable())
    pay_as(stripe, payment, "insufficient_funds")
    payment = look_now(payment)
    assert (payment.status, payment.decline_code) == ("OPEN", "insufficient_funds")

    pay_as(stripe, payment, "succeed")

    payment = look_now(payment)
    assert (payment.status, payment.decline_code) == ("SUCCEEDED", "")
    actions = AuditEntry.objects.filter(action="card_payment.declined")
    assert actions.count() == 1


def test_a_slow_bank_and_then_a_no(stripe: Stripe) -> None:
    payment = begin(make_payable())
    pay_as(stripe, payment, "processing")
    assert look_now(payment).status == "PROCESSING"
    pay_as(stripe, payment, "decline")

    payment = look_now(payment)

    assert payment.status == "OPEN"
    assert moves_of(payment) == ["CREATING", "OPEN", "PROCESSING", "OPEN"]


def test_a_stale_answer_takes_no_money_back(stripe: Stripe) -> None:
    payment = begin(make_payable())
    assert payment.provider_id is not None
    before = client.retrieve_intent(payment.provider_id)
    pay_as(stripe, payment, "succeed")
    look_now(payment)

    with transaction.atomic():
        record_intent(before)

    payment.refresh_from_db()
    assert payment.status == "SUCCEEDED"
    assert told() == 1


def test_the_same_answer_twice_counts_money_once(stripe: Stripe) -> None:
    payment = begin(make_payable())
    pay_as(stripe, payment, "succeed")
    assert payment.provider_id is not None
    intent = client.retrieve_intent(payment.provider_id)

    for _ in range(2):
        with transaction.atomic():
            record_intent(intent)

    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)
    assert told() == 1


def test_what_is_recorded_meanwhile_is_not_tried_any_more(stripe: Stripe) -> None:
    payment = begin(make_payable())
    pay_as(stripe, payment, "succeed")
    assert payment.provider_id is not None
    with transaction.atomic():
        record_intent(client.retrieve_intent(payment.provider_id))

    assert attempt_card_payments() == 0


def test_while_stripe_does_not_answer_an_open_payment_stays_and_waits(
    stripe: Stripe,
) -> None:
    payment = begin(make_payable())
    stripe.fails("5xx", RETRIEVE, status=503)

    payment = look_now(payment)

    assert (payment.status, payment.attempts) == ("OPEN", 1)
    assert attempt_card_payments() == 0


def test_an_intent_that_is_gone_at_stripe_stands_in_a_case(stripe: Stripe) -> None:
    payment = begin(make_payable())
    CardPayment.objects.update(provider_id="pi_gone")

    payment = look_now(payment)

    assert payment.status == "OPEN"
    assert open_kinds() == ["dead_letter"]


def test_the_intent_of_another_payment_changes_nothing(stripe: Stripe) -> None:
    payment = begin(make_payable())
    assert payment.provider_id is not None
    intent = client.retrieve_intent(payment.provider_id)
    CardPayment.objects.update(provider_id="pi_another")

    with transaction.atomic():
        assert record_intent(intent) is None


def test_an_intent_that_says_nothing_sensible_of_itself_is_nobodys(
    stripe: Stripe,
) -> None:
    begin(make_payable())
    for metadata in ({"a": "b"}, {"slotbase_env": "main", "card_payment": "7"}):
        intent = client.create_intent(
            amount_minor=100,
            currency="EUR",
            metadata=metadata,
            description="Something",
            idempotency_key=f"k{len(metadata)}",
            patience=client.Patience.WORKER,
        )
        with transaction.atomic():
            assert record_intent(intent) is None


# --- Called off ----------------------------------------------------------------


def test_what_is_not_wanted_any_more_is_cancelled_at_stripe(stripe: Stripe) -> None:
    payment = begin(make_payable())
    call_off(payment)

    payment = look_now(payment)

    assert (payment.status, payment.next_run_at) == ("CANCELED", None)
    assert payment.client_secret == ""
    assert len(stripe.effects("payment_intent_canceled")) == 1


def test_what_was_never_sent_is_called_off_without_a_call(stripe: Stripe) -> None:
    payable = make_payable()
    with transaction.atomic():
        payment, _ = card_payments.begin_card_payment(
            payable, actor=card_payments.SYSTEM
        )
    CardPayment.objects.update(lease_token=None, lease_until=None)
    call_off(payment)

    payment = look_now(payment)

    assert payment.status == "CANCELED"
    assert stripe.calls(CREATE) == 0


def test_an_unknown_one_is_looked_for_and_then_called_off(stripe: Stripe) -> None:
    stripe.fails("accept_then_hang", CREATE)
    payment = begin(make_payable())
    call_off(payment)

    assert look_now(payment).status == "OPEN"
    assert look_now(payment).status == "CANCELED"
    assert stripe.calls(CREATE) == 1


def test_an_unknown_one_that_is_nowhere_is_called_off(stripe: Stripe) -> None:
    stripe.fails("hang", CREATE)
    payment = begin(make_payable())
    call_off(payment)

    assert look_now(payment).status == "CANCELED"
    assert stripe.effects("payment_intent_created") == []


def test_who_paid_before_it_was_called_off_has_paid(stripe: Stripe) -> None:
    payment = begin(make_payable())
    call_off(payment)
    pay_as(stripe, payment, "succeed", silent=True)

    payment = look_now(payment)

    assert payment.status == "SUCCEEDED"
    assert told() == 1


def test_what_could_not_be_cancelled_while_it_was_processed_is_cancelled_after(
    stripe: Stripe,
) -> None:
    payment = begin(make_payable())
    pay_as(stripe, payment, "processing")
    call_off(payment)
    assert look_now(payment).status == "PROCESSING"
    pay_as(stripe, payment, "decline")

    payment = look_now(payment)

    assert payment.status == "CANCELED"


def test_a_payment_that_was_given_up_and_is_paid_all_the_same_counts(
    stripe: Stripe,
) -> None:
    stripe.fails("accept_then_hang", CREATE)
    payment = begin(make_payable())
    (made,) = stripe.effects("payment_intent_created")
    CardPayment.objects.update(status="CANCELED", next_run_at=None)
    AuditEntry.objects.create(
        action="card_payment.canceled",
        actor_kind="system",
        actor_id="tester",
        subject_type="cardpayment",
        subject_id=str(payment.pk),
        from_state="UNKNOWN",
        to_state="CANCELED",
    )
    stripe.tell("pay", payment_intent=made["payment_intent"], outcome="succeed")

    with transaction.atomic():
        record_intent(client.retrieve_intent(made["payment_intent"]))

    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)


# --- Other than asked for ------------------------------------------------------


@pytest.mark.parametrize(
    "other", [{"amount": 2399}, {"amount": 1}, {"amount": 0}, {"currency": "usd"}]
)
def test_another_amount_or_currency_does_not_count_and_stands_in_a_case(
    stripe: Stripe, other: dict[str, Any]
) -> None:
    payment = begin(make_payable(2400))
    pay_as(stripe, payment, "succeed", **other)

    payment = look_now(payment)

    assert (payment.status, payment.is_mismatch) == ("SUCCEEDED", True)
    assert counters(payment.payable_id) == (2400, 0, 0, 0, 0)
    assert not Payable.objects.get().is_covered
    case = Case.objects.get(kind="payment_mismatch")
    assert case.amount_minor == other.get("amount", 2400)
    assert case.details["owed"] == "24.00 EUR"


def test_money_on_top_of_cash_counts(stripe: Stripe) -> None:
    payable = make_payable(2400)
    payment = begin(payable)
    make_cash(payable, 2400)
    pay_as(stripe, payment, "succeed")

    look_now(payment)

    assert counters(payable.pk) == (2400, 4800, 0, 0, 0)
    assert Payable.objects.get().status == "OVERPAID"
