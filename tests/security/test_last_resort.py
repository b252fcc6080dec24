"""S37: whatever breaks, the answer has one form, tells nothing, and is logged once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from tests.bookings.routes import client_of
from tests.factories import make_customer

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("_no_limits"),
]
SECRET = "card 4242 of alice@example.com at /srv/app/secret.py"
NOBODY = "00000000-0000-0000-0000-000000000000"


def patterns(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for each in (resolver or get_resolver()).url_patterns:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, path)
        else:
            yield path, each


ROUTES = dict(patterns())
API = sorted(route for route in ROUTES if route.startswith("api/v1/"))
OTHERS = sorted({*ROUTES} - {*API})


def break_down(*_: Any, **__: Any) -> Any:
    raise RuntimeError(SECRET)


@contextmanager
def broken(pattern: URLPattern) -> Iterator[None]:
    """The view raises what nobody expects: in DRF's own frame, where it is one."""
    view: Any = pattern.callback
    while hasattr(view, "__wrapped__") and not hasattr(view, "cls"):
        view = view.__wrapped__
    if hasattr(view, "cls"):
        with mock.patch.object(view.cls, "initial", break_down):
            yield
    else:
        with mock.patch.object(pattern, "callback", break_down):
            yield


def address_of(route: str) -> str:
    if route.startswith("^webhooks"):
        return "/webhooks/stripe/"
    if "app_label" in route:
        return "/admin/bookings/"
    if "<url>" in route:
        return "/admin/nowhere/"
    parts = [
        ("7" if "int:" in part else NOBODY if "uuid:" in part else "x")
        if "<" in part
        else part
        for part in route.split("/")
    ]
    return "/" + "/".join(parts)


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("route", API)
def test_an_api_view_that_breaks_answers_with_a_problem(
    caplog: pytest.LogCaptureFixture, route: str
) -> None:
    api = client_of(make_customer())

    with broken(ROUTES[route]):
        answer = api.get(address_of(route))

    problem = answer.json()
    assert answer.status_code == problem["status"] == 500
    assert answer["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["retryable"]) == ("internal_error", False)
    assert problem["request_id"] == answer["X-Request-Id"] != ""
    assert_tells_nothing(answer)
    assert len(errors_in(caplog)) == 1


def test_any_other_view_that_breaks_answers_in_the_same_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(raise_request_exception=False)

    for route in OTHERS:
        caplog.clear()
        with broken(ROUTES[route]):
            answer = client.get(address_of(route))
        assert answer.status_code == 500, route
        assert answer["X-Request-Id"] in answer.content.decode(), route
        assert_tells_nothing(answer)
        assert len(errors_in(caplog)) == 1, route


def assert_tells_nothing(answer: Any) -> None:
    # An id is made of random digits, sometimes of four that are looked for.
    text = answer.content.decode().replace(answer["X-Request-Id"], "")
    for word in ("4242", "alice@", "Traceback", "RuntimeError", ".py", SECRET):
        assert word not in text


def test_the_views_really_break(caplog: pytest.LogCaptureFixture) -> None:
    """The control: untouched, the same addresses do not answer 500."""
    client = Client(raise_request_exception=False)

    told = [client.get(address_of(route)).status_code for route in API]

    assert 500 not in told
    assert errors_in(caplog) == []
