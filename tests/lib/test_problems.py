"""What is answered when something fails, expected or not."""

import json
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.lib.urls import SECRET

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.lib.urls")]


def fail(path: str, **more: Any) -> tuple[Any, dict[str, Any]]:
    """The answer and the problem in it."""
    answer = APIClient(raise_request_exception=False).get(path, **more)
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.content)
    assert problem["status"] == answer.status_code
    assert SECRET not in answer.content.decode() + str(answer.headers)
    return answer, problem


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        *((f"/fails/{name}/", "*/*") for name in ("bug", "assertion", "integrity")),
        ("/fails/bug/", "application/json"),
        ("/plain/", "text/html"),
    ],
)
def test_a_bug_is_a_500_that_tells_the_request_id_and_nothing_else(
    path: str, accept: str
) -> None:
    answer, problem = fail(path, headers={"Accept": accept})

    assert answer.status_code == 500
    assert problem == {
        "type": "/api/docs/errors/#internal_error",
        "title": "Something is broken on our side",
        "status": 500,
        "detail": "Nothing you did. Please tell us the request_id.",
        "code": "internal_error",
        "retryable": False,
        "request_id": answer["X-Request-Id"],
    }


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [("operational", 503, "Please try again"), ("bug", 500, "broken on our side")],
)
def test_staff_are_told_by_a_page_that_something_failed(
    client: Client, name: str, status: int, says: str
) -> None:
    client.raise_request_exception = False

    answer = client.get(f"/admin/fails/{name}/")

    page = answer.content.decode()
    assert (answer.status_code, answer["Content-Type"][:9]) == (status, "text/html")
    assert says in page
    assert answer["X-Request-Id"] in page
    assert SECRET not in page


@pytest.mark.parametrize(
    "state",
    ["40P01", "40001", "55P03", "57014", "57P01", "53300", "53100", "58030", "25006"],
)
def test_a_database_that_cannot_do_it_now_is_a_503_with_a_time_to_wait(
    state: str,
) -> None:
    answer, problem = fail(f"/sql/{state}/")

    assert (answer.status_code, problem["code"]) == (503, "try_again")
    assert problem["retryable"]
    assert answer["Retry-After"] == "2"


@pytest.mark.parametrize("state", ["23514", "22003", "42P01", "P0001"])
def test_any_other_error_of_the_database_is_a_bug(state: str) -> None:
    answer, problem = fail(f"/sql/{state}/")

    assert (answer.status_code, problem["code"]) == (500, "internal_error")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("operational", 503, "try_again"),
        ("unavailable", 503, "try_again"),
        ("http404", 404, "not_found"),
        ("forbidden", 403, "permission_denied"),
        ("state", 409, "invalid_state"),
        ("fields", 400, "validation_error"),
    ],
)
def test_what_is_expected_has_its_status_and_code(
    name: str, status: int, code: str
) -> None:
    answer, problem = fail(f"/fails/{name}/")

    assert (answer.status_code, problem["code"]) == (status, code)


def test_a_domain_error_may_say_more() -> None:
    _, problem = fail("/fails/state/")

    assert (problem["detail"], problem["hint"]) == ("It is BROKEN.", 1)


def test_fields_are_named_each_with_its_texts() -> None:
    _, problem = fail("/fails/fields/")

    assert problem["errors"] == {"a": ["Wrong."], "b": ["Missing."]}
    assert problem["detail"] == "Wrong.; Missing."


def test_an_address_that_no_route_has_is_not_found_outside_the_api_too() -> None:
    answer, problem = fail("/nothing/")

    assert (answer.status_code, problem["code"]) == (404, "not_found")


@pytest.mark.parametrize("state", ["23505", "23P01"])
def test_whoever_comes_second_at_a_constraint_gets_a_conflict(state: str) -> None:
    answer, problem = fail(f"/sql/{state}/")

    assert (answer.status_code, problem["code"]) == (409, "invalid_state")
