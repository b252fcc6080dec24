"""Wrong parameters in the address: of lists, and of the search for free slots."""

import inspect
from base64 import b64encode
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from bookings.api import urls
from bookings.api.views import ListView
from bookings.models import Resource
from slotbase.accounts.models import User
from tests.bookings.refusals import refused
from tests.factories import in_two_days, make_booking, make_resource, make_venue

pytestmark = pytest.mark.django_db

LISTS = [
    *("/api/v1/venues/", "/api/v1/resources/", "/api/v1/bookings/"),
    "/api/v1/waitlist/",
]
SIZES = [
    "0",
    "-1",
    "x",
    "1.5",
    "1e3",
    "",
    " 1",
    "\0",
    "\N{ARABIC-INDIC DIGIT FIVE}",
    "9" * 19,
    "9" * 5000,
]
CURSORS = {
    "not base64": "x",
    "not ASCII": "é",
    "NUL": "\0",
    "a NUL inside": b64encode(b"p=%00").decode(),
    "no key": b64encode(b"p=somewhere").decode(),
    "SQL": b64encode(b"p=1' OR '1'='1").decode(),
    "an odd direction": b64encode(b"r=x").decode(),
    "an odd offset": b64encode(b"o=-1").decode(),
    "bytes": b64encode(b"\xff\xfe").decode(),
    "very long": b64encode(b"p=" + b"9" * 5000).decode(),
}


def test_every_list_is_asked_here() -> None:
    lists = {
        f"/api/v1/{each.pattern}"
        for each in urls.urlpatterns
        if issubclass(view_of(each), ListView)
    }

    assert lists == set(LISTS)


def view_of(pattern: Any) -> type:
    """The class that answers, however it is wrapped."""
    view: type = inspect.unwrap(pattern.callback).cls
    return view


def test_a_deep_page_costs_what_the_first_one_does(
    api: APIClient, alice: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        make_venue()
    address, pages = "/api/v1/venues/?page_size=5", 0
    while address:
        with django_assert_max_num_queries(3) as captured:
            answer = api.get(address)
        assert not [each for each in captured if "OFFSET" in each["sql"]]
        assert not [each for each in captured if "COUNT(" in each["sql"]]
        address, pages = answer.json()["next"], pages + 1
    assert pages == 6


@pytest.mark.parametrize("size", SIZES)
def test_a_page_size_that_is_no_count_is_refused(api: APIClient, size: str) -> None:
    for address in LISTS:
        send = partial(api.get, address, {"page_size": size})
        refused(send, 400, "validation_error", "page_size")


def test_a_huge_page_size_gives_the_largest_page(api: APIClient, alice: User) -> None:
    for _ in range(101):
        make_venue()

    for size in ("100", "101", "1000000", "000000001000"):
        page = api.get("/api/v1/venues/", {"page_size": size}).json()
        assert len(page["results"]) == 100
        assert page["next"]


@pytest.mark.parametrize("cursor", CURSORS.values(), ids=CURSORS)
def test_a_cursor_that_nobody_gave_out_is_refused(api: APIClient, cursor: str) -> None:
    for address in LISTS:
        send = partial(api.get, address, {"cursor": cursor})
        refused(send, 400, "validation_error", "cursor")


def test_the_cursor_of_one_list_is_none_of_another(api: APIClient) -> None:
    cursor = b64encode(f"p={uuid4()}".encode()).decode()

    send = partial(api.get, "/api/v1/venues/", {"cursor": cursor})
    refused(send, 400, "validation_error", "cursor")


@pytest.mark.parametrize("name", ["ordering", "customer", "resource__coach", "Cursor"])
def test_a_list_refuses_parameters_that_it_would_ignore(
    api: APIClient, name: str
) -> None:
    for address in LISTS:
        refused(partial(api.get, address, {name: "1"}), 400, "validation_error", name)


def test_pages_follow_each_other_in_both_directions(
    api: APIClient, alice: User
) -> None:
    ids = [str(make_booking(customer=alice).pk) for _ in range(5)][::-1]

    pages, address = [], "/api/v1/bookings/?page_size=2"
    while address:
        page = api.get(address).json()
        pages.append([booking["id"] for booking in page["results"]])
        last, address = page, page["next"]

    assert pages == [ids[:2], ids[2:4], ids[4:]]
    back = api.get(last["previous"]).json()
    assert [booking["id"] for booking in back["results"]] == ids[2:4]


# --- Free slots ---------------------------------------------------------------


def search(api: APIClient, court: Resource, query: dict[str, Any] | str) -> Any:
    address = f"/api/v1/resources/{court.pk}/availability/"
    if isinstance(query, str):
        return partial(api.get, f"{address}?{query}")
    day = {"from": in_two_days(0).isoformat(), "to": in_two_days(23).isoformat()}
    return partial(api.get, address, {**day, **query})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("from", value) for value in ("", "x", "2030-01-01", "\0", "1790000000")),
        *(("to", value) for value in ("", "now", "9999-12-31T00:00:00Z", "0001-01-01")),
        *(("duration", value) for value in ("0", "-30", "x", "1.5", "1_0", " 30")),
        *(
            ("duration", value)
            for value in (
                "15",
                "45",
                "9999",
                "9" * 30,
                "\0",
                "3\N{FULLWIDTH DIGIT ZERO}",
            )
        ),
        *(("units", value) for value in ("0", "-1", "x", "1.0", "1001", "9" * 5000)),
        *((name, "1") for name in ("unit", "format", "page_size", "", "\0")),
    ],
)
def test_a_search_with_a_wrong_value_is_refused_by_the_name_of_its_parameter(
    api: APIClient, court: Resource, name: str, value: str
) -> None:
    refused(search(api, court, {name: value}), 400, "validation_error", name)


