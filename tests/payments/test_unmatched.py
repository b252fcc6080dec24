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
    run_due_work,
    send,
    store_event,
)
from tests.payments.trouble import make_owing_booking

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(db: None) -> User:
    return make_staff("operations")  # all venues


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


@pytest.mark.case("unmatched_payment", "opens")
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


def test_it_is_not_linked_to_a_booking_of_a_venue_where_one_does_not_work(
    unmatched: str,
) -> None:
    here, there = make_owing_booking(), make_owing_booking()
    sue = make_staff("support", [here.resource.venue])

    with pytest.raises(PayableNotFound):
        link_payment(intent_id=unmatched, reference=there.reference, staff_id=sue.pk)
    link_payment(intent_id=unmatched, reference=here.reference, staff_id=sue.pk)

    assert counters(here.payable_id)[1] == 2400
    assert counters(there.payable_id)[1] == 0


def test_what_the_customer_could_still_pay_is_called_off(
    unmatched: str, bob: User
) -> None:
    payment = begin(make_payable(2400))

    link_payment(intent_id=unmatched, reference="ABCDE-12345", staff_id=bob.pk)

    payment.refresh_from_db()
    assert payment.cancel_requested_at is not None


def test_more_than_is_owed_is_a_question_of_its_own(stripe: Stripe, bob: User) -> None:
    booking = make_owing_booking()
    intent_id = make_foreign(stripe, amount_minor=3000)

    link_payment(intent_id=intent_id, reference=booking.reference, staff_id=bob.pk)
    run_due_work()

    assert open_kinds() == ["payment_mismatch"]
    assert Case.objects.get().amount_minor == 600


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


# --- What became of its money while it was nobody's -----------------------------


def give_back_at_stripe(stripe: Stripe, intent_id: str, amount: int) -> None:
    """A person does so in the dashboard; nobody here knows whose it is."""
    told = {"payment_intent": intent_id, "amount": amount}
    made = stripe.tell("dashboard/refunds", **told)
    event = store_event("refund.created", made["id"])
    process_all()
    event.refresh_from_db()
    assert event.status == "IGNORED"


def dispute_at_stripe(stripe: Stripe, intent_id: str) -> str:
    opened = stripe.tell("disputes", payment_intent=intent_id)
    event = store_event("charge.dispute.created", opened["id"])
    process_all()
    event.refresh_from_db()
    assert event.status == "IGNORED"
    id_: str = opened["id"]
    return id_


def end_dispute(stripe: Stripe, dispute_id: str, status: str) -> None:
    stripe.tell("disputes", dispute=dispute_id, status=status)
    store_event("charge.dispute.closed", dispute_id)
    process_all()
    run_due_work()


@pytest.mark.parametrize("amount", [1000, 2400])
def test_what_went_back_before_it_was_linked_is_not_there(
    stripe: Stripe, unmatched: str, bob: User, amount: int
) -> None:
    booking = make_owing_booking()
    give_back_at_stripe(stripe, unmatched, amount)

    link_payment(intent_id=unmatched, reference=booking.reference, staff_id=bob.pk)
    run_due_work()

    payable = Payable.objects.get()
    assert counters(payable.pk) == (2400, 2400, amount, 0, 0)
    assert payable.due_minor == amount
    refund = Refund.objects.get()
    assert (refund.reason, refund.status) == ("OUTSIDE", "SUCCEEDED")
    assert open_kinds() == []


def test_what_a_bank_asks_for_when_it_is_linked_is_not_ours(
    stripe: Stripe, unmatched: str, bob: User
) -> None:
    booking = make_owing_booking()
    dispute_id = dispute_at_stripe(stripe, unmatched)

    link_payment(intent_id=unmatched, reference=booking.reference, staff_id=bob.pk)

    payable = Payable.objects.get()
    assert counters(payable.pk) == (2400, 2400, 0, 0, 2400)
    assert open_kinds() == ["dispute"]

    end_dispute(stripe, dispute_id, "lost")
    assert counters(payable.pk) == (2400, 2400, 0, 0, 2400)
    assert open_kinds() == []


def test_a_dispute_that_was_over_before_it_was_linked_counts_as_it_ended(
    stripe: Stripe, unmatched: str, bob: User
) -> None:
    booking = make_owing_booking()
    end_dispute(stripe, dispute_at_stripe(stripe, unmatched), "lost")

    link_payment(intent_id=unmatched, reference=booking.reference, staff_id=bob.pk)

    assert counters(Payable.objects.get().pk) == (2400, 2400, 0, 0, 2400)
    assert open_kinds() == []


def test_only_what_is_left_of_it_is_given_back(
    stripe: Stripe, unmatched: str, bob: User
) -> None:
    give_back_at_stripe(stripe, unmatched, 1000)

    refund_unmatched(intent_id=unmatched, staff_id=bob.pk)
    run_due_work()

    ours = Refund.objects.get(reason="STAFF")
    assert (ours.status, ours.amount_minor) == ("SUCCEEDED", 1400)
    assert Payable.objects.get().status == "REFUNDED"
    assert open_kinds() == []


@pytest.mark.parametrize(("status", "amounts"), [("won", [2400]), ("lost", [])])
def test_what_a_bank_asks_for_is_given_back_once_it_is_won(
    stripe: Stripe, unmatched: str, bob: User, status: str, amounts: list[int]
) -> None:
    dispute_id = dispute_at_stripe(stripe, unmatched)

    refund_unmatched(intent_id=unmatched, staff_id=bob.pk)
    run_due_work()
    assert not Refund.objects.exists()
    assert open_kinds() == ["dispute"]

    end_dispute(stripe, dispute_id, status)
    assert [each["amount"] for each in stripe.effects("refund_created")] == amounts
    assert open_kinds() == []


@pytest.mark.parametrize("operation", ["refunds.list", "disputes.list"])
def test_nothing_is_taken_over_while_stripe_does_not_tell_all_of_it(
    stripe: Stripe, unmatched: str, bob: User, operation: str
) -> None:
    stripe.fails("5xx", operation)

    with pytest.raises(PaymentNotFound, match="later"):
        refund_unmatched(intent_id=unmatched, staff_id=bob.pk)

    assert not CardPayment.objects.exists()
    assert open_kinds() == ["unmatched_payment"]


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_link_one_payment_at_once_the_second_is_told(
    stripe: Stripe,
) -> None:
    intent_id = make_foreign(stripe)
    court = {"payment_mode": "AT_VENUE", "price_minor": PRICE}
    bookings = [make_booking(resource=make_resource(**court)) for _ in range(2)]
    staff_id = make_staff(is_superuser=True).pk

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
