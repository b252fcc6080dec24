"""Wrong values in every field of every command: refused by name, nothing written."""

import json
from datetime import time, timedelta
from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import Resource
from recovery.models import IdempotencyRecord
from slotbase.accounts.models import User
from tests.bookings.refusals import refused
from tests.factories import (
    in_two_days,
    make_booking,
    make_hold,
    make_resource,
    make_venue,
)

pytestmark = pytest.mark.django_db

NOT_A_NUMBER = {
    "null": None,
    "true": True,
    "list": [],
    "list of numbers": [1],
    "object": {},
    "fraction": 1.5,
    "text": "x",
    "digits in a text": "1",
    "empty": "",
    "emoji": "🎾",
    "long": "9" * 10_000,
    "zero": 0,
    "negative": -1,
    "huge": 10**30,
}
NOT_A_MOMENT = {
    "null": None,
    "false": False,
    "list": ["2030-01-01T10:00:00Z"],
    "object": {},
    "Unix time": 1_790_000_000,
    "fraction": 0.5,
    "empty": "",
    "emoji": "🎾",
    "long": "2030-01-01T10:00:00Z" * 500,
    "words": "tomorrow at noon",
    "date alone": "2030-01-01",
    "time alone": "10:00",
    "no such day": "2030-02-30T10:00:00Z",
    "hour 24": "2030-01-01T24:00:00Z",
    "second 60": "2030-01-01T23:59:60Z",
    "offset of 99 hours": "2030-01-01T10:00:00+99:00",
    "a decoded plus": "2030-01-01T10:00:00 02:00",
    "other digits": "203\N{FULLWIDTH DIGIT ZERO}-01-01T10:00:00Z",
    "new line at the end": "2030-01-01T10:00:00Z\n",
    "year 1": "0001-01-01T00:00:00Z",
    "year 1 east": "0001-01-01T00:00:00+14:00",
    "year 9999": "9999-12-31T23:30:00Z",
    "year 9999 west": "9999-12-31T23:30:00-12:00",
    "year 10000": "10000-01-01T00:00:00Z",
}
NOT_A_TEXT = {
    "null": None,
    "true": True,
    "number": 5,
    "fraction": 1.5,
    "list": ["ill"],
    "object": {"de": "krank"},
    "too long": "x" * 501,
}
NOT_A_CHOICE = {**NOT_A_TEXT, "empty": "", "emoji": "🎾", "other": "in kind"}
UNSTORABLE = {"NUL": "a\0b", "lone surrogate": "a\ud800b"}


def cases(**fields: dict[str, Any]) -> Any:
    """One parameter set for each field and bad value of it."""
    return pytest.mark.parametrize(
        ("field", "value"),
        [
            pytest.param(field, value, id=f"{field}: {name}")
            for field, values in fields.items()
            for name, value in values.items()
        ],
    )


def post(api: APIClient, address: str, body: Any) -> Any:
    headers = {"Idempotency-Key": "k1"}
    text = json.dumps(body)
    return api.post(address, text, content_type="application/json", headers=headers)


def hold_refused(
    api: APIClient, body: Any, code: str, field: str | None = None, status: int = 400
) -> dict[str, Any]:
    send = partial(post, api, "/api/v1/holds/", body)
    problem: dict[str, Any] = refused(send, status, code, field).json()
    return problem


@pytest.mark.parametrize("key", ["4242424242424242", "pay-4242-4242-4242-4242"])
def test_a_key_that_is_a_card_number_is_refused_and_not_kept(
    api: APIClient, wish: dict[str, Any], key: str
) -> None:
    """S31: the key of an answer is kept for a day."""
    headers = {"Idempotency-Key": key}
    answer = api.post("/api/v1/holds/", wish, "json", headers=headers)

    assert answer.status_code == 400
    assert [*answer.json()["errors"]] == ["Idempotency-Key"]
    assert key not in answer.content.decode()
    assert not IdempotencyRecord.objects.exists()


def test_a_key_that_is_a_uuid_is_taken_whatever_its_digits_are(
    api: APIClient, wish: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "4242424242424242a0b0c0d0e0f00000"}

    answer = api.post("/api/v1/holds/", wish, "json", headers=headers)

    assert answer.status_code == 201


@cases(
    resource=NOT_A_NUMBER,
    units=NOT_A_NUMBER,
    start_time=NOT_A_MOMENT,
    end_time=NOT_A_MOMENT,
)
def test_a_hold_with_a_wrong_value_is_refused_by_the_name_of_its_field(
    api: APIClient, wish: dict[str, Any], field: str, value: Any
) -> None:
    hold_refused(api, {**wish, field: value}, "validation_error", field)


@cases(resource=UNSTORABLE, start_time=UNSTORABLE, note=UNSTORABLE)
def test_text_that_cannot_be_stored_is_refused(
    api: APIClient, wish: dict[str, Any], field: str, value: Any
) -> None:
    hold_refused(api, {**wish, field: value}, "validation_error")
    hold_refused(api, {**wish, value: field}, "validation_error")


