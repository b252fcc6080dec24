"""What is shown of money: the payment that counts, and refunds in one word."""

import pytest
from django.db import transaction

from payments.models import CardPayment, Refund
from payments.queries import get_latest_card_payment, list_refunds, say_progress
from payments.services.refund_desk import retry_refund
from payments.states import RefundProgress, RefundStatus
from tests.adversity import Stripe
from tests.conftest import Sandbox
from tests.factories import make_staff
from tests.payments.money import ask_refund, begin, make_paid, make_payable, send

pytestmark = pytest.mark.django_db


def test_without_a_payment_there_is_none() -> None:
    assert get_latest_card_payment(make_payable().pk) is None
    assert list_refunds(None) == []


def test_the_open_payment_counts_before_a_newer_one_that_is_over(
    stripe: Stripe,
) -> None:
    payment = begin(make_payable())
    over = CardPayment(
        payable=payment.payable,
        status="CANCELED",
        amount_minor=1,
        currency="EUR",
        next_run_at=None,
    )
    with transaction.atomic():
        over.save()
        assert over.pk > payment.pk

        assert get_latest_card_payment(payment.payable_id) == payment
        CardPayment.objects.filter(pk=payment.pk).delete()
        assert get_latest_card_payment(payment.payable_id) == over
        transaction.set_rollback(True)


def test_of_a_refund_that_was_replaced_only_the_last_one_is_listed(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    payment = make_paid(sandbox)
    stripe.tell("refunds/next", status="failed")
    failed = send(ask_refund(payment, 1000))
    other = ask_refund(payment, 500)
    again = retry_refund(refund_id=failed.pk, staff_id=make_staff().pk)

    assert list_refunds(payment.payable) == [other, again]


def make(*states: RefundStatus, provider_id: str | None = None) -> list[Refund]:
    return [Refund(status=state, provider_id=provider_id) for state in states]


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ([], "NONE"),
        (["REQUESTED"], "PENDING"),
        (["SENDING", "UNKNOWN", "PENDING"], "PENDING"),
        (["SUCCEEDED"], "COMPLETE"),
        (["SUCCEEDED", "RESOLVED_OUT_OF_BAND"], "COMPLETE"),
        (["SUCCEEDED", "REQUESTED"], "PARTIAL"),
        (["SUCCEEDED", "NEEDS_STAFF"], "NEEDS_STAFF"),
        (["FAILED"], "NEEDS_STAFF"),
        (["CANCELED"], "NONE"),
        (["CANCELED", "SUCCEEDED"], "COMPLETE"),
    ],
)
def test_all_refunds_in_one_word(states: list[RefundStatus], word: str) -> None:
    assert say_progress(make(*states)) == RefundProgress(word)


def test_one_that_stripe_canceled_is_stuck() -> None:
    refunds = make(RefundStatus.CANCELED, provider_id="re_1")

    assert say_progress(refunds) == RefundProgress.NEEDS_STAFF
