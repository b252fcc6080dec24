"""Paying for a hold over the API: begun once, and shown while it is open."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import Booking, BookingHold
from bookings.services.holds import expire_due_holds, release_hold
from payments.models import CardPayment
from recovery.models import IdempotencyRecord
from slotbase.accounts.models import User
from slotbase.providers.stripe import client as stripe_client
from tests.adversity import Stripe
from tests.bookings.refusals import read_problem, refused
from tests.bookings.routes import client_of
from tests.bookings.till import act, cancel, confirm, look_at, pay_for
from tests.factories import (
    expire,
    make_booking,
    make_customer,
    make_hold,
    make_priced_resource,
)
from tests.payments.money import (
    make_cash,
    process_all,
    run_due_work,
    store_event,
)

pytestmark = pytest.mark.django_db

CREATE = "payment_intents.create"


def test_the_customer_is_shown_where_to_pay(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    answer = pay_for(api, hold)

    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["status_url"]) == ("OPEN", f"/api/v1/holds/{hold.pk}/")
    assert body["client_secret"].startswith("pi_")
    assert [e["amount"] for e in stripe.effects("payment_intent_created")] == [2400]


def test_while_stripe_does_not_answer_the_customer_is_told_where_to_look(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    stripe.fails("accept_then_hang", CREATE)

    answer = pay_for(api, hold)

    assert (answer.status_code, answer["Location"]) == (
        202,
        f"/api/v1/holds/{hold.pk}/",
    )
    assert answer.json()["client_secret"] is None
    assert answer.json()["status"] == "UNKNOWN"


def test_who_asks_again_gets_the_same_payment(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    answers = [pay_for(api, hold).json() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert len(stripe.effects("payment_intent_created")) == 1


def test_after_an_answer_that_was_lost_the_next_try_shows_where_to_pay(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    stripe.fails("reset_after_effect", CREATE)
    assert pay_for(api, hold).status_code == 202
    CardPayment.objects.update(next_run_at="2020-01-01T00:00Z")

    answer = pay_for(api, hold)

    assert answer.status_code == 201
    assert answer.json()["client_secret"]
    assert len(stripe.effects("payment_intent_created")) == 1


def test_the_same_key_is_answered_with_the_payment_as_it_is_now(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    stripe.fails("5xx", CREATE, status=503)
    first = pay_for(api, hold, key="k1")
    CardPayment.objects.update(next_run_at="2020-01-01T00:00Z", is_key_spent=False)
    run_due_work()

    again = pay_for(api, hold, key="k1")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again["Idempotent-Replayed"] == "true"
    assert again.json()["client_secret"]


def test_a_key_is_required_and_is_for_one_request(
    api: APIClient, hold: BookingHold, either: BookingHold, stripe: Stripe
) -> None:
    refused(lambda: pay_for(api, hold, key=None), 400, "idempotency_key_required")
    pay_for(api, hold, key="k1")

    refused(lambda: pay_for(api, either, key="k1"), 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    "body", [{"amount": 1}, {"amount_minor": 1}, {"status": "PAID"}]
)
def test_nobody_names_their_own_price(
    api: APIClient, hold: BookingHold, body: dict[str, Any]
) -> None:
    (field,) = body

    refused(lambda: pay_for(api, hold, body=body), 400, "validation_error", field)


@pytest.mark.parametrize("mode", ["FREE", "AT_VENUE"])
def test_what_is_not_paid_online_has_no_card_payment(
    api: APIClient, alice: User, mode: str
) -> None:
    price = 0 if mode == "FREE" else 1200
    resource = make_priced_resource(mode, price_minor=price)
    hold = make_hold(customer=alice, resource=resource)

    refused(lambda: pay_for(api, hold), 409, "invalid_state")


def test_what_is_booked_or_paid_is_not_paid_for_again(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    store_event("payment_intent.succeeded", act(stripe, hold))
    process_all()
    refused(lambda: pay_for(api, hold), 409, "invalid_state")

    run_due_work()

    assert Booking.objects.filter(hold=hold).exists()
    refused(lambda: pay_for(api, hold), 409, "invalid_state")


def test_what_is_not_kept_any_more_is_not_paid_for(
    api: APIClient, alice: User, hold: BookingHold
) -> None:
    expire(hold)
    refused(lambda: pay_for(api, hold), 410, "hold_expired")
    expire_due_holds(limit=10)
    refused(lambda: pay_for(api, hold), 410, "hold_expired")

    given_back = make_hold(customer=alice, resource=hold.resource)
    release_hold(hold_id=given_back.pk, customer_id=alice.pk)
    refused(lambda: pay_for(api, given_back), 409, "hold_released")


def test_a_strangers_hold_is_not_there(hold: BookingHold) -> None:
    charlie = client_of(make_customer())

    refused(lambda: pay_for(charlie, hold), 404, "not_found")
    refused(lambda: confirm(charlie, hold), 404, "not_found")


def test_while_our_breaker_is_open_nothing_is_begun(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    stripe.fails("4xx", "charges.retrieve", status=429, count=5)
    for _ in range(5):
        with pytest.raises(stripe_client.ProviderError):
            stripe_client.retrieve_charge("ch_1")

    answer = refused(lambda: pay_for(api, hold, key="k1"), 503, "try_again")

    assert answer["Retry-After"]
    stripe.works()
    assert pay_for(api, hold, key="k1").status_code == 201


def test_who_finds_too_many_at_it_is_sent_away_at_once(
    api: APIClient, hold: BookingHold, settings: Any, stripe: Stripe
) -> None:
    settings.WEB_THREADS = 2

    with stripe_client.bulkhead():
        refused(lambda: pay_for(api, hold), 503, "try_again")

    assert pay_for(api, hold).status_code == 201


def test_what_stripe_refuses_to_take_leaves_no_answer_to_the_key(
    api: APIClient, alice: User, stripe: Stripe
) -> None:
    cheap = make_priced_resource(price_minor=1)  # less than Stripe takes
    hold = make_hold(customer=alice, resource=cheap)

    read_problem(pay_for(api, hold, key="k1"), 409, "invalid_state")

    assert not IdempotencyRecord.objects.exists()
    assert CardPayment.objects.get().status == "CANCELED"
    read_problem(pay_for(api, hold, key="k1"), 409, "invalid_state")


def test_who_paid_something_else_is_not_asked_to_pay_again(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    store_event("payment_intent.succeeded", act(stripe, hold, amount=2399))
    process_all()

    refused(lambda: pay_for(api, hold), 409, "invalid_state")
    assert confirm(api, hold).status_code == 202


# --- Look --------------------------------------------------------------------


def test_an_app_that_lost_the_payment_finds_it_at_the_hold(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    assert look_at(api, f"holds/{hold.pk}")["payment"] is None
    made = pay_for(api, hold).json()

    assert look_at(api, f"holds/{hold.pk}")["payment"] == {
        "id": made["payment"],
        "status": "OPEN",
        "client_secret": made["client_secret"],
    }


def test_nobody_is_asked_to_pay_for_what_is_not_kept_any_more(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    expire(hold)

    shown = look_at(api, f"holds/{hold.pk}")

    assert (shown["status"], shown["payment"]["client_secret"]) == ("EXPIRED", None)


def test_the_history_of_a_booking_tells_of_its_money(
    api: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    pay_for(api, hold)
    act(stripe, hold)
    booking = Booking.objects.get(pk=confirm(api, hold).json()["id"])
    cancel(api, booking)
    run_due_work()

    entries = look_at(api, f"bookings/{booking.pk}/history")["results"]

    actions = [each["action"] for each in entries]
    for action in (
        *("card_payment.begun", "card_payment.succeeded", "booking.confirmed"),
        *("booking.cancelling", "refund.requested", "refund.succeeded"),
        "booking.cancelled",
    ):
        assert action in actions
    assert {each["by"] for each in entries} <= {"customer", "system"}


def test_the_history_tells_of_cash_and_not_who_took_it(
    api: APIClient, alice: User
) -> None:
    resource = make_priced_resource("AT_VENUE")
    booking = make_booking(customer=alice, resource=resource)
    assert booking.payable is not None
    make_cash(booking.payable, 2400)

    entries = look_at(api, f"bookings/{booking.pk}/history")["results"]

    assert [e["by"] for e in entries if e["action"] == "payment.recorded"] == ["staff"]
