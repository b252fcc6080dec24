"""The main job with money: hold, pay by card, get a booking, cancel, get it back."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from slotbase.accounts.models import User
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_customer, make_resource
from tests.payments.money import effects_of, pay, run_due_work

pytestmark = pytest.mark.django_db(transaction=True)


def post(api: APIClient, path: str, body: dict[str, Any] | None = None) -> Any:
    return api.post(
        f"/api/v1{path}", body or {}, "json", headers={"Idempotency-Key": path}
    )


def test_a_customer_holds_pays_gets_a_booking_cancels_and_gets_the_money_back(
    api_of: Callable[[User], APIClient], sandbox: Sandbox
) -> None:
    court = make_resource(payment_mode="ONLINE", price_minor=1200)
    api = api_of(make_customer())
    wish = {
        "resource": court.pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }

    hold = post(api, "/holds/", wish).json()
    assert post(api, f"/holds/{hold['id']}/confirm/").status_code == 402
    payment = post(api, f"/holds/{hold['id']}/payment/")
    assert payment.status_code == 201, payment.content
    assert payment.json()["client_secret"]
    pay(sandbox, payment.json()["payment"])

    booking = post(api, f"/holds/{hold['id']}/confirm/")
    assert booking.status_code == 201, booking.content
    assert booking.json()["payment_status"] == "PAID"

    address = f"/bookings/{booking.json()['id']}"
    cancelled = post(api, f"{address}/cancel/")
    assert cancelled.status_code == 202, cancelled.content
    assert cancelled["Location"] == f"/api/v1{address}/"
    assert cancelled.json()["status"] == "CANCELLING"
    assert cancelled.json()["refund_status"] == "PENDING"

    run_due_work()
    seen = api.get(f"/api/v1{address}/").json()
    assert (seen["status"], seen["refund_status"]) == ("CANCELLED", "COMPLETE")
    assert seen["payment_status"] == "REFUNDED"
    assert [e["amount"] for e in effects_of(sandbox, "paid")] == [2400]
    assert [e["amount"] for e in effects_of(sandbox, "refund_created")] == [2400]
