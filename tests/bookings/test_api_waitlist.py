"""The waitlist over HTTP: its owner, a stranger, and what makes no sense."""

from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import BookingHold, Resource, WaitlistEntry
from bookings.services import holds
from slotbase.accounts.models import User
from tests.bookings.document import check_against_document
from tests.bookings.refusals import read_problem, refused
from tests.bookings.routes import client_of
from tests.factories import (
    expire,
    in_two_days,
    make_customer,
    make_entry,
    make_hold,
    make_resource,
)

pytestmark = pytest.mark.django_db

LIST = "/api/v1/waitlist/"


def join(api: APIClient, wish: dict[str, Any], key: str | None = "k1") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(LIST, wish, "json", headers=headers)


def release(hold: BookingHold) -> None:
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)


def test_a_customer_waits_gets_the_offer_and_confirms_it(
    api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    hold = make_hold(resource=court)

    joined = join(api, wish)
    assert joined.status_code == 201
    body = joined.json()
    assert (body["status"], body["position"], body["hold"]) == ("WAITING", 1, None)
    address = f"{LIST}{body['id']}/"
    assert [e["id"] for e in api.get(LIST).json()["results"]] == [body["id"]]

    release(hold)
    offered = api.get(address).json()
    assert (offered["status"], offered["position"]) == ("OFFERED", None)
    assert offered["offered_until"]
    confirmed = api.post(f"/api/v1/holds/{offered['hold']}/confirm/", {}, "json")
    assert confirmed.status_code == 201
    assert api.get(address).json()["status"] == "CLAIMED"
    assert api.get(LIST).json()["results"] == []


def test_who_is_refused_a_slot_is_told_where_to_wait(
    api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    make_hold(resource=court)

    answer = api.post("/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "k1"})

    problem = read_problem(answer, 409, "slot_unavailable")
    assert problem["waitlist_url"] == LIST
    check_against_document(answer)


def test_the_same_key_and_the_same_wish_find_the_same_place(
    api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    make_hold(resource=court)

    first, replayed, again = (join(api, wish, key) for key in ("k1", "k1", "k2"))

    assert (first.status_code, replayed.status_code, again.status_code) == (
        *(201, 201, 200),
    )
    assert replayed["Idempotent-Replayed"] == "true"
    assert {each.json()["id"] for each in (first, replayed, again)} == {
        first.json()["id"]
    }
    assert WaitlistEntry.objects.count() == 1


def test_a_newcomer_is_refused_and_the_key_is_free_for_another_try(
    api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    late = make_hold(resource=court)
    entry = make_entry(resource=court)
    expire(late)
    try_to_hold = partial(
        api.post, "/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "k1"}
    )

    read_problem(try_to_hold(), 409, "slot_unavailable")
    entry.refresh_from_db()
    assert entry.status == "OFFERED"
    read_problem(try_to_hold(), 409, "slot_unavailable")

    client_of(entry.customer).delete(f"{LIST}{entry.pk}/")
    assert try_to_hold().status_code == 201


def test_an_offer_is_declined_and_left_over_http(
    api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    hold = make_hold(resource=court)
    address = f"{LIST}{join(api, wish).json()['id']}/"
    refused(partial(api.post, f"{address}decline/", {}, "json"), 409, "invalid_state")

    release(hold)
    declined = api.post(f"{address}decline/", {}, "json")
    assert (declined.status_code, declined.json()["status"]) == (200, "LEFT")
    assert [api.delete(address).status_code for _ in range(2)] == [204, 204]


def test_an_offer_that_became_a_booking_is_not_left(
    api: APIClient, wish: dict[str, Any]
) -> None:
    entry = join(api, wish).json()
    api.post(f"/api/v1/holds/{entry['hold']}/confirm/", {}, "json")

    refused(partial(api.delete, f"{LIST}{entry['id']}/"), 409, "invalid_state")


def test_a_stranger_finds_nothing(alice: User, court: Resource) -> None:
    entry = make_entry(resource=court, customer=alice)
    charlie = client_of(make_customer("Charlie Cole"))

    address = f"{LIST}{entry.pk}/"
    for send in (
        partial(charlie.get, address),
        partial(charlie.delete, address),
        partial(charlie.post, f"{address}decline/", {}, "json"),
    ):
        refused(send, 404, "not_found")
    assert charlie.get(LIST).json()["results"] == []
    entry.refresh_from_db()
    assert entry.status == "OFFERED"


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"resource": 0}, 400, "validation_error", "resource"),
        ({"resource": 10**9}, 404, "not_found", "resource"),
        ({"units": 0}, 400, "validation_error", "units"),
        ({"units": 2}, 400, "validation_error", "units"),
        ({"units": "1"}, 400, "validation_error", "units"),
        ({"start_time": "noon"}, 400, "validation_error", "start_time"),
        ({"end_time": "2020-01-01T10:00:00Z"}, 400, "validation_error", "end_time"),
        ({"hold": "x"}, 400, "validation_error", "hold"),
    ],
)
def test_a_wish_that_makes_no_sense_names_the_field(
    api: APIClient,
    wish: dict[str, Any],
    change: dict[str, Any],
    status: int,
    code: str,
    field: str,
) -> None:
    refused(partial(join, api, wish | change), status, code, field)


def test_to_join_needs_a_key(api: APIClient, wish: dict[str, Any]) -> None:
    refused(partial(join, api, wish, None), 400, "idempotency_key_required")


def test_whoever_waits_for_too_much_is_told(api: APIClient, alice: User) -> None:
    for _ in range(5):
        make_entry(resource=make_resource(), customer=alice)
    wish = {
        "resource": make_resource().pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }

    refused(partial(join, api, wish), 429, "waitlist_limit")
