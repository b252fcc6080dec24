"""Money other than asked for: staff count it, or give it back."""

from typing import Any

import pytest

from payments.errors import PaymentDisputed
from payments.models import CardPayment, Payable, Refund
from payments.services.mismatches import (
    accept_as_credit,
    has_money_in_question,
    refund_mismatch,
)
from recovery.models import AuditEntry, OutboxEvent
from slotbase.accounts.models import User
from slotbase.lib.errors import InvalidState
from tests.adversity import Stripe
from tests.factories import make_staff
from tests.payments.money import (
    begin,
    counters,
    look_now,
    make_cash,
    make_payable,
    open_kinds,
    process_all,
    send,
    store_event,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(db: None) -> User:
    return make_staff()


def make_odd(stripe: Stripe, **other: Any) -> CardPayment:
    """A payment that differs from what was asked for."""
    payment = begin(make_payable(2400))
    told = {"payment_intent": payment.provider_id, "outcome": "succeed", **other}
    stripe.tell("pay", **told)
    return look_now(payment)


def settled() -> int:
    return OutboxEvent.objects.filter(type="payments.payable_settled").count()


def test_staff_count_it_as_a_credit(stripe: Stripe, bob: User) -> None:
    payment = make_odd(stripe, amount=2399)
    before = settled()

    accept_as_credit(payable_id=payment.payable_id, staff_id=bob.pk)

    assert counters(payment.payable_id) == (2400, 2399, 0, 0, 0)
    assert Payable.objects.get().status == "PARTIALLY_PAID"
    assert open_kinds() == []
    assert settled() == before + 1
    entry = AuditEntry.objects.get(action="card_payment.accepted")
    assert entry.actor_id == str(bob.pk)


def test_another_currency_pays_nothing_here(stripe: Stripe, bob: User) -> None:
    payment = make_odd(stripe, currency="usd")

    with pytest.raises(InvalidState, match="USD"):
        accept_as_credit(payable_id=payment.payable_id, staff_id=bob.pk)

    assert open_kinds() == ["payment_mismatch"]


@pytest.mark.parametrize("other", [{"amount": 2399}, {"currency": "usd"}])
def test_staff_give_it_back_as_it_came(
    stripe: Stripe, bob: User, other: dict[str, Any]
) -> None:
    payment = make_odd(stripe, **other)
    assert has_money_in_question(payment.payable_id)

    refund_mismatch(payable_id=payment.payable_id, staff_id=bob.pk)

    refund = send(Refund.objects.get())
    assert (refund.status, refund.amount_minor, refund.currency) == (
        "SUCCEEDED",
        other.get("amount", 2400),
        other.get("currency", "eur").upper(),
    )
    assert counters(payment.payable_id) == (2400, 0, 0, 0, 0)
    assert open_kinds() == []
    assert not has_money_in_question(payment.payable_id)


def test_it_goes_back_once(stripe: Stripe, bob: User) -> None:
    payment = make_odd(stripe, amount=2399)
    refund_mismatch(payable_id=payment.payable_id, staff_id=bob.pk)

    with pytest.raises(InvalidState, match="nothing"):
        refund_mismatch(payable_id=payment.payable_id, staff_id=bob.pk)

    assert Refund.objects.count() == 1


def give_back_at_stripe(stripe: Stripe, payment: CardPayment, amount: int) -> None:
    """A person does so in the dashboard."""
    told = {"payment_intent": payment.provider_id, "amount": amount}
    made = stripe.tell("dashboard/refunds", **told)
    store_event("refund.created", made["id"])
    process_all()


def test_it_is_in_question_until_all_of_it_is_decided_about(
    stripe: Stripe, bob: User
) -> None:
    payment = make_odd(stripe, amount=1500)
    give_back_at_stripe(stripe, payment, 100)
    assert has_money_in_question(payment.payable_id)

    refund_mismatch(payable_id=payment.payable_id, staff_id=bob.pk)

    assert Refund.objects.get(reason="STAFF").amount_minor == 1400
    assert not has_money_in_question(payment.payable_id)


def test_what_went_back_in_another_way_is_not_in_question(stripe: Stripe) -> None:
    payment = make_odd(stripe, amount=1500)

    give_back_at_stripe(stripe, payment, 1500)

    assert not has_money_in_question(payment.payable_id)


def test_what_a_bank_decides_about_is_not_in_question(stripe: Stripe) -> None:
    payment = make_odd(stripe, amount=1500)
    opened = stripe.tell("disputes", payment_intent=payment.provider_id)

    store_event("charge.dispute.created", opened["id"])
    process_all()

    assert not has_money_in_question(payment.payable_id)


def test_of_a_second_payment_only_what_is_too_much_goes_back(
    stripe: Stripe, bob: User
) -> None:
    payable = make_payable(2400)
    payment = begin(payable)
    make_cash(payable, 1000)
    stripe.tell("pay", payment_intent=payment.provider_id, outcome="succeed")
    look_now(payment)

    refund_mismatch(payable_id=payable.pk, staff_id=bob.pk)

    refund = Refund.objects.get()
    assert (refund.card_payment, refund.amount_minor) == (payment, 1000)
    assert open_kinds() == []


def test_a_payment_of_nothing_cannot_be_given_back_but_be_accepted(
    stripe: Stripe, bob: User
) -> None:
    payment = make_odd(stripe, amount=0)

    with pytest.raises(InvalidState):
        refund_mismatch(payable_id=payment.payable_id, staff_id=bob.pk)
    accept_as_credit(payable_id=payment.payable_id, staff_id=bob.pk)

    assert counters(payment.payable_id) == (2400, 0, 0, 0, 0)


def test_what_a_bank_decides_about_does_not_go_back(stripe: Stripe, bob: User) -> None:
    payment = make_odd(stripe, amount=2399)
    opened = stripe.tell("disputes", payment_intent=payment.provider_id, amount=1000)
    store_event("charge.dispute.created", opened["id"])
    process_all()

    with pytest.raises(PaymentDisputed):
        refund_mismatch(payable_id=payment.payable_id, staff_id=bob.pk)

    assert not Refund.objects.exists()
