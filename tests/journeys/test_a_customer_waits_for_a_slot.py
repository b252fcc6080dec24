"""The whole way over HTTP: taken, wait, offered, told, confirmed."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from notifications.tasks import send_email
from slotbase.accounts.models import User
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_booking, make_customer, make_resource
from tests.notifications.conftest import mails

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_customer_waits_and_gets_what_another_cancels(
    api_of: Callable[[User], APIClient], sandbox: Sandbox
) -> None:
    court, alice = make_resource(), make_customer(email="alice@example.com")
    charlie = make_customer("Charlie Cole")
    booking = make_booking(resource=court, customer=charlie)
    api = api_of(alice)
    wish = {
        "resource": court.pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }

    taken = api.post("/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "h1"})
    assert taken.status_code == 409
    joined = api.post(
        taken.json()["waitlist_url"], wish, "json", headers={"Idempotency-Key": "w1"}
    )
    assert (joined.status_code, joined.json()["position"]) == (201, 1)

    cancelled = api_of(charlie).post(f"/api/v1/bookings/{booking.pk}/cancel/")
    assert cancelled.status_code == 200, cancelled.content
    again = api_of(charlie).post(
        "/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "h2"}
    )
    assert again.status_code == 409

    entry = api.get(f"/api/v1/waitlist/{joined.json()['id']}/").json()
    assert entry["status"] == "OFFERED"
    send_email()
    (mail,) = (m for m in mails(sandbox) if m["to"] == ["alice@example.com"])
    assert mail["subject"].startswith("Yours if you want it")
    confirmed = api.post(f"/api/v1/holds/{entry['hold']}/confirm/", {}, "json")
    assert confirmed.status_code == 201, confirmed.content
    assert api.get("/api/v1/waitlist/").json()["results"] == []
