"""What is kept of a price when a booking is cancelled."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import CancellationPolicy, CancellationTier, Resource
from bookings.services import cancelling
from bookings.terms import quote
from slotbase.accounts.models import User
from tests.bookings.document import check_against_document
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_booking, make_resource, make_venue
from tests.payments.money import effects_of, make_paid_booking, run_due_work

START = datetime(2030, 5, 1, 12, tzinfo=UTC)
DAY = {"hours_before": 24, "keep_percent": 0, "keep_minor": 0}
HALF = {"hours_before": 6, "keep_percent": 50, "keep_minor": 100}


def make_strict_resource(**over: Any) -> Resource:
    """Free until 72 h before; then half and 1.00 until 6 h before; then nothing."""
    venue = make_venue()
    policy = CancellationPolicy.objects.create(venue=venue, name="Strict")
    for tier in ({**DAY, "hours_before": 72}, HALF):
        CancellationTier.objects.create(policy=policy, **tier)
    return make_resource(venue=venue, cancellation_policy=policy, **over)


@pytest.mark.parametrize(
    ("hours_left", "fee", "until"),
    [
        (30, 0, 24),
        (24, 0, 24),
        (23.9, 600, 6),
        (6, 600, 6),
        (5.9, 1000, 0),
        (0, 1000, 0),
    ],
)
def test_the_fee_grows_as_the_start_comes_near(
    hours_left: float, fee: int, until: int
) -> None:
    now = START - timedelta(hours=hours_left)

    found = quote([HALF, DAY], price_minor=1000, start=START, now=now)

    assert found.fee_minor == fee
    assert found.until == START - timedelta(hours=until)


def test_without_terms_nothing_is_kept_until_the_start() -> None:
    found = quote([], price_minor=1000, start=START, now=START - timedelta(seconds=1))

    assert (found.fee_minor, found.until) == (0, START)


def test_a_fee_is_never_more_than_the_price() -> None:
    dear = {"hours_before": 0, "keep_percent": 90, "keep_minor": 5000}

    assert quote([dear], price_minor=1000, start=START, now=START).fee_minor == 1000


def test_a_half_cent_is_rounded_up() -> None:
    half = {"hours_before": 0, "keep_percent": 50, "keep_minor": 0}

    assert quote([half], price_minor=1001, start=START, now=START).fee_minor == 501


@pytest.mark.django_db
def test_the_api_says_what_it_would_cost(api: APIClient, alice: User) -> None:
    resource = make_strict_resource(payment_mode="AT_VENUE", price_minor=1000)
    booking = make_booking(resource=resource, customer=alice)

    answer = api.get(f"/api/v1/bookings/{booking.pk}/cancellation-quote/")

    assert answer.status_code == 200, answer.content
    check_against_document(answer)
    body = answer.json()
    assert (body["fee_minor"], body["refund_minor"]) == (1100, 0)
    shown = api.get(f"/api/v1/bookings/{booking.pk}/")
    check_against_document(shown)
    assert [t["hours_before"] for t in shown.json()["cancellation_terms"]] == [72, 6]
    court = api.get(f"/api/v1/resources/{resource.pk}/")
    check_against_document(court)
    assert court.json()["cancellation_terms"] == shown.json()["cancellation_terms"]


@pytest.mark.django_db
def test_what_cannot_be_cancelled_has_no_quote(api: APIClient, alice: User) -> None:
    booking = make_booking(customer=alice)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=alice.pk)

    answer = api.get(f"/api/v1/bookings/{booking.pk}/cancellation-quote/")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_cancellable")


@pytest.mark.django_db
def test_an_unpaid_booking_that_is_cancelled_late_owes_the_fee() -> None:
    resource = make_strict_resource(payment_mode="AT_VENUE", price_minor=1000)
    booking = make_booking(resource=resource)

    cancelled = cancelling.cancel_booking(
        booking_id=booking.pk, customer_id=booking.customer_id
    )

    assert cancelled.status == "CANCELLED"
    assert cancelled.payable is not None
    assert cancelled.payable.due_minor == 1100
    kinds = cancelled.payable.lines.order_by("id").values_list("kind", flat=True)
    assert [*kinds] == ["PRICE", "WAIVER", "FEE"]


@pytest.mark.django_db(transaction=True)
def test_of_a_paid_booking_the_fee_is_kept_and_the_rest_goes_back(
    sandbox: Sandbox,
) -> None:
    resource = make_strict_resource(payment_mode="ONLINE", price_minor=1000)
    booking = make_paid_booking(sandbox, resource=resource, start=in_two_days(12))

    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()

    assert [e["amount"] for e in effects_of(sandbox, "refund_created")] == [900]
    booking.refresh_from_db()
    assert booking.status == "CANCELLED"
    assert booking.payable is not None
    assert (booking.payable.kept_minor, booking.payable.owed_minor) == (1100, 1100)


@pytest.mark.django_db
def test_what_was_agreed_stays_whatever_the_venue_changes(alice: User) -> None:
    resource = make_strict_resource(payment_mode="AT_VENUE", price_minor=1000)
    booking = make_booking(resource=resource, customer=alice)

    CancellationTier.objects.update(keep_percent=100)

    booking.refresh_from_db()
    assert booking.cancellation_terms[-1]["keep_percent"] == 50
