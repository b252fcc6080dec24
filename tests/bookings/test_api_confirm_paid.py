"""Confirming what must be paid, over the API, and what late money buys."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import BookingHold
from payments.models import CardPayment, Refund
from slotbase.accounts.models import User
from tests.adversity import Clock, Stripe
from tests.bookings.refusals import read_problem, refused
from tests.bookings.till import act, confirm, look_at, pay_for
from tests.factories import (
    make_hold,
    make_priced_resource,
)
from tests.payments.money import (
    ask_refund,
    process_all,
    run_due_work,
    store_event,
)

pytestmark = pytest.mark.django_db

CREATE, RETRIEVE = "payment_intents.create", "payment_intents.retrieve"


def test_who_paid_gets_the_booking_and_the_same_one_again(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    act(stripe, hold)

    answer = confirm(api, hold)
    again = confirm(api, hold)

    assert (answer.status_code, again.status_code) == (201, 200)
    assert answer.json() == again.json()
    assert answer.json()["payment_status"] == "PAID"
    assert answer.json()["refund_status"] == "NONE"
    assert look_at(api, f"holds/{hold.pk}")["booking"] == answer.json()["id"]


def test_who_did_not_pay_has_to(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    refused(lambda: confirm(api, hold), 402, "payment_required")
    pay_for(api, hold)
    read_problem(confirm(api, hold), 402, "payment_required")
    act(stripe, hold, "abandon")
    read_problem(confirm(api, hold), 402, "payment_required")

    assert look_at(api, f"holds/{hold.pk}")["status"] == "ACTIVE"


def test_a_declined_card_and_then_a_good_one(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    act(stripe, hold, "insufficient_funds")
    answer = confirm(api, hold, key="k1")
    read_problem(answer, 402, "card_declined")
    assert "insufficient" not in answer.content.decode()

    act(stripe, hold)

    assert confirm(api, hold, key="k1").status_code == 201


@pytest.mark.parametrize("outcome", ["processing", "require_action"])
def test_while_the_bank_is_at_it_the_customer_waits_with_a_grace(
    api: APIClient, hold: BookingHold, stripe: Stripe, clock: Clock, outcome: str
) -> None:
    pay_for(api, hold)
    act(stripe, hold, outcome)
    clock.move(seconds=200)
    before = BookingHold.objects.get().expires_at

    answer = confirm(api, hold, key="k1")

    assert answer.status_code == 202
    assert (
        answer["Location"] == answer.json()["status_url"] == f"/api/v1/holds/{hold.pk}/"
    )
    assert answer.json()["status"] == "payment_processing"
    assert BookingHold.objects.get().expires_at > before
    act(stripe, hold)
    assert confirm(api, hold, key="k1").status_code == 201


def test_while_stripe_does_not_answer_the_customer_waits(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    act(stripe, hold)
    stripe.fails("hang", RETRIEVE)

    assert confirm(api, hold).status_code == 202

    run_due_work()
    assert confirm(api, hold).status_code == 200


def test_the_webhook_confirms_without_the_client(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    store_event("payment_intent.succeeded", act(stripe, hold))

    run_due_work()

    shown = look_at(api, f"holds/{hold.pk}")
    assert (shown["status"], shown["payment"]) == ("CONFIRMED", None)
    booking = look_at(api, f"bookings/{shown['booking']}")
    assert (booking["status"], booking["payment_status"]) == ("CONFIRMED", "PAID")


def test_a_payment_that_is_still_being_made_is_not_a_refusal(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    stripe.fails("hang", CREATE)
    pay_for(api, hold)

    assert confirm(api, hold).status_code == 202


def test_who_may_choose_pays_at_the_venue_and_the_card_payment_is_called_off(
    api: APIClient, either: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, either)
    read_problem(confirm(api, either), 402, "payment_required")

    answer = confirm(api, either, body={"pay": "at_venue"})

    assert answer.status_code == 201
    assert answer.json()["payment_status"] == "UNPAID"
    assert look_at(api, f"holds/{either.pk}")["payment"]["client_secret"] is None
    run_due_work()
    assert CardPayment.objects.get().status == "CANCELED"
    assert len(stripe.effects("payment_intent_canceled")) == 1


def test_who_pays_at_the_venue_does_not_wait_for_stripe(
    api: APIClient, either: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, either)
    stripe.fails("hang", count=None)

    assert confirm(api, either, body={"pay": "at_venue"}).status_code == 201


def test_who_had_paid_by_card_and_says_at_the_venue_has_paid(
    api: APIClient, either: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, either)
    act(stripe, either)
    booking = confirm(api, either, body={"pay": "at_venue"}).json()

    run_due_work()

    assert look_at(api, f"bookings/{booking['id']}")["payment_status"] == "PAID"


@pytest.mark.parametrize(
    ("mode", "pay"), [("ONLINE", "at_venue"), ("AT_VENUE", "online")]
)
def test_nobody_chooses_what_is_not_offered(
    api: APIClient, alice: User, mode: str, pay: str
) -> None:
    hold = make_hold(customer=alice, resource=make_priced_resource(mode))

    refused(lambda: confirm(api, hold, body={"pay": pay}), 402, "payment_required")


@pytest.mark.parametrize("pay", ["cash", "", None, 1, ["online"]])
def test_a_way_to_pay_that_is_none_names_its_field(
    api: APIClient, either: BookingHold, pay: Any
) -> None:
    refused(
        lambda: confirm(api, either, body={"pay": pay}), 400, "validation_error", "pay"
    )


def test_money_that_came_in_time_and_is_not_decided_yet_is_no_refusal(
    api: APIClient, hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_for(api, hold)
    store_event("payment_intent.succeeded", act(stripe, hold))
    process_all()
    clock.move(seconds=301)

    answer = confirm(api, hold)

    assert answer.status_code == 201
    assert answer.json()["payment_status"] == "PAID"


def test_who_paid_too_late_gets_the_slot_if_it_is_still_free(
    api: APIClient, hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_for(api, hold)
    act(stripe, hold)
    clock.move(seconds=400)

    answer = confirm(api, hold)
    again = confirm(api, hold)

    assert (answer.status_code, again.status_code) == (201, 200)
    assert answer.json() == again.json()
    assert answer.json()["hold"] != str(hold.pk)
    shown = look_at(api, f"holds/{hold.pk}")
    assert (shown["status"], shown["booking"]) == ("EXPIRED", answer.json()["id"])


def test_who_paid_too_late_for_a_slot_that_is_gone_gets_the_money_back(
    api: APIClient, hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_for(api, hold)
    act(stripe, hold)
    clock.move(seconds=400)
    make_hold(resource=hold.resource)

    read_problem(confirm(api, hold), 410, "hold_expired")
    run_due_work()

    assert [e["amount"] for e in stripe.effects("refund_created")] == [2400]
    read_problem(confirm(api, hold), 410, "hold_expired")
    run_due_work()
    assert Refund.objects.count() == 1


def test_who_gave_the_slot_back_and_paid_all_the_same_gets_the_money_back(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    act(stripe, hold)
    assert api.delete(f"/api/v1/holds/{hold.pk}/").status_code == 204

    read_problem(confirm(api, hold), 409, "hold_released")
    run_due_work()

    assert [e["amount"] for e in stripe.effects("refund_created")] == [2400]


def test_money_that_staff_gave_back_before_buys_nothing(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    store_event("payment_intent.succeeded", act(stripe, hold))
    process_all()
    ask_refund(CardPayment.objects.get(), 2400)

    read_problem(confirm(api, hold), 402, "payment_required")
    assert pay_for(api, hold).status_code == 201
