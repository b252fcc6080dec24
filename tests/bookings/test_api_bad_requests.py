"""Requests that are wrong before anybody looks at a field, at every endpoint."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from tests.bookings.refusals import read_problem, refused
from tests.bookings.routes import ALL, OF_AN_OBJECT, POSTS, PRIVATE, every, post
from tests.factories import make_booking, make_customer, make_hold

pytestmark = pytest.mark.django_db

HOLDS = "/api/v1/holds/"


# --- Method and Accept --------------------------------------------------------


@every(ALL)
@pytest.mark.parametrize("wrong", ["PUT", "PATCH", "TRACE", "BREW"])
def test_a_wrong_method_is_refused_and_the_right_ones_are_named(
    api: APIClient, fill: Callable[[str], str], method: str, address: str, wrong: str
) -> None:
    answers = []

    def send() -> Any:
        answers.append(api.generic(wrong, fill(address)))
        return answers[0]

    refused(send, 405, "method_not_allowed")
    assert method in answers[0]["Allow"].split(", ")


@every(ALL)
def test_options_names_the_methods(
    api: APIClient, fill: Callable[[str], str], method: str, address: str
) -> None:
    answer = api.options(fill(address))

    assert answer.status_code == 200
    assert method in answer["Allow"].split(", ")


@every([route for route in ALL if route[0] == "GET"])
def test_head_answers_like_get_without_a_body(
    api: APIClient, fill: Callable[[str], str], method: str, address: str
) -> None:
    looked, read = api.head(fill(address)), api.get(fill(address))

    assert looked.status_code == read.status_code
    assert looked["Content-Type"] == read["Content-Type"]
    assert looked.content == b""


@every(ALL)
@pytest.mark.parametrize("accept", ["text/html", "image/*", "x", "application/xml;q=1"])
def test_whoever_does_not_accept_json_gets_a_problem_they_can_read(
    api: APIClient, fill: Callable[[str], str], method: str, address: str, accept: str
) -> None:
    send = partial(api.generic, method, fill(address), headers={"Accept": accept})

    refused(send, 406, "not_acceptable")


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
        f"/api/v1/holds/{uuid4()}x/",
        f"/api/v1/holds/{uuid4().hex}/",
        f"/api/v1/bookings/{str(uuid4()).upper()}/",
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


@every(OF_AN_OBJECT)
def test_an_unknown_and_a_foreign_object_look_alike(
    api: APIClient, method: str, address: str
) -> None:
    bob = make_customer()
    booking, hold = make_booking(customer=bob), make_hold(customer=bob)
    foreign = address.format(hold=hold.pk, booking=booking.pk)
    unknown = address.format(hold=uuid4(), booking=uuid4())

    problems = [
        refused(partial(api.generic, method, each), 404, "not_found")
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
@pytest.mark.parametrize("address", POSTS)
def test_a_key_that_is_no_key_is_refused(
    api: APIClient, fill: Callable[[str], str], address: str, key: str
) -> None:
    headers = {"Idempotency-Key": key}
    send = partial(post, api, fill(address), b"{}", headers=headers)

    refused(send, 400, "validation_error", "Idempotency-Key")


@every(PRIVATE)
def test_nobody_gets_anything_without_a_token(
    fill: Callable[[str], str], method: str, address: str
) -> None:
    answers = []

    def send() -> Any:
        answers.append(APIClient().generic(method, fill(address)))
        return answers[0]

    refused(send, 401, "token_missing")
    assert answers[0]["WWW-Authenticate"] == "Bearer"


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
@every(ALL)
def test_a_token_that_is_none_is_refused_everywhere(
    fill: Callable[[str], str], method: str, address: str, header: str
) -> None:
    headers = {"Authorization": header}
    send = partial(APIClient().generic, method, fill(address), headers=headers)

    refused(send, 401, "token_invalid")


def test_a_wrong_host_is_a_problem_too(api: APIClient) -> None:
    answer = api.get("/api/v1/venues/", headers={"Host": "evil.example"})

    read_problem(answer, 400, "validation_error")
