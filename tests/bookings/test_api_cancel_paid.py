"""Cancelling what was paid, over the API: what goes back, once."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import Booking
from payments.models import CardPayment, Payable
from recovery.models import WorkflowRun
from slotbase.accounts.models import User
from tests.adversity import Clock, Stripe
from tests.bookings.refusals import refused
from tests.bookings.routes import client_of
from tests.bookings.till import act, cancel, confirm, look_at, pay_for
from tests.factories import (
    in_two_days,
    make_booking,
    make_customer,
    make_hold,
    make_priced_resource,
    make_resource,
)
from tests.payments.money import (
    ask_refund,
    make_cash,
    run_due_work,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def booking(alice: User, stripe: Stripe) -> Booking:
    """Alice's, paid by card."""
    hold = make_hold(customer=alice, resource=make_priced_resource())
    api = client_of(alice)
    pay_for(api, hold)
    act(stripe, hold)
    return Booking.objects.get(pk=confirm(api, hold).json()["id"])


def test_who_cancels_is_told_what_goes_back_and_where_to_look(
    api: APIClient, booking: Booking
) -> None:
    answer = cancel(api, booking, body={"reason": "Rain"})

    assert answer.status_code == 202
    address = f"/api/v1/bookings/{booking.pk}/"
    assert answer["Location"] == answer.json()["status_url"] == address
    assert (answer.json()["status"], answer.json()["refund_status"]) == (
        "CANCELLING",
        "PENDING",
    )
    (refund,) = answer.json()["refunds"]
    assert (refund["status"], refund["amount_minor"]) == ("REQUESTED", 2400)


def test_who_cancels_again_is_told_the_same_and_nothing_happens_twice(
    api: APIClient, booking: Booking, stripe: Stripe
) -> None:
    answers = [cancel(api, booking).status_code for _ in range(3)]
    run_due_work()
    answers.append(cancel(api, booking).status_code)

    assert answers == [202, 202, 202, 200]
    assert WorkflowRun.objects.count() == 1
    assert [e["amount"] for e in stripe.effects("refund_created")] == [2400]
    shown = look_at(api, f"bookings/{booking.pk}")
    assert (shown["status"], shown["payment_status"], shown["refund_status"]) == (
        *("CANCELLED", "REFUNDED"),
        "COMPLETE",
    )


def test_each_key_is_answered_as_it_was_the_first_time(
    api: APIClient, booking: Booking
) -> None:
    keys = ("k1", "k2")
    first = [cancel(api, booking, key=key).status_code for key in keys]
    run_due_work()

    again = [cancel(api, booking, key=key) for key in keys]

    assert first == [202, 202]
    assert [each.status_code for each in again] == [202, 202]
    assert {each["Idempotent-Replayed"] for each in again} == {"true"}
    assert {each.json()["status"] for each in again} == {"CANCELLED"}


def test_while_stripe_is_down_the_booking_is_cancelled_and_the_refund_waits(
    api: APIClient, booking: Booking, stripe: Stripe
) -> None:
    stripe.fails("hang", count=None)
    assert cancel(api, booking).status_code == 202

    run_due_work()

    shown = look_at(api, f"bookings/{booking.pk}")
    assert (shown["status"], shown["refund_status"]) == ("CANCELLED", "PENDING")


def test_a_refund_that_stripe_refuses_is_in_the_hands_of_staff(
    api: APIClient, booking: Booking, stripe: Stripe
) -> None:
    stripe.fails("4xx", "refunds.create")
    cancel(api, booking)

    run_due_work()

    shown = look_at(api, f"bookings/{booking.pk}")
    assert (shown["status"], shown["refund_status"]) == ("CANCELLED", "NEEDS_STAFF")


def test_what_staff_gave_back_before_does_not_go_back_again(
    api: APIClient, booking: Booking, stripe: Stripe
) -> None:
    ask_refund(CardPayment.objects.get(), 1000)
    run_due_work()
    assert look_at(api, f"bookings/{booking.pk}")["payment_status"] == (
        "PARTIALLY_REFUNDED"
    )

    cancel(api, booking)
    run_due_work()

    amounts = [e["amount"] for e in stripe.effects("refund_created")]
    assert amounts == [1000, 1400]


def test_who_has_nothing_paid_owes_nothing_after_cancelling(
    api: APIClient, alice: User
) -> None:
    resource = make_priced_resource("AT_VENUE")
    booking = make_booking(customer=alice, resource=resource)

    answer = cancel(api, booking)

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["refunds"]) == ("CANCELLED", [])
    assert (shown["payment_status"], shown["refund_status"]) == ("UNPAID", "NONE")
    assert Payable.objects.get().due_minor == 0
    assert not WorkflowRun.objects.exists()


def test_cash_is_paid_out_at_the_venue(api: APIClient, alice: User) -> None:
    resource = make_priced_resource("AT_VENUE")
    booking = make_booking(customer=alice, resource=resource)
    assert booking.payable is not None
    make_cash(booking.payable, 2400)

    assert cancel(api, booking).status_code == 202
    run_due_work()

    shown = look_at(api, f"bookings/{booking.pk}")
    assert (shown["status"], shown["refund_status"]) == ("CANCELLED", "NEEDS_STAFF")


def test_what_has_begun_cannot_be_cancelled(
    api: APIClient, booking: Booking, clock: Clock
) -> None:
    clock.move(seconds=(in_two_days(12) - booking.created_at).total_seconds() + 1)

    refused(lambda: cancel(api, booking), 409, "cancellation_closed")


def test_a_strangers_booking_is_not_there(booking: Booking) -> None:
    charlie = client_of(make_customer())

    refused(lambda: cancel(charlie, booking), 404, "not_found")


@pytest.mark.parametrize(
    "body", [{"refund": 2400}, {"reason": 1}, {"reason": "x" * 501}]
)
def test_what_cannot_be_understood_cancels_nothing(
    api: APIClient, booking: Booking, body: dict[str, Any]
) -> None:
    (field,) = body

    refused(lambda: cancel(api, booking, body=body), 400, "validation_error", field)


def test_what_is_free_needs_no_stripe(
    api: APIClient, alice: User, stripe: Stripe
) -> None:
    hold = make_hold(customer=alice, resource=make_resource())
    stripe.fails("hang", count=None)

    booking = confirm(api, hold).json()
    assert booking["payment_status"] is None
    assert cancel(api, Booking.objects.get(pk=booking["id"])).status_code == 200
    assert not Payable.objects.exists()
