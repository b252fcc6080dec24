"""Which slots are shown as free: the grid of the opening hours, less what is taken."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from itertools import pairwise

import pytest

from bookings.models import ResourceUnit
from bookings.services import holds
from tests.bookings.free_slots import (
    DAY,
    HOUR,
    MONDAY,
    close,
    make_court,
    search,
    starts,
)
from tests.factories import expire, make_hold, make_resource

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_a_sunday_in_may")]

Clock = Callable[[datetime], None]


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
