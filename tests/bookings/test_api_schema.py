"""The OpenAPI document: valid, committed, complete, and true of real answers."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from rest_framework.test import APIClient

from bookings.models import DateException, Resource
from payments.models import CardPayment
from payments.services import card_payments
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from tests.bookings.document import check_against_document, operation_of, served
from tests.bookings.routes import client_of
from tests.bookings.sessions import make_session
from tests.conftest import Sandbox
from tests.factories import (
    in_two_days,
    make_booking,
    make_customer,
    make_hold,
    make_resource,
)
from tests.payments.money import pay

pytestmark = pytest.mark.django_db

FILE = Path(__file__).resolve().parents[2] / "docs/reference/openapi.yaml"
KEY = {"Idempotency-Key": "k1"}
NO_REMINDERS = {"topic": "REMINDERS", "channel": "EMAIL", "is_wanted": False}
PHONE = {"token": "a-phone", "platform": "IOS"}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation."""
    return [
        (path, method, operation)
        for path, methods in served()["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_is_valid_and_nothing_in_it_was_guessed() -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=StringIO())


def test_the_committed_document_is_the_one_that_is_served() -> None:
    answer = Client().get("/api/schema/")

    assert answer["Content-Type"] == "application/vnd.oai.openapi"
    again = "run manage.py spectacular --file docs/reference/openapi.yaml"
    assert answer.content == FILE.read_bytes(), again


@pytest.mark.parametrize(
    "accept", ["application/json", "application/vnd.oai.openapi+json"]
)
def test_the_document_comes_as_json_too(accept: str) -> None:
    answer = Client().get("/api/schema/", headers={"Accept": accept})

    assert answer["Content-Type"] == accept
    assert answer.json() == yaml.safe_load(FILE.read_text())


@pytest.mark.parametrize(
    "query", ["lang=zz", "version=%0d%0aX: 1", "format=xml", "lang=%00"]
)
def test_nothing_in_the_query_changes_the_document(query: str) -> None:
    answer = Client().get(f"/api/schema/?{query}")

    assert (answer.status_code, answer.content) == (200, FILE.read_bytes())


def test_every_address_and_method_is_in_the_document() -> None:
    described = {(path, method) for path, method, _ in operations()}

    parts = [p for p in get_resolver().url_patterns if str(p.pattern) == "api/v1/"]
    existing = {
        (operation_path(str(route.pattern)), method)
        for part in parts
        for route in part.url_patterns
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(route.callback.cls, method)
    }
    assert described == existing


def operation_path(pattern: str) -> str:
    for kind in ("int", "uuid"):
        pattern = pattern.replace(f"<{kind}:", "{")
    return f"/api/v1/{pattern.replace('>', '}')}"


def test_every_operation_says_what_it_does_and_how_it_fails() -> None:
    for path, method, operation in operations():
        where = f"{method} {path}"
        assert operation["operationId"], where
        assert operation["summary"], where
        assert operation["description"], where
        assert {"401", "406", "429", "503"} <= operation["responses"].keys(), where
        for status, response in operation["responses"].items():
            if status >= "400":
                assert [*response["content"]] == ["application/problem+json"], where
                assert "* `" in response["description"], where


def test_the_key_is_required_to_hold_and_to_pay_and_possible_for_every_other_post() -> (
    None
):
    required = {
        path: parameter.get("required", False)
        for path, method, operation in operations()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "Idempotency-Key"
        if method == "post"
    }

    assert required.keys() == {
        path for path, method, _ in operations() if method == "post"
    }
    assert {path for path, is_required in required.items() if is_required} == {
        "/api/v1/holds/",
        "/api/v1/holds/{hold_id}/payment/",
        "/api/v1/waitlist/",
    }


def test_a_token_is_required_except_for_the_catalogue() -> None:
    for path, method, operation in operations():
        is_public = path.startswith(("/api/v1/venues/", "/api/v1/resources/"))
        schemes = [{"clerkSession": []}, *([{}] if is_public else [])]
        assert operation["security"] == schemes, (path, method)


def get_everything(api: APIClient, court: Resource, booking: Any) -> list[Any]:
    """An answer of each GET."""
    day = (
        f"from={booking.start_time:%Y-%m-%d}T00:00&to={booking.end_time:%Y-%m-%d}T23:00"
    )
    return [
        api.get(f"/api/v1/{address}")
        for address in (
            "venues/?page_size=1",
            "resources/?page_size=1",
            f"resources/{court.pk}/",
            f"resources/{court.pk}/availability/?{day}",
            f"holds/{booking.hold_id}/",
            "bookings/?page_size=1",
            f"bookings/{booking.pk}/",
            f"bookings/{booking.pk}/history/",
            f"bookings/{booking.pk}/cancellation-quote/",
            "me/notifications/",
            "devices/",
        )
    ]


def send(api: APIClient, path: str, key: str, **body: Any) -> Any:
    headers = {"Idempotency-Key": key}
    return api.post(f"/api/v1/{path}/", body, "json", headers=headers)


def book_and_cancel(api: APIClient, wish: dict[str, Any]) -> list[Any]:
    """An answer of each command, first and again."""
    held = [send(api, "holds", key, **wish) for key in ("k1", "k1", "k2")]
    hold = f"holds/{held[0].json()['id']}"
    begun = [send(api, f"{hold}/payment", key) for key in ("k3", "k3", "k4")]
    confirmed = [
        send(api, f"{hold}/confirm", key, pay="at_venue") for key in ("k5", "k6")
    ]
    booking = confirmed[0].json()["id"]
    cancelled = send(api, f"bookings/{booking}/cancel", "k7", reason="ill")
    return [*held, *begun, *confirmed, cancelled]


def wait_and_decline(api: APIClient, wish: dict[str, Any]) -> list[Any]:
    """Each command of the waitlist; the slot is free, so the offer comes at once."""
    joined = [send(api, "waitlist", key, **wish) for key in ("w1", "w2")]
    entry = f"waitlist/{joined[0].json()['id']}"
    shown = [api.get("/api/v1/waitlist/"), api.get(f"/api/v1/{entry}/")]
    declined = send(api, f"{entry}/decline", "w3")
    return [*joined, *shown, declined, api.delete(f"/api/v1/{entry}/")]


def register_and_forget(api: APIClient) -> list[Any]:
    registered = [api.post("/api/v1/devices/", PHONE, "json") for _ in range(2)]
    id_ = registered[0].json()["id"]
    return [*registered, api.delete(f"/api/v1/devices/{id_}/")]


def write_and_accept(api: APIClient, coach: User) -> list[Any]:
    """Each command of feedback, and what its customer reads."""
    session = make_session(coach=coach)
    path = f"bookings/{session.pk}/feedback"
    written = [send(api, path, key, notes="fine") for key in ("f1", "f2")]
    version = written[0].json()["version"]
    accepted = send(api, f"{path}/accept", "f3", version=version)
    again = send(api, f"{path}/enhance", "f4")
    people = (api, client_of(session.customer))
    return [*written, accepted, again, *(p.get(f"/api/v1/{path}/") for p in people)]


def test_every_field_of_an_answer_is_in_the_document_and_the_other_way_round(
    api: APIClient, alice: User, court: Resource, wish: dict[str, Any]
) -> None:
    terms = {"price_minor": 500, "payment_mode": "EITHER"}
    Resource.objects.filter(pk=court.pk).update(**terms)
    hold, booking = make_hold(customer=alice), make_booking(customer=alice)

    answers = [
        *book_and_cancel(api, wish),
        api.get(f"/api/v1/holds/{hold.pk}/"),
        api.delete(f"/api/v1/holds/{hold.pk}/"),
        *get_everything(api, court, booking),
        *wait_and_decline(api, wish),
        api.patch("/api/v1/me/notifications/", NO_REMINDERS, "json"),
        *register_and_forget(api),
        *write_and_accept(api, alice),
        api.get("/api/v1/me/"),
        api.patch("/api/v1/me/", {"locale": "de"}, "json"),
        api.get("/api/v1/me/export/"),
        client_of(make_customer()).delete("/api/v1/me/"),
    ]

    for answer in answers:
        assert answer.status_code < 300, answer.getvalue()
        check_against_document(answer)
    assert {answer.status_code for answer in answers} == {200, 201, 202, 204}
    seen = {operation_of(answer)["operationId"] for answer in answers}  # type: ignore[index]
    assert seen == {operation["operationId"] for _, _, operation in operations()}


def test_answers_that_come_before_the_money_are_in_the_document(
    sandbox: Sandbox, api: APIClient, court: Resource, wish: dict[str, Any]
) -> None:
    terms = {"price_minor": 500, "payment_mode": "ONLINE"}
    Resource.objects.filter(pk=court.pk).update(**terms)
    hold = f"holds/{send(api, 'holds', 'k1', **wish).json()['id']}"

    fault = {"provider": "stripe", "operation": "payment_intents.create"}
    busy = {**fault, "fault": "4xx", "status": 429, "count": 1}
    sandbox.post("/_sandbox/faults", busy)
    begun = send(api, f"{hold}/payment", "k2")
    CardPayment.objects.update(next_run_at=Now())
    card_payments.attempt_card_payments()
    pay(sandbox, begun.json()["payment"], "processing")
    undecided = send(api, f"{hold}/confirm", "k3")
    shown = api.get(f"/api/v1/{hold}/")
    pay(sandbox, begun.json()["payment"])
    booked = send(api, f"{hold}/confirm", "k3")
    cancelled = send(api, f"bookings/{booked.json()['id']}/cancel", "k4")

    early = (begun, undecided, cancelled)
    assert [answer.status_code for answer in early] == [202, 202, 202]
    assert (shown.json()["payment"]["status"], booked.status_code) == (
        "PROCESSING",
        201,
    )
    for answer in (*early, shown, booked):
        check_against_document(answer)


def test_every_field_of_a_problem_is_in_the_document(
    api: APIClient, alice: User, court: Resource, wish: dict[str, Any]
) -> None:
    gap = {"start_time": "2026-03-29T02:30", "end_time": "2026-03-29T03:30"}
    overlap = {"start_time": "2026-10-25T02:30", "end_time": "2026-10-25T03:30"}
    make_hold(resource=court)
    closed = make_resource()
    DateException.objects.bulk_create(
        DateException(
            venue=closed.venue,
            kind="CLOSED",
            date=in_two_days().date() + timedelta(days=n - 1),
        )
        for n in range(3)
    )

    def hold(**over: Any) -> Any:
        return api.post("/api/v1/holds/", {**wish, **over}, "json", headers=KEY)

    problems = [
        hold(),
        hold(**gap),
        hold(**overlap),
        hold(units=0),
        hold(resource=10**9),
        hold(resource=closed.pk),
        api.post("/api/v1/holds/", wish, "json"),
        APIClient().get("/api/v1/bookings/"),
        api.get("/api/v1/bookings/?cursor=x"),
    ]

    for problem in problems:
        assert problem.status_code >= 400
        check_against_document(problem)
    assert len(problems[0].json()["alternatives"]) == 3
    assert len(problems[2].json()["readings"]) == 2
