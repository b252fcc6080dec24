"""Paying and confirming as services: what is durable before Stripe hears of it."""

import pytest

from bookings.errors import (
    HoldHasExpired,
    HoldIsReleased,
    HoldNotFound,
    NothingToPay,
    PaymentRequired,
    PaymentUndecided,
)
from bookings.models import Booking, BookingHold
from bookings.services.holds import release_hold
from bookings.services.paying import confirm_paid_hold, start_payment
from payments.errors import CardDeclined
from payments.models import CardPayment, Payable
from recovery.models import AuditEntry
from slotbase.lib.errors import Unavailable
from slotbase.providers.stripe import client
from tests.adversity import Clock, Stripe
from tests.bookings.till import act
from tests.factories import expire, make_customer
from tests.payments.money import begin_payment, process_all, store_event

pytestmark = pytest.mark.django_db


def confirm(hold: BookingHold, **more: str) -> tuple[Booking, bool]:
    return confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id, **more)


def test_what_is_owed_has_the_terms_of_the_hold(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)

    payable = Payable.objects.get()
    assert (payable.venue, payable.customer) == (hold.resource.venue, hold.customer)
    assert (payable.owed_minor, payable.currency) == (2400, "EUR")
    assert payable.title == str(hold)
    assert AuditEntry.objects.filter(action="payable.opened").count() == 1


def test_the_payment_is_there_though_stripe_never_answers(
    hold: BookingHold, stripe: Stripe
) -> None:
    stripe.fails("hang", "payment_intents.create")

    started = start_payment(hold_id=hold.pk, customer_id=hold.customer_id)

    assert (started.is_ready, started.payment.status) == (False, "UNKNOWN")


def test_a_price_that_changes_meanwhile_is_not_what_is_paid(
    hold: BookingHold, stripe: Stripe
) -> None:
    type(hold.resource).objects.update(price_minor=9900)

    assert begin_payment(hold).amount_minor == 2400


def test_what_cannot_be_paid_begins_nothing(
    hold: BookingHold, either: BookingHold
) -> None:
    with pytest.raises(HoldNotFound):
        start_payment(hold_id=hold.pk, customer_id=make_customer().pk)
    expire(hold)
    with pytest.raises(HoldHasExpired):
        begin_payment(hold)
    release_hold(hold_id=either.pk, customer_id=either.customer_id)
    with pytest.raises(HoldIsReleased):
        begin_payment(either)
    assert not Payable.objects.exists()


def test_a_full_bulkhead_begins_nothing(
    hold: BookingHold, stripe: Stripe, settings: object
) -> None:
    settings.WEB_THREADS = 2  # type: ignore[attr-defined]

    with client.bulkhead(), pytest.raises(Unavailable):
        begin_payment(hold)

    assert not CardPayment.objects.exists()


def test_what_stripe_said_is_recorded_whatever_becomes_of_the_hold(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    act(stripe, hold, "decline")

    with pytest.raises(CardDeclined):
        confirm(hold)

    assert CardPayment.objects.get().decline_code == "card_declined"


def test_a_refusal_of_the_bank_is_still_one_after_the_attempt_is_over(
    hold: BookingHold, stripe: Stripe
) -> None:
    payment = begin_payment(hold)
    act(stripe, hold, "decline")
    assert payment.provider_id is not None
    client.cancel_intent(payment.provider_id, idempotency_key="by hand")

    with pytest.raises(CardDeclined):
        confirm(hold)
    assert CardPayment.objects.get().status == "CANCELED"


def test_after_an_attempt_that_came_to_nothing_it_is_still_to_be_paid(
    hold: BookingHold, stripe: Stripe
) -> None:
    payment = begin_payment(hold)
    assert payment.provider_id is not None
    client.cancel_intent(payment.provider_id, idempotency_key="by hand")

    with pytest.raises(PaymentRequired):
        confirm(hold)
    assert begin_payment(hold).pk != payment.pk


def test_an_intent_that_stripe_does_not_know_is_looked_at_by_a_worker(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    begin_payment(hold)
    stripe.fails("5xx", "payment_intents.retrieve")
    clock.move(seconds=200)

    with pytest.raises(PaymentUndecided):
        confirm(hold)

    payment = CardPayment.objects.get()
    assert payment.next_run_at is not None
    hold.refresh_from_db()
    assert hold.grace_given_at is not None


def test_a_final_payment_is_not_asked_for_again(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    store_event("payment_intent.succeeded", act(stripe, hold))
    process_all()
    asked = stripe.calls("payment_intents.retrieve")

    booking, is_new = confirm(hold)

    assert is_new
    assert stripe.calls("payment_intents.retrieve") == asked
    assert confirm(hold) == (booking, False)


def test_of_a_booking_there_is_nothing_more_to_pay(
    either: BookingHold, stripe: Stripe
) -> None:
    confirm(either, pay="at_venue")

    with pytest.raises(NothingToPay):
        begin_payment(either)
