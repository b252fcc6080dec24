"""While Clerk is away an expired token confirms what a card pays for, and no more."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from rest_framework.test import APIClient

from bookings.models import Booking, BookingHold
from payments.models import CardPayment
from recovery.models import AuditEntry
from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services import signing_keys
from tests.adversity import Stripe
from tests.bookings.till import act, confirm, pay_for
from tests.conftest import Sandbox
from tests.factories import make_hold, make_priced_resource
from tests.payments.money import begin_payment

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk_is_away(sandbox: Sandbox, settings: Any) -> None:
    settings.CLERK_GRACE_SECONDS = 600
    signing_keys.refresh_signing_keys()
    SigningKeySet.objects.update(failed_at=F("fetched_at") + timedelta(microseconds=1))


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    """Of other tests: a process remembers for seconds whether Clerk is away."""
    signing_keys.forget_cached_keys()
    yield
    signing_keys.forget_cached_keys()


@pytest.fixture
def expired(sandbox: Sandbox, hold: BookingHold) -> APIClient:
    """The customer of the hold, with a token that expired a minute ago."""
    now = int(time.time())
    stamps = {"iat": now - 120, "nbf": now - 130, "exp": now - 60}
    api = APIClient()
    token = sandbox.token(hold.customer.clerk_id or "", claims=stamps)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return api


@pytest.mark.usefixtures("clerk_is_away")
def test_what_is_paid_is_booked(
    expired: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    """F83: the money is there, and the slot is not lost."""
    begin_payment(hold)
    act(stripe, hold)

    assert confirm(expired, hold).status_code == 201

    assert Booking.objects.get().hold_id == hold.pk
    assert AuditEntry.objects.filter(action="auth.fallback_used").count() == 1


def test_while_clerk_is_there_it_is_not(
    expired: APIClient, hold: BookingHold, stripe: Stripe, settings: Any
) -> None:
    """The positive control: the same, but Clerk answers."""
    settings.CLERK_GRACE_SECONDS = 600
    begin_payment(hold)
    act(stripe, hold)

    answer = confirm(expired, hold)

    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert not Booking.objects.exists()


@pytest.mark.usefixtures("clerk_is_away")
def test_what_a_card_did_not_pay_is_not(
    expired: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    """S8: not even though the customer says they pay at the venue."""
    resource = make_priced_resource("EITHER")
    mine = make_hold(customer=hold.customer, resource=resource)
    begin_payment(mine)

    answer = confirm(expired, mine, body={"pay": "at_venue"})

    assert answer.status_code != 201
    assert not Booking.objects.exists()


@pytest.mark.usefixtures("clerk_is_away")
def test_a_payment_is_not_begun(
    expired: APIClient, hold: BookingHold, stripe: Stripe
) -> None:
    answer = pay_for(expired, hold)

    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert not CardPayment.objects.exists()
