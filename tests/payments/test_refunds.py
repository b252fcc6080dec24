"""Refunds: promised under one lock, sent once, and recorded as Stripe has them."""

from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from payments.errors import (
    PayableHasChanged,
    PaymentDisputed,
    PaymentNotFound,
    RefundExceedsBalance,
)
from payments.locks import lock_payable
from payments.models import CardPayment, Payable, Refund
from payments.services import refund_calls
from payments.services.payables import waive
from payments.services.reconciling import reconcile_refund
from payments.services.refund_calls import attempt_refunds
from payments.services.refunds import refund_amount, request_excess
from payments.states import RefundReason
from recovery.models import AuditEntry, Case, OutboxEvent
from slotbase.lib.errors import ValidationFailed
from slotbase.lib.ids import uuid7
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.factories import make_staff
from tests.payments.money import (
    TESTER,
    ask_refund,
    begin,
    counters,
    look_now,
    make_cash,
    make_paid_booking,
    make_payable,
    make_sold,
    open_kinds,
    process_all,
    run_due_work,
    send,
    store_event,
)

pytestmark = pytest.mark.django_db

CREATE, LIST = "refunds.create", "refunds.list"


def excess_of(payable_id: UUID, *, fee_minor: int = 0) -> list[Refund]:
    with transaction.atomic():
        payable = lock_payable(payable_id)
        waive(payable, fee_minor=fee_minor)
        return request_excess(payable, reason=RefundReason.CANCELLED, actor=TESTER)


def moves_of(refund: Refund) -> list[str]:
    entries = AuditEntry.objects.filter(
        subject_type="refund", subject_id=str(refund.pk)
    )
    return [each.to_state for each in entries.order_by("id") if each.to_state]


def events(type_: str) -> int:
    return OutboxEvent.objects.filter(type=f"payments.refund_{type_}").count()


def sent_back(stripe: Stripe) -> list[int]:
    return [each["amount"] for each in stripe.effects("refund_created")]


# --- Asked for -----------------------------------------------------------------


