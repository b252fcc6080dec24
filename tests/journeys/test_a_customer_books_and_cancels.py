"""The main job over HTTP: find a slot, hold it, confirm it, see it, cancel it."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from slotbase.accounts.models import User
from tests.factories import in_two_days, make_customer, make_resource

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_customer_finds_holds_confirms_and_cancels_a_slot(
    api_of: Callable[[User], APIClient],
) -> None:
    court, alice = make_resource(), make_customer()
    api = api_of(alice)
    day = {"from": in_two_days(0).isoformat(), "to": in_two_days(23).isoformat()}
    address = f"/api/v1/resources/{court.pk}/availability/"

    slots = api.get(address, day).json()["slots"]
    wish = {"resource": court.pk} | {
        name: slots[5][name] for name in ("start_time", "end_time")
    }
    hold = api.post("/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "k1"})
    assert hold.status_code == 201, hold.content
    assert slots[5] not in api.get(address, day).json()["slots"]

    hold_address = f"/api/v1/holds/{hold.json()['id']}/"
    booking = api.post(f"{hold_address}confirm/", {}, "json")
    assert booking.status_code == 201, booking.content
    assert api.get(hold_address).json()["booking"] == booking.json()["id"]
    assert [b["id"] for b in api.get("/api/v1/bookings/").json()["results"]] == [
        booking.json()["id"]
    ]

    cancelled = api.post(
        f"/api/v1/bookings/{booking.json()['id']}/cancel/", {"reason": "ill"}, "json"
    )
    assert cancelled.status_code == 200, cancelled.content
    assert cancelled.json()["status"] == "CANCELLED"
    assert cancelled.json()["refund_status"] == "NONE"
    assert slots[5] in api.get(address, day).json()["slots"]
    history = api.get(f"/api/v1/bookings/{booking.json()['id']}/history/").json()
    assert [entry["action"] for entry in history["results"]] == [
        "hold.created",
        "hold.confirmed",
        "booking.confirmed",
        "booking.cancelling",
        "booking.cancelled",
    ]
