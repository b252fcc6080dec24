"""What Celery may ask of payments: a name and one call each."""

from typing import Any

import pytest

from payments import tasks
from payments.models import CardPayment, Reconciliation, Refund
from slotbase.lib.clock import Now
from tests.adversity import Stripe
from tests.payments.money import ask_refund, begin, make_payable, make_sold

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("is_named", [True, False])
def test_a_card_payment_is_attempted(stripe: Stripe, *, is_named: bool) -> None:
    payment = begin(make_payable())
    stripe.tell("pay", payment_intent=payment.provider_id, outcome="succeed")
    CardPayment.objects.update(next_run_at=Now())
    only: dict[str, Any] = {"id": str(payment.pk)} if is_named else {}

    tasks.attempt_card_payment(**only, something_new="ignored")

    payment.refresh_from_db()
    assert payment.status == "SUCCEEDED"


@pytest.mark.parametrize("is_named", [True, False])
def test_a_refund_is_attempted(stripe: Stripe, sandbox: Any, *, is_named: bool) -> None:
    refund = ask_refund(make_sold(sandbox), 1000)
    only: dict[str, Any] = {"id": str(refund.pk)} if is_named else {}

    tasks.attempt_refund(**only)
    tasks.attempt_refund(**only)

    refund.refresh_from_db()
    assert refund.status == "SUCCEEDED"
    assert len(stripe.effects("refund_created")) == 1


def test_stripe_is_asked_about_a_refund(stripe: Stripe, sandbox: Any) -> None:
    refund = ask_refund(make_sold(sandbox), 1000)

    tasks.reconcile_refund(refund_id=str(refund.pk))

    assert Refund.objects.get().absent_reads == 1


def test_the_list_of_events_is_read(stripe: Stripe) -> None:
    tasks.reconcile_events()

    assert Reconciliation.objects.get().seen_until is not None
