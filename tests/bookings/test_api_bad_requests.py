"""Requests that are wrong before anybody looks at a field, at every endpoint."""

import json
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from rest_framework.test import APIClient

from tests.bookings.refusals import read_problem, refused
from tests.bookings.routes import (
    ALL,
    Route,
    post,
    posts,
    private,
    shortest_body,
)
from tests.factories import (
    make_booking,
    make_customer,
    make_entry,
    make_hold,
    make_resource,
)
from tests.notifications.pushes import register

pytestmark = pytest.mark.django_db

HOLDS = "/api/v1/holds/"
NOBODYS = UUID("b7f1e0a4-6c0d-4d52-9a3e-51c1f8f6a2d9")


# --- Method and Accept --------------------------------------------------------


@pytest.mark.parametrize("wrong", ["PUT", "PATCH", "TRACE", "BREW"])
def test_a_wrong_method_is_refused_and_the_right_ones_are_named(
    api: APIClient, routes: list[Route], wrong: str
) -> None:
    others = [route for route in routes if (wrong, route[1]) not in routes]
    for method, address in others:
        answer = refused(
            partial(api.generic, wrong, address), 405, "method_not_allowed"
        )
        assert method in answer["Allow"].split(", ")


def test_options_names_the_methods(api: APIClient, routes: list[Route]) -> None:
    for method, address in routes:
        answer = api.options(address)
        assert answer.status_code == 200
        assert method in answer["Allow"].split(", ")


def test_head_answers_like_get_without_a_body(
    api: APIClient, routes: list[Route]
) -> None:
    for address in [address for method, address in routes if method == "GET"]:
        looked, read = api.head(address), api.get(address)
        assert looked.status_code == read.status_code
        assert looked["Content-Type"] == read["Content-Type"]
        assert looked.getvalue() == b""


@pytest.mark.parametrize("accept", ["text/html", "image/*", "x", "application/xml;q=1"])
def test_whoever_does_not_accept_json_gets_a_problem_they_can_read(
    api: APIClient, routes: list[Route], accept: str
) -> None:
    headers = {"Accept": accept}
    for route in routes:
        refused(partial(api.generic, *route, headers=headers), 406, "not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/*", "text/html, */*;q=0.1"])
def test_whoever_accepts_anything_gets_json(api: APIClient, accept: str) -> None:
    answer = api.get("/api/v1/venues/", headers={"Accept": accept})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


def test_the_accept_header_alone_decides_about_the_format(api: APIClient) -> None:
    send = partial(api.get, "/api/v1/venues/", {"format": "xml"})

    refused(send, 400, "validation_error", "format")


# --- Addresses ----------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "/api/v1/",
        "/api/v1/nothing/",
        "/api/v2/holds/",
        "/api/v1/holds/1/",
        "/api/v1/holds/x/",
        "/api/v1/holds/%00/",
        "/api/v1/holds/%ff/",
        f"/api/v1/holds/{NOBODYS}x/",
        f"/api/v1/holds/{NOBODYS.hex}/",
        f"/api/v1/bookings/{str(NOBODYS).upper()}/",
        "/api/v1/bookings/0/history/",
        "/api/v1/resources/-1/",
        "/api/v1/resources/x/",
        "/api/v1/resources/1.0/",
        "/api/v1/resources/0/",
        "/api/v1/resources/999999/",
        f"/api/v1/resources/{2**63}/",
        f"/api/v1/resources/{10**30}/",
        f"/api/v1/resources/{'9' * 5000}/",
        f"/api/v1/resources/{10**30}/availability/?from=2030-01-01T00:00&to=2030-01-02T00:00",
    ],
)
def test_an_address_of_nothing_is_not_found(api: APIClient, address: str) -> None:
    refused(partial(api.get, address), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "address"), [each for each in private(ALL) if "{" in each[1]]
)
def test_an_unknown_and_a_foreign_object_look_alike(
    api: APIClient, method: str, address: str
) -> None:
    bob = make_customer()
    booking, hold = make_booking(customer=bob), make_hold(customer=bob)
    entry = make_entry(customer=bob, resource=make_resource())
    theirs = {"hold": hold, "booking": booking, "entry": entry, "device": register(bob)}
    foreign = address.format(**{name: each.pk for name, each in theirs.items()})
    unknown = address.format(**dict.fromkeys(theirs, uuid4()))

    send = partial(api.generic, headers={"Idempotency-Key": "k1"})
    body = json.dumps(shortest_body(address)) if method == "POST" else ""
    problems = [
        refused(
            partial(send, method, each, body, "application/json"), 404, "not_found"
        ).json()
        for each in (foreign, unknown)
    ]

    for problem in problems:
        del problem["request_id"]
    assert problems[0] == problems[1]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_slash_at_the_end_does_not_change_the_method(
    api: APIClient, method: str
) -> None:
    answer = api.generic(method, "/api/v1/holds")

    assert answer.status_code == 308
    assert answer["Location"] == "/api/v1/holds/"


# --- Headers ------------------------------------------------------------------


def test_a_hold_without_an_idempotency_key_is_refused(
    api: APIClient, wish: dict[str, Any]
) -> None:
    send = partial(api.post, HOLDS, wish, "json")

    refused(send, 400, "idempotency_key_required", "Idempotency-Key")


BAD_KEYS = {
    "empty": "",
    "a space": "a b",
    "a tab": "a\tb",
    "not ASCII": "schlüssel",
    "too long": "x" * 256,
    "a control character": "a\x7f",
    "very long": "x" * 60_000,
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_is_no_key_is_refused(
    api: APIClient, routes: list[Route], key: str
) -> None:
    headers = {"Idempotency-Key": key}
    for address in posts(routes):
        send = partial(post, api, address, b"{}", headers=headers)
        refused(send, 400, "validation_error", "Idempotency-Key")


def test_nobody_gets_anything_without_a_token(routes: list[Route]) -> None:
    for route in private(routes):
        answer = refused(partial(APIClient().generic, *route), 401, "token_missing")
        assert answer["WWW-Authenticate"] == "Bearer"


BAD_TOKENS = {
    "another scheme": "Basic YTpi",
    "no token": "Bearer",
    "nothing after the scheme": "Bearer ",
    "two tokens": "Bearer a b",
    "garbage": "Bearer garbage",
    "three empty parts": "Bearer ..",
    "not signed": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    "not ASCII": "Bearer \xff\xfe",
    "very long": "Bearer " + "x" * 60_000,
}


@pytest.mark.parametrize("header", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_token_that_is_none_is_refused_everywhere(
    routes: list[Route], header: str
) -> None:
    headers = {"Authorization": header}
    for route in routes:
        send = partial(APIClient().generic, *route, headers=headers)
        refused(send, 401, "token_invalid")


def test_a_wrong_host_is_a_problem_too(api: APIClient) -> None:
    answer = api.get("/api/v1/venues/", headers={"Host": "evil.example"})

    read_problem(answer, 400, "validation_error")