def test_a_part_of_a_payment_is_promised_and_then_sent(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    refund = ask_refund(payment, 1000)
    assert counters(payment.payable_id) == (2400, 2400, 0, 1000, 0)

    refund = send(refund)

    assert refund.status == "SUCCEEDED"
    assert refund.settled_at is not None
    assert counters(payment.payable_id) == (2400, 2400, 1000, 0, 0)
    assert sent_back(stripe) == [1000]
    assert moves_of(refund) == ["REQUESTED", "SENDING", "SUCCEEDED"]
    assert events("settled") == 1


def begin_paid(stripe: Stripe) -> CardPayment:
    payment = begin(make_payable())
    stripe.tell("pay", payment_intent=payment.provider_id, outcome="succeed")
    return look_now(payment)


def test_a_second_part_is_another_refund(stripe: Stripe) -> None:
    payment = begin_paid(stripe)

    refunds = [send(ask_refund(payment, 1200)) for _ in range(2)]

    assert [each.status for each in refunds] == ["SUCCEEDED"] * 2
    assert sent_back(stripe) == [1200, 1200]
    assert Payable.objects.get().status == "REFUNDED"


def test_no_more_is_promised_than_is_left(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    ask_refund(payment, 2000)

    with pytest.raises(RefundExceedsBalance) as refused:
        ask_refund(payment, 401)

    assert refused.value.refundable_minor == 400
    assert Refund.objects.count() == 1


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_or_less_is_no_refund(stripe: Stripe, amount: int) -> None:
    payment = begin_paid(stripe)

    with pytest.raises(ValidationFailed) as refused:
        ask_refund(payment, amount)

    assert "amount" in refused.value.extra["errors"]


def test_who_saw_an_older_state_is_told(stripe: Stripe) -> None:
    payment = begin_paid(stripe)

    with pytest.raises(PayableHasChanged):
        refund_amount(
            payment_id=payment.pk, amount_minor=1, staff_id=make_staff().pk, version=1
        )


def test_what_brought_no_money_has_no_refund(stripe: Stripe) -> None:
    payment = begin(make_payable())

    for payment_id in (payment.pk, uuid7()):
        with pytest.raises(PaymentNotFound):
            refund_amount(
                payment_id=payment_id, amount_minor=1, staff_id=uuid7(), version=1
            )


def test_while_a_bank_decides_nothing_is_promised(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    dispute = stripe.tell("disputes", payment_intent=payment.provider_id, amount=100)
    store_event("charge.dispute.created", dispute["id"])
    process_all()

    with pytest.raises(PaymentDisputed):
        ask_refund(payment, 100)


@pytest.mark.case("refund_payout", "opens")
def test_cash_goes_back_by_hand_and_stands_in_a_case_at_once(sandbox: Sandbox) -> None:
    cash = make_cash(make_payable(), 2400)

    refund = ask_refund(cash, 1000)

    assert (refund.status, refund.is_payout) == ("NEEDS_STAFF", True)
    assert attempt_refunds() == 0
    assert open_kinds() == ["refund_payout"]
    assert moves_of(refund) == ["REQUESTED", "NEEDS_STAFF"]
    assert counters(cash.payable_id) == (2400, 2400, 0, 1000, 0)


# --- All that is too much ------------------------------------------------------


def test_what_is_too_much_goes_back_from_cards_before_cash(stripe: Stripe) -> None:
    payable = make_payable(2400)
    cash = make_cash(payable, 1400)
    card = make_card(stripe, payable)
    assert card.amount_minor == 1000

    refunds = excess_of(payable.pk, fee_minor=500)

    assert [(each.payment, each.amount_minor) for each in refunds] == [
        (card, 1000),
        (cash, 900),
    ]
    assert Payable.objects.get().excess_minor == 0


def make_card(stripe: Stripe, payable: Payable) -> CardPayment:
    payment = begin(payable)
    stripe.tell("pay", payment_intent=payment.provider_id, outcome="succeed")
    return look_now(payment)


def test_the_latest_payment_goes_back_first(stripe: Stripe) -> None:
    payable = make_payable(2400)
    payments = [make_cash(payable, 799 + n) for n in range(3)]
    newest = max(payments, key=lambda payment: payment.pk)

    refunds = excess_of(payable.pk, fee_minor=2000)

    assert [(each.payment, each.amount_minor) for each in refunds] == [(newest, 400)]


def test_nothing_is_too_much_where_nothing_was_paid() -> None:
    assert excess_of(make_payable().pk) == []


def test_what_went_back_before_does_not_go_back_again(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    send(ask_refund(payment, 1000))

    (refund,) = excess_of(payment.payable_id)

    assert refund.amount_minor == 1400
    assert excess_of(payment.payable_id) == []


# --- Sent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["accept_then_hang", "reset_after_effect", "malformed"]
)
def test_an_answer_that_is_lost_is_asked_for_with_the_same_key(
    stripe: Stripe, fault: str
) -> None:
    payment = begin_paid(stripe)
    stripe.fails(fault, CREATE)
    refund = send(ask_refund(payment, 1000))
    assert refund.status == "UNKNOWN"
    assert counters(payment.payable_id)[3] == 1000

    refund = send(refund)

    assert (refund.status, refund.epoch) == ("SUCCEEDED", 1)
    assert sent_back(stripe) == [1000]
    assert moves_of(refund) == ["REQUESTED", "SENDING", "UNKNOWN", "SUCCEEDED"]


def test_what_surely_did_not_happen_is_requested_again(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    stripe.fails("4xx", CREATE, status=429)
    refund = send(ask_refund(payment, 1000))
    assert (refund.status, refund.first_sent_at) == ("REQUESTED", None)

    assert send(refund).status == "SUCCEEDED"
    assert sent_back(stripe) == [1000]


def test_after_an_unknown_attempt_no_refusal_to_listen_makes_it_sure(
    stripe: Stripe,
) -> None:
    payment = begin_paid(stripe)
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(payment, 1000))
    stripe.fails("4xx", CREATE, status=429)

    refund = send(refund)

    assert refund.status == "UNKNOWN"
    assert refund.first_sent_at is not None


def test_attempts_are_so_far_apart_as_the_schedule_says(
    stripe: Stripe, settings: Any
) -> None:
    settings.REFUND_RETRY_SECONDS = [0, 100, 1100]
    refund = ask_refund(begin_paid(stripe), 1000)
    stripe.fails("4xx", CREATE, status=429, count=2)
    waits = []
    for _ in range(2):
        refund = send(refund)
        assert refund.next_run_at is not None
        waits.append((refund.next_run_at - Payable.objects.get().created_at).seconds)

    assert 80 <= waits[0] <= 130
    assert 800 <= waits[1] <= 1230


def test_out_of_attempts_it_is_in_the_hands_of_staff(
    stripe: Stripe, settings: Any
) -> None:
    settings.REFUND_RETRY_SECONDS = [0]
    refund = ask_refund(begin_paid(stripe), 1000)
    stripe.fails("hang", CREATE)

    refund = send(refund)

    assert (refund.status, refund.next_run_at) == ("NEEDS_STAFF", None)
    assert refund.first_sent_at is not None
    assert open_kinds() == ["refund_failure"]
    assert events("failed") == 1
    assert counters(refund.payable_id)[3] == 1000


def test_a_large_refund_that_fails_is_critical(stripe: Stripe, settings: Any) -> None:
    settings.REFUND_ALERT_MAJOR = 10
    payment = begin_paid(stripe)

    for amount in (1001, 1000):
        stripe.fails("4xx", CREATE)
        send(ask_refund(payment, amount))

    cases = Case.objects.order_by("amount_minor")
    assert [(each.amount_minor, each.severity) for each in cases] == [
        (1000, "high"),
        (1001, "critical"),
    ]


def test_what_is_refused_is_not_sent_again_and_stands_in_a_case(stripe: Stripe) -> None:
    refund = ask_refund(begin_paid(stripe), 1000)
    stripe.fails("4xx", CREATE)

    refund = send(refund)

    assert (refund.status, refund.first_sent_at) == ("NEEDS_STAFF", None)
    assert attempt_refunds() == 0
    assert open_kinds() == ["refund_failure"]


def test_wrong_credentials_use_up_no_attempt(stripe: Stripe) -> None:
    refund = ask_refund(begin_paid(stripe), 1000)
    stripe.fails("4xx", CREATE, status=401)

    refund = send(refund)

    assert (refund.status, refund.attempts) == ("REQUESTED", 0)
    assert open_kinds() == ["provider_configuration"]


def test_while_our_breaker_is_open_nothing_is_used_up(stripe: Stripe) -> None:
    refund = ask_refund(begin_paid(stripe), 1000)
    stripe.fails("4xx", "charges.retrieve", status=429, count=5)
    for _ in range(5):
        with pytest.raises(ProviderError):
            client.retrieve_charge("ch_1")

    refund = send(refund)

    assert (refund.status, refund.attempts) == ("REQUESTED", 0)
    assert stripe.calls(CREATE) == 0


# --- A key that must not be used again -----------------------------------------


def test_after_an_error_that_is_kept_two_looks_must_find_nothing_before_a_new_key(
    stripe: Stripe, sandbox: Sandbox, clock: Clock
) -> None:
    payment = make_sold(sandbox)
    stripe.fails("stored_500", CREATE)
    refund = send(ask_refund(payment, 1000))
    assert (refund.status, refund.is_key_spent) == ("UNKNOWN", True)

    seen = []
    for seconds in (1, 1, 300, 1):
        clock.move(seconds=seconds)
        refund = send(refund)
        seen.append((refund.status, refund.epoch, refund.absent_reads))

    assert seen == [
        ("UNKNOWN", 1, 1),
        ("UNKNOWN", 1, 2),
        ("REQUESTED", 2, 0),
        ("SUCCEEDED", 2, 0),
    ]
    assert stripe.calls(CREATE) == 2
    assert sent_back(stripe) == [1000]


def test_looks_that_find_nothing_use_up_no_attempt(
    stripe: Stripe, sandbox: Sandbox, clock: Clock
) -> None:
    stripe_payment = make_sold(sandbox)
    stripe.fails("stored_500", CREATE)
    refund = send(ask_refund(stripe_payment, 1000))
    attempts = refund.attempts

    refund = send(refund)

    assert refund.attempts == attempts


def test_what_happened_under_a_key_that_holds_an_error_is_found(
    stripe: Stripe,
) -> None:
    payment = begin_paid(stripe)
    stripe.fails("reset_after_effect", CREATE)
    refund = send(ask_refund(payment, 1000))
    stripe.fails("5xx", CREATE)
    assert send(refund).is_key_spent

    refund = send(refund)

    assert (refund.status, refund.epoch) == ("SUCCEEDED", 1)
    assert sent_back(stripe) == [1000]


def test_after_23_hours_stripe_is_asked_instead_of_told(
    stripe: Stripe, sandbox: Sandbox, clock: Clock
) -> None:
    payment = make_sold(sandbox)
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(payment, 1000))
    clock.move(hours=23, minutes=1)
    stripe.tell("idempotency", expire="all")

    refund = send(refund)

    assert refund.status == "SUCCEEDED"
    assert sent_back(stripe) == [1000]


def test_a_list_that_cannot_be_read_proves_nothing(
    stripe: Stripe, sandbox: Sandbox, clock: Clock
) -> None:
    payment = make_sold(sandbox)
    stripe.fails("stored_500", CREATE)
    refund = send(ask_refund(payment, 1000))
    stripe.fails("5xx", LIST)
    clock.move(minutes=10)

    refund = send(refund)

    assert (refund.status, refund.absent_reads, refund.epoch) == ("UNKNOWN", 0, 1)


# --- What the bank makes of it -------------------------------------------------


@pytest.mark.parametrize("status", ["pending", "requires_action"])
def test_a_refund_that_is_on_its_way_is_looked_at_once_a_day(
    stripe: Stripe, sandbox: Sandbox, clock: Clock, status: str
) -> None:
    payment = make_sold(sandbox)
    stripe.tell("refunds/next", status=status)
    refund = send(ask_refund(payment, 1000))
    assert refund.status == status.upper()
    assert counters(payment.payable_id)[2:4] == (0, 1000)
    assert attempt_refunds() == 0

    stripe.tell("refunds", refund=refund.provider_id, status="succeeded")
    clock.move(days=1, seconds=1)
    attempt_refunds()

    assert Refund.objects.get().status == "SUCCEEDED"
    assert counters(payment.payable_id)[2:4] == (1000, 0)


def test_one_that_stays_on_its_way_is_no_trouble(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    stripe.tell("refunds/next", status="pending", pending_reason="insufficient_funds")
    refund = send(ask_refund(payment, 1000))

    refund = send(refund)

    assert (refund.status, refund.pending_reason) == ("PENDING", "insufficient_funds")
    assert open_kinds() == []


def test_while_stripe_does_not_answer_one_on_its_way_is_not_asked_for_at_once_again(
    stripe: Stripe,
) -> None:
    payment = begin_paid(stripe)
    stripe.tell("refunds/next", status="pending")
    refund = send(ask_refund(payment, 1000))
    stripe.fails("5xx", "refunds.retrieve")

    refund = send(refund)

    assert refund.status == "PENDING"
    assert attempt_refunds() == 0


def test_one_that_cannot_be_asked_for_all_day_is_asked_for_tomorrow(
    stripe: Stripe,
) -> None:
    payment = begin_paid(stripe)
    stripe.tell("refunds/next", status="pending")
    refund = send(ask_refund(payment, 1000))
    Refund.objects.update(attempts=10)
    stripe.fails("5xx", "refunds.retrieve")

    refund = send(refund)

    assert (refund.status, refund.lease_token) == ("PENDING", None)
    assert refund.next_run_at is not None
    assert attempt_refunds() == 0


def test_a_refund_that_fails_at_once_stands_in_a_case(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    stripe.tell("refunds/next", status="failed", failure_reason="declined")

    refund = send(ask_refund(payment, 1000))

    assert (refund.status, refund.failure_reason) == ("FAILED", "declined")
    assert counters(payment.payable_id)[2:4] == (0, 0)
    case = Case.objects.get()
    assert case.kind == "refund_failure"
    assert "declined" in case.cause
    assert events("failed") == 1


def test_a_bank_may_send_the_money_back_days_later(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    refund = send(ask_refund(payment, 1000))
    stripe.tell("refunds", refund=refund.provider_id, status="failed")
    store_event("refund.failed", str(refund.provider_id))

    process_all()

    refund.refresh_from_db()
    assert (refund.status, refund.settled_at) == ("FAILED", None)
    assert counters(payment.payable_id) == (2400, 2400, 0, 0, 0)
    assert open_kinds() == ["refund_failure"]
    assert (events("settled"), events("failed")) == (1, 1)


# --- Made elsewhere ------------------------------------------------------------


def outside(stripe: Stripe, payment: CardPayment, amount: int) -> dict[str, Any]:
    made: dict[str, Any] = stripe.tell(
        "dashboard/refunds", payment_intent=payment.provider_id, amount=amount
    )
    store_event("refund.created", made["id"])
    return made


def test_a_refund_that_a_person_made_at_stripe_counts(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    outside(stripe, payment, 1000)

    process_all()

    refund = Refund.objects.get()
    assert (refund.reason, refund.status) == ("OUTSIDE", "SUCCEEDED")
    assert counters(payment.payable_id) == (2400, 2400, 1000, 0, 0)
    with pytest.raises(RefundExceedsBalance):
        ask_refund(payment, 1401)


def test_a_promise_that_cannot_be_kept_any_more_is_withdrawn(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    refund = ask_refund(payment, 2000)
    outside(stripe, payment, 1000)

    process_all()

    refund.refresh_from_db()
    assert (refund.status, refund.provider_id) == ("CANCELED", None)
    assert counters(payment.payable_id) == (2400, 2400, 1000, 0, 0)
    assert open_kinds() == ["payment_mismatch"]
    assert attempt_refunds() == 0


def test_a_promise_that_can_still_be_kept_stays(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    refund = ask_refund(payment, 1400)
    outside(stripe, payment, 1000)
    process_all()

    assert send(refund).status == "SUCCEEDED"
    assert Case.objects.get().cause.endswith("it is due again.")


def test_what_was_given_back_elsewhere_before_ours_was_sent_is_not_promised_twice(
    stripe: Stripe,
) -> None:
    payment = begin_paid(stripe)
    refund = ask_refund(payment, 2400)
    stripe.fails("4xx", CREATE)
    assert send(refund).status == "NEEDS_STAFF"

    outside(stripe, payment, 2400)
    process_all()

    refund.refresh_from_db()
    assert refund.status == "CANCELED"
    assert counters(payment.payable_id) == (2400, 2400, 2400, 0, 0)
    assert open_kinds() == ["payment_mismatch"]


def test_a_refusal_after_the_money_went_back_elsewhere_is_no_failure(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = begin_paid(stripe)
    refund = ask_refund(payment, 2400)
    create = client.create_refund

    def create_a_moment_too_late(**asked: Any) -> Any:
        outside(stripe, payment, 2400)
        process_all()
        return create(**asked)

    monkeypatch.setattr(client, "create_refund", create_a_moment_too_late)
    refund = send(refund)

    assert refund.status == "CANCELED"
    assert events("failed") == 0
    assert open_kinds() == ["payment_mismatch"]


def test_already_refunded_by_us_is_found_and_is_a_success(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(payment, 2400))
    stripe.tell("idempotency", expire="all")  # as if Stripe had lost the key early

    refund = send(refund)

    assert refund.status == "SUCCEEDED"
    assert sent_back(stripe) == [2400]


def test_already_refunded_by_somebody_else_is_a_failure_of_ours(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    refund = ask_refund(payment, 2400)
    stripe.tell("dashboard/refunds", payment_intent=payment.provider_id, amount=2400)

    refund = send(refund)

    assert refund.status == "NEEDS_STAFF"
    assert "charge_already_refunded" in Case.objects.get().cause


# --- Asked about ---------------------------------------------------------------


def test_what_stripe_says_of_a_refund_is_recorded(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(payment, 1000))

    reconcile_refund(refund_id=refund.pk)

    refund.refresh_from_db()
    assert (refund.status, refund.absent_reads) == ("SUCCEEDED", 0)


def test_one_that_was_made_is_asked_for_by_its_id(stripe: Stripe) -> None:
    refund = send(ask_refund(begin_paid(stripe), 1000))
    stripe.tell("refunds", refund=refund.provider_id, status="failed")

    reconcile_refund(refund_id=refund.pk)

    refund.refresh_from_db()
    assert refund.status == "FAILED"


def test_two_looks_in_one_breath_are_one(
    stripe: Stripe, sandbox: Sandbox, clock: Clock
) -> None:
    payment = make_sold(sandbox)
    stripe.fails("hang", CREATE)
    refund = send(ask_refund(payment, 1000))

    seen = []
    for seconds in (0, 1, 60):
        clock.move(seconds=seconds)
        reconcile_refund(refund_id=refund.pk)
        refund.refresh_from_db()
        seen.append(refund.absent_reads)

    assert seen == [1, 1, 2]


def test_a_look_that_fails_says_nothing(stripe: Stripe) -> None:
    payment = begin_paid(stripe)
    stripe.fails("hang", CREATE)
    refund = send(ask_refund(payment, 1000))
    stripe.fails("5xx", LIST)

    reconcile_refund(refund_id=refund.pk)

    refund.refresh_from_db()
    assert (refund.status, refund.absent_reads) == ("UNKNOWN", 0)


def test_whoever_lost_its_lease_sends_nothing(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_refund(begin_paid(stripe), 1000)
    may_send = refund_calls._may_send

    def lose_the_lease(claimed: Refund) -> bool:
        Refund.objects.update(lease_token=uuid7())
        return may_send(claimed)

    monkeypatch.setattr(refund_calls, "_may_send", lose_the_lease)
    attempt_refunds()

    assert stripe.calls(CREATE) == 0
    assert AuditEntry.objects.filter(action="late_record_refused").exists()


@pytest.mark.parametrize(("stays_owed", "due"), [(False, 0), (True, 1000)])
def test_what_staff_give_back_is_owed_again_only_if_they_say_so(
    sandbox: Sandbox, stays_owed: bool, due: int
) -> None:
    booking = make_paid_booking(sandbox)
    assert booking.payable is not None

    refund_amount(
        payment_id=booking.payable.card_payments.get().pk,
        amount_minor=1000,
        staff_id=make_staff().pk,
        version=booking.payable.version,
        stays_owed=stays_owed,
    )
    run_due_work()

    booking.payable.refresh_from_db()
    assert (booking.payable.due_minor, booking.payable.refunded_minor) == (due, 1000)
