"""All that is shown as free can be held, and costs the same however much it is."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from bookings.models import Resource
from bookings.rules import Wanted
from bookings.services import holds
from tests.bookings.free_slots import DAY, HOUR, MONDAY, close, make_court, search
from tests.factories import make_customer, make_hold

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_a_sunday_in_may")]


# --- Slots of more than a day -------------------------------------------------


def make_cabin(**over: Any) -> Resource:
    """Rented day and night for two to seven days."""
    week = 7 * 24 * 60
    lengths = {"step_minutes": 1440, "min_minutes": 2880, "max_minutes": week}
    return make_court(hours=[(time(0), time(0))], **{**lengths, **over})


def test_a_rental_over_several_days_is_shown_with_all_its_starts() -> None:
    cabin = make_cabin()

    found = search(cabin, MONDAY, MONDAY + 3 * DAY, duration=5 * 1440)
    assert [slot["start_time"][:10] for slot in found] == [
        *("2026-06-01", "2026-06-02", "2026-06-03")
    ]


@pytest.mark.parametrize("days", range(8))
def test_a_closure_during_a_rental_hides_it(days: int) -> None:
    cabin = make_cabin()
    close(cabin, (MONDAY + days * DAY).date())

    found = search(cabin, MONDAY, MONDAY + HOUR, duration=7 * 1440)
    assert len(found) == (0 if days < 7 else 1)


def test_a_rental_that_is_taken_in_part_has_an_earlier_alternative(
    api: APIClient,
) -> None:
    cabin = make_cabin()
    make_hold(resource=cabin, start=MONDAY + 3 * DAY, length=2 * DAY)
    body = {
        "resource": cabin.pk,
        "start_time": (MONDAY + 2 * DAY).isoformat(),
        "end_time": (MONDAY + 4 * DAY).isoformat(),
    }

    answer = api.post("/api/v1/holds/", body, "json", headers={"Idempotency-Key": "k"})

    assert answer.status_code == 409
    [alternative] = answer.json()["alternatives"]
    assert alternative["start_time"] == "2026-06-02T00:00:00Z"


def test_whatever_offset_the_client_writes_closures_are_seen(api: APIClient) -> None:
    court = make_court("Pacific/Pago_Pago", hours=[(time(20), time(4))])
    local = datetime.fromisoformat("2026-06-03T23:00-11:00")
    close(court, local.date())
    east = local.astimezone(UTC) + timedelta(hours=23, minutes=59)
    start = f"{east:%Y-%m-%dT%H:%M:%S}+23:59"
    east_end = east + HOUR
    body = {
        "resource": court.pk,
        "start_time": start,
        "end_time": f"{east_end:%Y-%m-%dT%H:%M:%S}+23:59",
    }

    answer = api.post("/api/v1/holds/", body, "json", headers={"Idempotency-Key": "k"})

    assert (answer.status_code, answer.json()["code"]) == (409, "resource_closed")


# --- What is shown can be held, and what is not cannot ------------------------


def hold_all(court: Resource, slots: list[dict[str, Any]]) -> None:
    """Everything that is shown, each by another customer."""
    for slot in slots:
        times = [
            datetime.fromisoformat(slot[name]) for name in ("start_time", "end_time")
        ]
        wanted = Wanted(court.pk, *times)
        held = holds.create_hold(customer_id=make_customer().pk, wanted=wanted)
        assert held.hold.price_minor == slot["price_minor"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_every_slot_that_is_shown_can_be_held_and_then_the_day_is_full(
    zone: str,
) -> None:
    court = make_court(zone, price_minor=300, payment_mode="AT_VENUE")
    slots = search(court, "2026-06-02T00:00", "2026-06-03T00:00")

    assert len(slots) == 4
    hold_all(court, slots)
    assert search(court, "2026-06-02T00:00", "2026-06-03T00:00") == []


@pytest.mark.parametrize("day", [date(2026, 10, 25), date(2027, 3, 28)])
def test_every_slot_of_a_day_when_the_clocks_change_can_be_held(day: date) -> None:
    court = make_court(
        "Europe/Berlin", hours=[(time(0, 30), time(5))], horizon_days=365
    )
    close(court, day, opens=time(2, 30), closes=time(3, 30))
    slots = search(court, f"{day}T00:00", f"{day + DAY}T00:00")

    hold_all(court, slots)
    assert search(court, f"{day}T00:00", f"{day + DAY}T00:00") == []


def test_places_of_a_class_can_be_held_until_none_is_shown() -> None:
    yoga = make_court(units=2, hours=[(time(8), time(9))], min_minutes=60)

    for left in (2, 1):
        [slot] = search(yoga)
        assert slot["free_units"] == left
        hold_all(yoga, [slot])
    assert search(yoga) == []


# --- Cost ---------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 31])
def test_a_search_costs_the_same_queries_however_long_and_full(
    django_assert_num_queries: DjangoAssertNumQueries, days: int
) -> None:
    court = make_court(units=3)
    for day in range(days):
        make_hold(resource=court, start=MONDAY + day * DAY + 8 * HOUR)
        close(court, (MONDAY + day * DAY).date(), opens=time(9), closes=time(9, 30))

    with django_assert_num_queries(3):
        slots = search(court, MONDAY, MONDAY + days * DAY)

    assert len(slots) == 3 * days
