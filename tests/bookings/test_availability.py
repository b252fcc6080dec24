"""Free slots: all that can be held is shown, and all that is shown can be held."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from bookings.models import DateException, Resource, ResourceUnit
from bookings.services import holds
from tests.factories import expire, make_customer, make_hold, make_resource, make_venue

pytestmark = pytest.mark.django_db

Clock = Callable[[datetime], None]
MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _a_sunday_in_may(set_clock: Clock) -> None:
    """It is the noon before MONDAY."""
    set_clock(MONDAY - 12 * HOUR)


def make_court(zone: str = "UTC", **over: Any) -> Resource:
    """Open from eight to ten, in steps of half an hour."""
    hours = over.pop("hours", [(time(8), time(10))])
    return make_resource(venue=make_venue(time_zone=zone), hours=hours, **over)


def search(
    court: Resource,
    start: datetime | str = MONDAY,
    end: datetime | str = MONDAY + DAY,
    **query: Any,
) -> list[dict[str, Any]]:
    """The slots that are shown to anybody."""
    address = f"/api/v1/resources/{court.pk}/availability/"
    answer = APIClient().get(address, {"from": start, "to": end, **query})
    assert answer.status_code == 200, answer.content
    slots: list[dict[str, Any]] = answer.json()["slots"]
    return slots


def starts(slots: list[dict[str, Any]]) -> list[str]:
    return [slot["start_time"][11:16] for slot in slots]


def close(court: Resource, day: date, **over: Any) -> None:
    fields = {"venue": court.venue, "date": day, "kind": "CLOSED"}
    DateException.objects.create(**{**fields, **over})


# --- The grid -----------------------------------------------------------------


def test_slots_start_with_the_opening_and_end_by_the_closing() -> None:
    court = make_court(hours=[(time(8, 15), time(10))])

    assert starts(search(court)) == ["08:15", "08:45", "09:15"]
    assert starts(search(court, duration=60)) == ["08:15", "08:45"]


def test_a_slot_is_as_long_as_asked_and_as_the_shortest_otherwise() -> None:
    court = make_court(min_minutes=60)

    assert {slot["end_time"][11:16] for slot in search(court)} == {
        *("09:00", "09:30", "10:00")
    }
    [only] = search(court, duration=120)
    assert only["end_time"] == "2026-06-01T10:00:00Z"


def test_only_slots_that_start_in_the_window_are_shown() -> None:
    court = make_court()

    window = (MONDAY + 8.5 * HOUR, MONDAY + 9.5 * HOUR)
    assert starts(search(court, *window)) == ["08:30", "09:00"]
    assert starts(search(court, MONDAY + timedelta(hours=8, seconds=1), window[1])) == [
        *("08:30", "09:00")
    ]


def test_each_opening_has_its_own_grid() -> None:
    court = make_court(hours=[(time(8), time(9)), (time(14, 10), time(15, 10))])

    assert starts(search(court)) == ["08:00", "08:30", "14:10", "14:40"]


def test_a_night_is_one_opening() -> None:
    court = make_court(hours=[(time(22, 15), time(1))])

    found = search(court, MONDAY + 12 * HOUR, MONDAY + DAY + 12 * HOUR, duration=90)
    assert starts(found) == ["22:15", "22:45", "23:15"]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 6, 2), 24),
        ("Europe/Berlin", date(2027, 3, 28), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Australia/Lord_Howe", date(2027, 4, 4), 24.5),
    ],
)
def test_a_day_has_a_slot_for_each_half_hour_that_really_passes(
    zone: str, day: date, hours: float
) -> None:
    court = make_court(zone, hours=[(time(0), time(0))], horizon_days=365)

    slots = search(court, f"{day}T00:00", f"{day + DAY}T00:00")

    assert len(slots) == hours * 2
    moments = [datetime.fromisoformat(slot["start_time"]) for slot in slots]
    assert {after - before for before, after in pairwise(moments)} == {HOUR / 2}


def test_slots_after_the_clocks_changed_still_count_from_the_opening() -> None:
    court = make_court(
        "Europe/Berlin",
        hours=[(time(0, 45), time(6))],
        step_minutes=60,
        min_minutes=60,
        horizon_days=365,
    )

    slots = search(court, "2026-10-25T00:00", "2026-10-26T00:00")

    # 0:45, 1:45, 2:45, again 2:45, 3:45, 4:45; one at 5:45 would end too late.
    assert starts(slots) == ["22:45", "23:45", "00:45", "01:45", "02:45", "03:45"]


# --- What is in the way -------------------------------------------------------


def test_a_held_slot_is_not_shown_and_an_expired_one_is() -> None:
    court = make_court()
    hold = make_hold(resource=court, start=MONDAY + 8 * HOUR)

    assert starts(search(court)) == ["09:00", "09:30"]
    expire(hold)
    assert starts(search(court)) == ["08:00", "08:30", "09:00", "09:30"]


def test_a_released_slot_is_shown_again() -> None:
    court = make_court()
    hold = make_hold(resource=court, start=MONDAY + 8 * HOUR)
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    assert len(search(court)) == 4


def test_between_two_slots_is_the_buffer_after_one_and_before_the_other() -> None:
    court = make_court(
        hours=[(time(8), time(18))], buffer_before_minutes=30, buffer_after_minutes=15
    )
    make_hold(resource=court, start=MONDAY + 12 * HOUR)

    shown = starts(search(court, duration=60))
    # One must end 45 minutes before 12:00, another start 45 minutes after 13:00.
    assert [each for each in shown if "10" < each < "15"] == ["10:00", "14:00", "14:30"]


def test_notice_and_horizon_count_from_now(set_clock: Clock) -> None:
    court = make_court(notice_minutes=90, horizon_days=1)
    set_clock(MONDAY + 7 * HOUR)

    found = search(court, MONDAY, MONDAY + 2 * DAY, duration=30)
    assert starts(found) == ["08:30", "09:00", "09:30"]
    set_clock(MONDAY + 7 * HOUR + timedelta(minutes=61))
    found = search(court, MONDAY, MONDAY + 2 * DAY)
    # The second day's slot starts less than 24 hours from now.
    assert [slot["start_time"][8:16] for slot in found] == ["02T08:00"]


def test_what_is_over_is_not_shown(set_clock: Clock) -> None:
    court = make_court()
    set_clock(MONDAY + 9 * HOUR)

    assert starts(search(court)) == ["09:00", "09:30"]
    assert search(court, MONDAY - DAY, MONDAY) == []


def test_a_closure_hides_what_it_touches() -> None:
    court = make_court()
    close(court, MONDAY.date(), opens=time(8, 45), closes=time(9))

    assert starts(search(court)) == ["08:00", "09:00", "09:30"]
    assert starts(search(court, duration=60)) == ["09:00"]


@pytest.mark.parametrize("of_resource", [True, False])
def test_a_closed_day_has_no_slots(of_resource: bool) -> None:
    court = make_court()
    other = make_resource(venue=court.venue, hours=[(time(8), time(10))])
    close(court, MONDAY.date(), resource=court if of_resource else None)

    assert search(court) == []
    assert len(search(other)) == (4 if of_resource else 0)


def test_special_hours_replace_the_usual_ones() -> None:
    court = make_court()
    special = {"kind": "HOURS", "opens": time(11), "closes": time(12)}
    close(court, MONDAY.date(), **special)

    assert starts(search(court)) == ["11:00", "11:30"]


def test_a_class_shows_how_many_places_are_left() -> None:
    yoga = make_court(units=3, hours=[(time(8), time(9))], min_minutes=60)
    make_hold(resource=yoga, start=MONDAY + 8 * HOUR, units=2)

    assert [slot["free_units"] for slot in search(yoga)] == [1]
    assert len(search(yoga, units=1)) == 1
    assert search(yoga, units=2) == []


def test_units_that_were_retired_are_not_free() -> None:
    yoga = make_court(units=2)
    ResourceUnit.objects.filter(resource=yoga, number=1).update(retired_at=MONDAY)

    assert {slot["free_units"] for slot in search(yoga)} == {1}
    ResourceUnit.objects.filter(resource=yoga).update(retired_at=MONDAY)
    assert search(yoga) == []


def test_the_price_is_for_all_units_and_the_whole_length() -> None:
    yoga = make_court(units=3, price_minor=450, payment_mode="AT_VENUE")

    [first, *_] = search(yoga, duration=90, units=2)
    assert (first["price_minor"], first["currency"]) == (450 * 3 * 2, "EUR")


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
        wanted = holds.Wanted(court.pk, *times)
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

    with django_assert_num_queries(2):
        slots = search(court, MONDAY, MONDAY + days * DAY)

    assert len(slots) == 3 * days
