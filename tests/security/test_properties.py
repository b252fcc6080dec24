"""S3: nobody writes a column by naming it, and each key of an answer has its line."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Model
from rest_framework.test import APIClient

from bookings.models import (
    Booking,
    BookingHold,
    Resource,
    SessionFeedback,
    WaitlistEntry,
)
from notifications.models import PushDevice
from notifications.models.addressees import Choice
from payments.models import CardPayment, Payable, Refund
from slotbase.accounts.models import User
from tests.bookings.routes import ALL, client_of
from tests.factories import in_two_days, make_hold, make_priced_resource
from tests.security.rows import make_rows, values_at, values_of_api

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("_no_limits"),
]
KEYS = Path(__file__).with_name("answers.txt")
MODELS: tuple[type[Model], ...] = (
    *(Booking, BookingHold, WaitlistEntry, Payable, CardPayment, Refund),
    *(PushDevice, Choice, User, Resource, SessionFeedback),
)
DEVICE = {"token": "a-token", "platform": "IOS"}
CHOICE = {"topic": "REMINDERS", "channel": "EMAIL", "is_wanted": False}


def columns() -> list[str]:
    """Every name that a column of these has, as a field and as a column."""
    fields = [field for model in MODELS for field in model._meta.concrete_fields]
    names = {name for field in fields for name in (field.name, field.attname)}
    return sorted(names | {"is_superuser", "groups", "user_permissions", "pk", "id"})


def contents() -> dict[str, list[Any]]:
    return {
        model.__name__: list(model._default_manager.order_by("pk").values())
        for model in MODELS
    }


def wish(resource_id: int) -> dict[str, Any]:
    start, end = in_two_days(15), in_two_days(16)
    return {
        "resource": resource_id,
        "start_time": start.isoformat(),
        "end_time": end.isoformat(),
    }


def bodies(alice: User, values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Each command of the API with a body that is right, but for what is added."""
    hold = make_hold(customer=alice, resource=make_priced_resource())
    ids = {**values, "hold": hold.pk}
    return {
        ("POST", "holds/"): wish(values["resource_id"]),
        ("POST", f"holds/{ids['hold']}/payment/"): {},
        ("POST", f"holds/{ids['hold']}/confirm/"): {},
        ("POST", "waitlist/"): wish(values["resource_id"]),
        ("POST", f"waitlist/{ids['entry_id']}/decline/"): {},
        ("POST", f"bookings/{ids['booking_id']}/cancel/"): {},
        ("POST", f"bookings/{ids['session_id']}/feedback/"): {"notes": "x"},
        ("POST", f"bookings/{ids['session_id']}/feedback/accept/"): {"version": 1},
        ("POST", f"bookings/{ids['session_id']}/feedback/enhance/"): {},
        ("POST", "devices/"): DEVICE,
        ("PATCH", "me/"): {"locale": "en"},
        ("PATCH", "me/notifications/"): CHOICE,
    }


def test_every_command_of_the_api_is_tried(settings: Any) -> None:
    _, alice = make_rows(settings)
    tried = {(m, _shape(a)) for m, a in bodies(alice, values_of_api(alice))}
    commands = {
        (method, _shape(address.removeprefix("/api/v1/")))
        for method, address in ALL
        if method not in {"GET", "DELETE"}
    }

    assert tried == commands


def _shape(address: str) -> str:
    parts = address.split("/")
    return "/".join("{}" if "-" in p or "{" in p else p for p in parts)


@pytest.mark.timeout(600)
def test_no_column_is_written_by_its_name(settings: Any) -> None:
    """Each alone: 400 that names it, and no row is another one than before."""
    _, alice = make_rows(settings)
    api = client_of(alice)
    commands, names = bodies(alice, values_of_api(alice)), columns()
    before = contents()

    for (method, address), body in commands.items():
        for name in names:
            if name in KNOWN.get(address.split("/")[-2], ()):
                continue
            answer = _send(api, method, address, {**body, name: "1"})
            assert answer.status_code == 400, (method, address, name, answer.content)
            assert name in answer.json()["errors"], (address, name)
    assert contents() == before
    assert len(names) > 80


#: What a command takes and a column is called as well.
KNOWN = {
    "cancel": {"reason"},
    "feedback": {"notes"},
    "accept": {"version", "text", "skills", "drills"},
    "confirm": {"pay"},
    "holds": {"resource", "start_time", "end_time", "units"},
    "waitlist": {"resource", "start_time", "end_time", "units"},
    "devices": {"token", "platform", "kind", "app_version"},
    "me": {"name", "phone", "locale", "email"},
    "notifications": {"topic", "channel", "is_wanted"},
}


def _send(api: APIClient, method: str, address: str, body: Any) -> Any:
    headers = {"Idempotency-Key": "fuzz-key-1"}
    send = api.post if method == "POST" else api.patch
    return send(f"/api/v1/{address}", body, "json", headers=headers)


# --- What is answered -----------------------------------------------------------------


def keys_in(value: Any, path: str = "") -> Iterator[str]:
    """`results[].price.amount_minor`, for each key there is."""
    if isinstance(value, list):
        for each in value:
            yield from keys_in(each, f"{path}[]")
    elif isinstance(value, dict):
        for name, each in value.items():
            yield f"{path}.{name}".lstrip(".")
            yield from keys_in(each, f"{path}.{name}".lstrip("."))


def answers(settings: Any) -> list[str]:
    """The keys of each answer, for its owner and for whoever is not signed in."""
    _, alice = make_rows(settings)
    values = values_of_api(alice)
    people = {"owner": client_of(alice), "anonymous": APIClient()}
    lines = []
    for method, address in ALL:
        # An export has every column of one's own: tests/accounts/test_personal_data.py.
        if method != "GET" or address.endswith("/export/"):
            continue
        for who, api in people.items():
            there = values_at(address, values).items()
            ids = {name.removesuffix("_id"): value for name, value in there}
            answer = api.get(address.format_map(ids), _query(address))
            keys = sorted(set(keys_in(answer.json())))
            lines += [f"{who} {method} {address} {answer.status_code}"]
            lines += [f"  {key}" for key in keys]
    return lines


def _query(address: str) -> dict[str, str]:
    if not address.endswith("/availability/"):
        return {}
    begin, end = in_two_days(12).isoformat(), in_two_days(14).isoformat()
    return {"from": begin, "to": end, "duration": "60"}


def test_no_answer_has_a_key_without_a_line(settings: Any) -> None:
    """A new key is decided on: WRITE_MATRIX=1 adds its line, and a person reads it."""
    told = answers(settings)

    if os.environ.get("WRITE_MATRIX"):
        KEYS.write_text("\n".join(told) + "\n")
    assert KEYS.read_text().splitlines() == told


def test_nothing_of_ours_is_in_an_answer() -> None:
    """Whatever the lines say: these words have no place in the API."""
    ours = {
        "password",
        "clerk_id",
        "is_staff",
        "is_superuser",
        "last_error",
        "username",
    }
    ours |= {"token", "token_hash", "sealed_token", "lease_until", "recorded_by"}
    names = {line.split(".")[-1].strip() for line in KEYS.read_text().splitlines()}

    assert names & ours == set()
