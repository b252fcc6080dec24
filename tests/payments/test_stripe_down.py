"""Stripe is down: bookings are cancelled all the same, and the money follows.

What can follow by itself does; for the rest there is a case, which closes itself once
the customer has the money.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import requests

from bookings.models import Booking
from bookings.services import cancelling
from payments.models import Refund
from payments.queries import list_refunds, say_progress
from payments.services.refund_desk import retry_refund
from recovery import invariants
from recovery.models import Case
from slotbase.lib.clock import read_clock
from slotbase.lib.errors import Unavailable
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.factories import make_customer, make_resource, make_staff
from tests.payments.money import begin_payment, make_paid_booking, make_priced_hold
from tests.payments.sweeps import next_moment, sweep
from tests.product import Product, eventually
from tests.sandbox.client import free_port

in_one_process = pytest.mark.django_db(transaction=True)

FOR_EVER = 1_000_000


def be_down(stripe: Stripe, settings: Any, how: str) -> None:
    """From now on nobody reaches Stripe, or nobody is answered there."""
    if how == "unreachable":
        settings.STRIPE_API_BASE = f"http://127.0.0.1:{free_port()}"
    else:
        stripe.fails(how, count=FOR_EVER)


def be_up(stripe: Stripe, settings: Any, address: str) -> None:
    settings.STRIPE_API_BASE = address
    stripe.works()


def cancel(booking: Booking) -> None:
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)


def go_on_for(clock: Clock, stripe: Stripe, *, hours: float) -> None:
    """Workers do what is due, whenever it is."""
    end = read_clock() + timedelta(hours=hours)
    while (moment := next_moment()) < end:
        clock.go_on_at(moment)
        stripe.trust()
        sweep()
    clock.go_on_at(end)


def progress(booking: Booking) -> str:
    return say_progress(list_refunds(Booking.objects.get(pk=booking.pk).payable))


@in_one_process
@pytest.mark.parametrize("how", ["unreachable", "hang", "5xx", "reset_after_effect"])
def test_a_booking_is_cancelled_at_once_and_its_refund_follows(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, settings: Any, how: str
) -> None:
    address = settings.STRIPE_API_BASE
    booking = make_paid_booking(sandbox, customer=make_customer(email="a@example.com"))
    be_down(stripe, settings, how)

    began = read_clock()
    cancel(booking)
    sweep()
    booking.refresh_from_db()
    assert booking.status == "CANCELLED"
    assert (read_clock() - began).total_seconds() < 60
    go_on_for(clock, stripe, hours=1.5)
    assert progress(booking) == "PENDING"
    assert not Case.objects.exists()

    be_up(stripe, settings, address)
    go_on_for(clock, stripe, hours=4)

    assert progress(booking) == "COMPLETE"
    assert len(stripe.effects("refund_created")) == 1
    assert invariants.find_violations() == []


@in_one_process
def test_a_refund_that_used_all_its_attempts_stands_in_a_case_until_it_succeeds(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, settings: Any
) -> None:
    address = settings.STRIPE_API_BASE
    booking = make_paid_booking(sandbox)
    be_down(stripe, settings, "unreachable")

    cancel(booking)
    sweep()
    go_on_for(clock, stripe, hours=16)

    refund, case = Refund.objects.get(), Case.objects.get()
    assert (refund.status, refund.attempts) == ("NEEDS_STAFF", 7)
    assert (case.kind, case.status) == ("refund_failure", "OPEN")
    assert (case.subject_id, case.amount_minor) == (str(refund.pk), 2400)
    assert Booking.objects.get().status == "CANCELLED"
    assert progress(booking) == "NEEDS_STAFF"
    assert invariants.find_violations() == []

    be_up(stripe, settings, address)
    retry_refund(refund_id=refund.pk, staff_id=make_staff().pk)
    sweep()

    case.refresh_from_db()
    assert (progress(booking), case.status) == ("COMPLETE", "RESOLVED")
    assert len(stripe.effects("refund_created")) == 1


@in_one_process
def test_a_refund_that_may_have_happened_is_found_and_not_made_again(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, settings: Any
) -> None:
    """Stripe took it, said nothing, and forgot the key in the meantime."""
    address = settings.STRIPE_API_BASE
    booking = make_paid_booking(sandbox)
    cancel(booking)
    stripe.fails("reset_after_effect", "refunds.create")
    sweep()
    be_down(stripe, settings, "unreachable")
    go_on_for(clock, stripe, hours=16)
    assert progress(booking) == "NEEDS_STAFF"

    clock.move(hours=10)
    stripe.tell("idempotency", expire="all")
    be_up(stripe, settings, address)
    retry_refund(refund_id=Refund.objects.get().pk, staff_id=make_staff().pk)
    sweep()

    assert progress(booking) == "COMPLETE"
    assert len(stripe.effects("refund_created")) == 1
    assert Case.objects.get().status == "RESOLVED"


@in_one_process
@pytest.mark.parametrize(("price", "severity"), [(1200, "high"), (6000, "critical")])
@pytest.mark.case("refund_failure", "opens")
def test_a_refund_that_is_refused_for_good_has_a_case_at_once(
    sandbox: Sandbox, stripe: Stripe, price: int, severity: str
) -> None:
    court = make_resource(payment_mode="ONLINE", price_minor=price)
    booking = make_paid_booking(sandbox, resource=court)
    stripe.fails("4xx", "refunds.create")

    cancel(booking)
    sweep()

    assert Booking.objects.get().status == "CANCELLED"
    case, refund = Case.objects.get(), Refund.objects.get()
    assert (case.kind, case.severity) == ("refund_failure", severity)
    assert (refund.status, refund.attempts) == ("NEEDS_STAFF", 1)
    assert stripe.calls("refunds.create") == 1
    assert invariants.find_violations() == []


@in_one_process
def test_nobody_begins_to_pay_while_stripe_is_left_alone(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    stripe.fails("5xx", "payment_intents.create", count=5)
    for _ in range(5):
        begin_payment(make_priced_hold())
    calls = stripe.calls("payment_intents.create")

    with pytest.raises(Unavailable):
        begin_payment(make_priced_hold())

    assert stripe.calls("payment_intents.create") == calls


# --- The whole product, with workers that run --------------------------------------


@contextmanager
def hanging(product: Product) -> Iterator[None]:
    """Stripe takes calls and never answers."""
    address = f"{product.env['SANDBOX_URL']}/_sandbox/faults"
    fault = {"provider": "stripe", "operation": "*", "fault": "hang"}
    requests.post(address, json={**fault, "count": FOR_EVER}, timeout=10)
    try:
        yield
    finally:
        requests.delete(address, timeout=10)


def pay_and_book(product: Product, sub: str) -> str:
    """The path of a booking that was paid online."""
    [(court,)] = product.rows(
        "UPDATE bookings_resource SET payment_mode = 'EITHER'"
        " WHERE price_minor > 0 AND slug = 'court-2' AND venue_id ="
        " (SELECT id FROM accounts_venue WHERE slug = 'berlin') RETURNING id"
    )
    slot = product.free_slot(court, days=5)
    hold = product.call("POST", "/api/v1/holds/", sub, **slot).json()["id"]
    begun = product.call("POST", f"/api/v1/holds/{hold}/payment/", sub)
    assert begun.status_code == 201, begun.text
    [(intent,)] = product.rows(
        "SELECT provider_id FROM payments_cardpayment WHERE id = %s",
        begun.json()["payment"],
    )
    address = f"{product.env['SANDBOX_URL']}/_sandbox/stripe/pay"
    paid = {"payment_intent": intent, "outcome": "succeed"}
    requests.post(address, json=paid, timeout=10)
    booked = product.call("POST", f"/api/v1/holds/{hold}/confirm/", sub, pay="online")
    assert booked.status_code in {200, 201}, booked.text
    return f"/api/v1/bookings/{booked.json()['id']}/"


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_the_product_cancels_within_a_minute_while_stripe_hangs(
    product: Product,
) -> None:
    sub = "user_stripe_down"
    path = pay_and_book(product, sub)

    def seen(name: str) -> Any:
        return product.call("GET", path, sub).json()[name]

    with hanging(product):
        began = time.monotonic()
        answer = product.call("POST", f"{path}cancel/", sub)
        assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLING")
        eventually(lambda: seen("status") == "CANCELLED", seconds=60)
        assert time.monotonic() - began < 60
        assert seen("refund_status") == "PENDING"

    product.move_clock("+2m")
    eventually(lambda: seen("refund_status") == "COMPLETE", seconds=60)
    assert product.violations() == []