@pytest.mark.parametrize("field", ["resource", "start_time", "end_time"])
def test_a_hold_without_a_field_is_refused_by_its_name(
    api: APIClient, wish: dict[str, Any], field: str
) -> None:
    del wish[field]

    hold_refused(api, wish, "validation_error", field)


@pytest.mark.parametrize(
    "field", ["price_minor", "status", "customer", "user_id", "moves", "", "🎾"]
)
def test_a_field_that_is_not_known_is_refused_by_its_name(
    api: APIClient, wish: dict[str, Any], field: str
) -> None:
    hold_refused(api, {**wish, field: 1}, "validation_error", field)


NOON = timedelta(hours=12)


@pytest.mark.parametrize(
    ("start", "length", "field"),
    [
        pytest.param(-NOON * 5, 60, "start_time", id="in the past"),
        pytest.param(NOON, -60, "end_time", id="ends before it starts"),
        pytest.param(NOON, 0, "end_time", id="takes no time"),
        pytest.param(NOON, 15, "end_time", id="too short"),
        pytest.param(NOON, 24 * 60, "end_time", id="too long"),
        pytest.param(NOON, 45, "end_time", id="not a multiple of the step"),
        pytest.param(NOON + timedelta(minutes=10), 60, "start_time", id="off the grid"),
        pytest.param(NOON + timedelta(seconds=1), 60, "start_time", id="a second late"),
        pytest.param(
            NOON + timedelta(microseconds=1), 60, "start_time", id="1 us late"
        ),
        pytest.param(timedelta(hours=2), 60, "start_time", id="before it opens"),
        pytest.param(timedelta(hours=18, minutes=30), 60, "start_time", id="ends late"),
        pytest.param(timedelta(hours=19), 60, "start_time", id="as it closes"),
        pytest.param(timedelta(days=60) + NOON, 60, "start_time", id="far ahead"),
    ],
)
def test_a_time_that_cannot_be_sold_is_refused_by_the_name_of_its_field(
    api: APIClient, start: timedelta, length: int, field: str
) -> None:
    venue = make_venue(time_zone="UTC")
    court = make_resource(venue=venue, hours=[(time(8), time(19))])
    begin = in_two_days(0) + start
    end = begin + timedelta(minutes=length)
    body = {"resource": court.pk, "start_time": begin.isoformat()}

    hold_refused(api, {**body, "end_time": end.isoformat()}, "validation_error", field)


def test_a_start_within_the_notice_is_refused(api: APIClient) -> None:
    court = make_resource(notice_minutes=3 * 24 * 60)
    times = {"start_time": in_two_days(12), "end_time": in_two_days(13)}
    body = {name: moment.isoformat() for name, moment in times.items()}

    hold_refused(api, {**body, "resource": court.pk}, "validation_error", "start_time")


def test_more_units_than_there_are_cannot_be_held(
    api: APIClient, wish: dict[str, Any]
) -> None:
    hold_refused(api, {**wish, "units": 2}, "validation_error", "units")
    hold_refused(api, {**wish, "units": 1001}, "validation_error", "units")


@pytest.mark.parametrize("resource", [999_999, 2**63 - 1])
def test_an_unknown_resource_is_not_found(
    api: APIClient, wish: dict[str, Any], resource: int
) -> None:
    problem = hold_refused(
        api, {**wish, "resource": resource}, "not_found", "resource", status=404
    )

    assert problem["detail"] == "There is no such resource."


def test_a_resource_that_is_not_bookable_is_like_an_unknown_one(
    api: APIClient, wish: dict[str, Any], court: Resource
) -> None:
    Resource.objects.filter(pk=court.pk).update(is_bookable=False)

    hold_refused(api, wish, "not_found", "resource", status=404)


@cases(pay=NOT_A_CHOICE, reason={"": ""}, hold={"": 1})
def test_a_confirmation_with_a_wrong_value_is_refused(
    api: APIClient, alice: User, field: str, value: Any
) -> None:
    hold = make_hold(customer=alice)
    send = partial(post, api, f"/api/v1/holds/{hold.pk}/confirm/", {field: value})

    refused(send, 400, "validation_error", field)


@cases(reason=NOT_A_TEXT, refund={"": 100}, status={"": "CONFIRMED"})
def test_a_cancellation_with_a_wrong_value_is_refused(
    api: APIClient, alice: User, field: str, value: Any
) -> None:
    booking = make_booking(customer=alice)
    send = partial(post, api, f"/api/v1/bookings/{booking.pk}/cancel/", {field: value})

    refused(send, 400, "validation_error", field)


@pytest.mark.parametrize("reason", ["", "🎾 ill", "x" * 500, "'; DROP TABLE x; --"])
def test_any_words_are_a_reason_to_cancel(
    api: APIClient, alice: User, reason: str
) -> None:
    booking = make_booking(customer=alice)
    address = f"/api/v1/bookings/{booking.pk}/cancel/"

    assert post(api, address, {"reason": reason}).status_code == 200
    booking.refresh_from_db()
    assert booking.cancel_reason == reason
