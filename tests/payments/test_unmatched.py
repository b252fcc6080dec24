"""Money at Stripe that belongs to nothing: tried for a while, then staff decide."""

from functools import partial
from typing import Any

import pytest

from payments.errors import PayableNotFound, PaymentNotFound
from payments.models import CardPayment, Payable, Refund
from payments.services.unmatched import link_payment, refund_unmatched
from recovery import inbox
from recovery.models import Case, InboxEvent
from slotbase.accounts.models import User
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.providers.stripe import client
from tests.adversity import Stripe
from tests.concurrency.race import at_once, errors_in
from tests.factories import make_booking, make_resource, make_staff
from tests.payments.money import (
    PRICE,
    begin,
    counters,
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


def make_foreign(stripe: Stripe, outcome: str = "succeed", **over: Any) -> str:
    """Somebody else's intent in the same account; returns its id."""
    wish: dict[str, Any] = {
        "amount_minor": 2400,
        "currency": "EUR",
        "metadata": {"shop": "7"},
        "description": "A mug",
        "idempotency_key": f"mug-{over or outcome}",
        "patience": client.Patience.WORKER,
    }
    intent = client.create_intent(**{**wish, **over})
    stripe.tell("pay", payment_intent=intent.id, outcome=outcome)
    return intent.id


def test_a_foreign_payment_that_nobody_made_is_ignored_at_once(stripe: Stripe) -> None:
    event = store_event(
        "payment_intent.payment_failed", make_foreign(stripe, "decline")
    )

    process_all()

    event.refresh_from_db()
    assert (event.status, event.attempts) == ("IGNORED", 1)
    assert open_kinds() == []


def test_money_is_tried_for_a_while_and_then_stands_in_a_case(
    stripe: Stripe, settings: Any
) -> None:
    settings.INBOX_RETRY_SECONDS = [5, 15]
    intent_id = make_foreign(stripe)
    event = store_event("payment_intent.succeeded", intent_id)

    states = []
    for _ in range(3):
        InboxEvent.objects.update(next_run_at=event.received_at)
        inbox.process_inbox()
        states.append((InboxEvent.objects.get().status, open_kinds()))

    assert states == [
        ("RETRY", []),
        ("RETRY", []),
        ("IGNORED", ["unmatched_payment"]),
    ]
    case = Case.objects.get()
    assert (case.subject_id, case.amount_minor) == (intent_id, 2400)


def test_what_commits_a_little_later_is_matched_after_all(stripe: Stripe) -> None:
    payment = begin(make_payable())
    assert payment.provider_id is not None
    stripe.tell("pay", payment_intent=payment.provider_id, outcome="succeed")
    CardPayment.objects.update(provider_id="pi_another")
    event = store_event("payment_intent.succeeded", payment.provider_id)
    inbox.process_inbox()
    CardPayment.objects.update(provider_id=payment.provider_id)
    process_all()

    event.refresh_from_db()
    assert event.status == "PROCESSED"
    assert counters(payment.payable_id)[1] == 2400


@pytest.fixture
def unmatched(stripe: Stripe) -> str:
    """Money that stands in a case; the id of its intent."""
    intent_id = make_foreign(stripe)
    store_event("payment_intent.succeeded", intent_id)
    process_all()
    return intent_id


def test_staff_link_it_to_a_booking(unmatched: str, bob: User) -> None:
    payable = make_payable(2400, reference="7K3QF-9XW2M")

    link_payment(intent_id=unmatched, reference=" 7k3qf-9xw2m ", staff_id=bob.pk)

    assert counters(payable.pk) == (2400, 2400, 0, 0, 0)
    assert open_kinds() == []
    assert Case.objects.get().close_reason == "It was matched."


def test_what_the_customer_could_still_pay_is_called_off(
    unmatched: str, bob: User
) -> None:
    payment = begin(make_payable(2400))

    link_payment(intent_id=unmatched, reference="ABCDE-12345", staff_id=bob.pk)

    payment.refresh_from_db()
    assert payment.cancel_requested_at is not None


def test_more_than_is_owed_is_a_question_of_its_own(unmatched: str, bob: User) -> None:
    payable = make_payable(2000)

    link_payment(intent_id=unmatched, reference=payable.reference, staff_id=bob.pk)

    assert open_kinds() == ["payment_mismatch"]


def test_another_currency_is_a_question_of_its_own(stripe: Stripe, bob: User) -> None:
    payable = make_payable(2400)
    intent_id = make_foreign(stripe, currency="USD")

    link_payment(intent_id=intent_id, reference=payable.reference, staff_id=bob.pk)

    assert counters(payable.pk)[1] == 0
    assert open_kinds() == ["payment_mismatch"]


def test_staff_give_it_back(stripe: Stripe, unmatched: str, bob: User) -> None:
    refund_unmatched(intent_id=unmatched, staff_id=bob.pk)

    refund = send(Refund.objects.get())
    assert (refund.status, refund.amount_minor) == ("SUCCEEDED", 2400)
    assert open_kinds() == []
    payable = Payable.objects.get()
    assert (payable.customer, payable.venue, payable.excess_minor) == (None, None, 0)


def test_it_is_given_back_or_linked_once(unmatched: str, bob: User) -> None:
    payable = make_payable()
    refund_unmatched(intent_id=unmatched, staff_id=bob.pk)

    with pytest.raises(InvalidState, match="already"):
        refund_unmatched(intent_id=unmatched, staff_id=bob.pk)
    with pytest.raises(InvalidState, match="already"):
        link_payment(intent_id=unmatched, reference=payable.reference, staff_id=bob.pk)

    assert Refund.objects.count() == 1


def test_a_reference_must_be_given_and_known(unmatched: str, bob: User) -> None:
    with pytest.raises(ValidationFailed) as refused:
        link_payment(intent_id=unmatched, reference="  ", staff_id=bob.pk)
    assert "reason" in refused.value.extra["errors"]

    with pytest.raises(PayableNotFound):
        link_payment(intent_id=unmatched, reference="NOBOD-Y1234", staff_id=bob.pk)


def test_what_was_not_paid_or_is_not_there_cannot_be_linked(
    stripe: Stripe, bob: User
) -> None:
    payable = make_payable()
    unpaid = make_foreign(stripe, "decline")

    with pytest.raises(InvalidState, match="not paid"):
        link_payment(intent_id=unpaid, reference=payable.reference, staff_id=bob.pk)
    with pytest.raises(PaymentNotFound):
        link_payment(intent_id="pi_gone", reference=payable.reference, staff_id=bob.pk)
    assert not CardPayment.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_link_one_payment_at_once_the_second_is_told(
    stripe: Stripe,
) -> None:
    intent_id = make_foreign(stripe)
    court = {"payment_mode": "AT_VENUE", "price_minor": PRICE}
    bookings = [make_booking(resource=make_resource(**court)) for _ in range(2)]
    staff_id = make_staff().pk

    outcomes = at_once(
        [
            partial(
                link_payment,
                intent_id=intent_id,
                reference=booking.reference,
                staff_id=staff_id,
            )
            for booking in bookings
        ]
    )

    assert [type(error) for error in errors_in(outcomes)] == [InvalidState]
    assert CardPayment.objects.filter(provider_id=intent_id).count() == 1