@pytest.mark.parametrize("name", ["from", "to"])
def test_a_search_without_a_bound_is_refused(
    api: APIClient, court: Resource, name: str
) -> None:
    other = {"from": "to", "to": "from"}[name]
    query = f"{other}=2030-01-01T00:00Z"

    refused(search(api, court, query), 400, "validation_error", name)


def test_a_plus_that_came_as_a_space_is_explained(
    api: APIClient, court: Resource
) -> None:
    query = "from=2030-01-01T00:00:00+02:00&to=2030-01-02T00:00:00%2B02:00"

    answer = refused(search(api, court, query), 400, "validation_error", "from")

    errors = answer.json()["errors"]
    assert "%2B" in errors["from"][0]
    assert "to" not in errors


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2030-01-02T00:00", "2030-01-01T00:00"),
        ("2030-01-01T00:00", "2030-01-01T00:00"),
        ("2030-01-01T02:00+02:00", "2030-01-01T00:00Z"),
        ("2030-01-01T00:00", "2030-02-01T00:01"),
        ("2030-01-01T00:00", "2199-12-31T00:00"),
        ("2199-12-31T00:00", "2000-01-01T00:00"),
    ],
)
def test_a_search_of_no_time_or_of_more_than_31_days_is_refused(
    api: APIClient, court: Resource, start: str, end: str
) -> None:
    query = {"from": start, "to": end}

    refused(search(api, court, query), 400, "validation_error", "to")


def test_31_days_can_be_searched_at_once(api: APIClient, court: Resource) -> None:
    query = {"from": "2030-01-01T00:00", "to": "2030-02-01T00:00"}

    assert search(api, court, query)().status_code == 200


# --- Local times that clocks skip or repeat -----------------------------------

GAPS = [
    ("Europe/Berlin", "2026-03-29T02:30"),
    ("America/New_York", "2026-03-08T02:00"),
    ("Australia/Lord_Howe", "2026-10-04T02:15"),
]
OVERLAPS = [
    ("Europe/Berlin", "2026-10-25T02:30", "+02:00", "+01:00"),
    ("America/New_York", "2026-11-01T01:00", "-04:00", "-05:00"),
    ("Australia/Lord_Howe", "2026-04-05T01:45", "+11:00", "+10:30"),
]


def times_around(local: str) -> dict[str, str]:
    """Names of fields, and each of them with this time and a fine other one."""
    hour = timedelta(hours=6)
    moment = datetime.fromisoformat(local)
    return {
        "before": (moment - hour).isoformat(),
        "at": local,
        "after": (moment + hour).isoformat(),
    }


@pytest.mark.parametrize("field", ["start_time", "end_time"])
@pytest.mark.parametrize(("zone", "local"), GAPS)
def test_a_hold_at_a_time_that_the_clocks_skip_is_refused(
    api: APIClient, zone: str, local: str, field: str
) -> None:
    court, time = make_resource(venue=make_venue(time_zone=zone)), times_around(local)
    body = {
        "resource": court.pk,
        "start_time": time["before"],
        "end_time": time["after"],
    }
    body[field] = time["at"]
    headers = {"Idempotency-Key": "k1"}
    send = partial(api.post, "/api/v1/holds/", body, "json", headers=headers)

    refused(send, 422, "nonexistent_time", field)


@pytest.mark.parametrize("field", ["start_time", "end_time"])
@pytest.mark.parametrize(("zone", "local", "first", "second"), OVERLAPS)
def test_a_hold_at_a_time_that_happens_twice_is_told_both_readings(
    api: APIClient, zone: str, local: str, first: str, second: str, field: str
) -> None:
    court, time = make_resource(venue=make_venue(time_zone=zone)), times_around(local)
    body = {
        "resource": court.pk,
        "start_time": time["before"],
        "end_time": time["after"],
    }
    body[field] = time["at"]
    headers = {"Idempotency-Key": "k1"}
    send = partial(api.post, "/api/v1/holds/", body, "json", headers=headers)

    answer = refused(send, 422, "ambiguous_time", field)

    assert answer.json()["readings"] == [f"{local}:00{first}", f"{local}:00{second}"]


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    ("zone", "local", "code"),
    [
        *((zone, local, "nonexistent_time") for zone, local in GAPS),
        *((zone, local, "ambiguous_time") for zone, local, _, _ in OVERLAPS),
    ],
)
def test_a_search_from_or_to_such_a_time_is_refused(
    api: APIClient, zone: str, local: str, code: str, name: str
) -> None:
    court, time = make_resource(venue=make_venue(time_zone=zone)), times_around(local)
    query = {"from": time["before"], "to": time["after"], name: local}

    refused(search(api, court, query), 422, code, name)


def test_the_last_day_of_february_exists_in_leap_years_only(
    api: APIClient, court: Resource
) -> None:
    leap, usual = date(2028, 2, 29), "2027-02-29"

    query = {"from": f"{leap}T00:00", "to": f"{leap}T01:00"}
    assert search(api, court, query)().status_code == 200
    query = {"from": f"{usual}T00:00", "to": f"{usual}T01:00"}
    refused(search(api, court, query), 400, "validation_error", "from")
