"""Opening hours as instants, on usual days and on those with 23, 24.5 or 25 hours."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from bookings.errors import AmbiguousTime, NonexistentTime
from bookings.hours import (
    Interval,
    SpecialDay,
    WeeklyHours,
    closed_intervals,
    local_days,
    open_until,
    opening_at,
    opening_intervals,
    to_instant,
)

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
MIDNIGHT, NOON = time(0), time(12)
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def every_day(*hours: tuple[time, time]) -> list[WeeklyHours]:
    return [
        WeeklyHours(day, opens, closes) for day in range(7) for opens, closes in hours
    ]


def openings(
    day: date, *hours: tuple[time, time], zone: ZoneInfo = BERLIN
) -> list[Interval]:
    return opening_intervals(
        zone=zone, days=[day], weekly=every_day(*hours), special=[]
    )


def special_day(
    kind: str = "HOURS",
    opens: time | None = NOON,
    closes: time | None = time(13),
    *,
    of_resource: bool = False,
) -> SpecialDay:
    return SpecialDay(date(2026, 6, 1), kind, opens, closes, of_resource)


# --- Local times as instants --------------------------------------------------


def test_a_time_with_an_offset_is_that_instant_wherever_the_venue_is() -> None:
    moment = datetime(2026, 6, 1, 10, tzinfo=timezone(timedelta(hours=-3)))

    assert to_instant(moment, LORD_HOWE, field="from") == utc("2026-06-01T13:00")


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        (BERLIN, "2026-01-15T10:00", "2026-01-15T09:00"),
        (BERLIN, "2026-07-15T10:00", "2026-07-15T08:00"),
        (BERLIN, "2026-03-29T01:59:59", "2026-03-29T00:59:59"),
        (BERLIN, "2026-03-29T03:00", "2026-03-29T01:00"),
        (BERLIN, "2026-10-25T01:59:59", "2026-10-24T23:59:59"),
        (BERLIN, "2026-10-25T03:00", "2026-10-25T02:00"),
        (NEW_YORK, "2026-03-08T03:00", "2026-03-08T07:00"),
        (LORD_HOWE, "2026-10-04T02:30", "2026-10-03T15:30"),
        (LORD_HOWE, "2026-04-05T02:00", "2026-04-04T15:30"),
    ],
)
def test_a_time_without_offset_is_local_time_of_the_venue(
    zone: ZoneInfo, local: str, instant: str
) -> None:
    moment = datetime.fromisoformat(local)

    assert to_instant(moment, zone, field="from") == utc(instant)


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        (BERLIN, "2026-03-29T02:00"),
        (BERLIN, "2026-03-29T02:59:59"),
        (NEW_YORK, "2026-03-08T02:30"),
        (LORD_HOWE, "2026-10-04T02:00"),
        (LORD_HOWE, "2026-10-04T02:29:59"),
    ],
)
def test_a_time_that_the_clocks_skip_is_refused(zone: ZoneInfo, local: str) -> None:
    with pytest.raises(NonexistentTime) as refused:
        to_instant(datetime.fromisoformat(local), zone, field="start_time")

    assert [*refused.value.extra["errors"]] == ["start_time"]


@pytest.mark.parametrize(
    ("zone", "local", "apart"),
    [
        (BERLIN, "2026-10-25T02:00", HOUR),
        (BERLIN, "2026-10-25T02:59:59", HOUR),
        (NEW_YORK, "2026-11-01T01:30", HOUR),
        (LORD_HOWE, "2026-04-05T01:30", HOUR / 2),
    ],
)
def test_a_time_that_happens_twice_is_refused_with_both_readings(
    zone: ZoneInfo, local: str, apart: timedelta
) -> None:
    with pytest.raises(AmbiguousTime) as refused:
        to_instant(datetime.fromisoformat(local), zone, field="start_time")

    readings = refused.value.extra["readings"]
    first, second = (datetime.fromisoformat(reading) for reading in readings)
    assert second - first == apart
    for reading in (first, second):
        assert reading.replace(tzinfo=None) == datetime.fromisoformat(local)
        assert to_instant(reading, zone, field="start_time") == reading


# --- Opening hours ------------------------------------------------------------


def test_hours_are_of_their_weekday() -> None:
    monday_only = [WeeklyHours(0, NOON, time(13))]
    days = [date(2026, 6, 1) + timedelta(days=n) for n in range(8)]

    found = opening_intervals(zone=BERLIN, days=days, weekly=monday_only, special=[])

    assert [interval.start for interval in found] == [
        utc("2026-06-01T10:00"),
        utc("2026-06-08T10:00"),
    ]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (BERLIN, date(2026, 6, 1), 24),
        (BERLIN, date(2026, 3, 29), 23),
        (BERLIN, date(2026, 10, 25), 25),
        (LORD_HOWE, date(2026, 10, 4), 23.5),
        (LORD_HOWE, date(2026, 4, 5), 24.5),
    ],
)
def test_a_venue_open_day_and_night_is_open_as_long_as_the_day_is(
    zone: ZoneInfo, day: date, hours: float
) -> None:
    [interval] = openings(day, (MIDNIGHT, MIDNIGHT), zone=zone)

    assert interval.end - interval.start == timedelta(hours=hours)


def test_closing_at_or_before_the_opening_is_on_the_next_day() -> None:
    late, round_the_clock = openings(
        date(2026, 6, 1), (time(22), time(2)), (NOON, NOON)
    )[::-1]

    assert (late.start, late.end) == (utc("2026-06-01T20:00"), utc("2026-06-02T00:00"))
    assert round_the_clock.end - round_the_clock.start == 24 * HOUR


@pytest.mark.parametrize(
    ("day", "opens", "closes", "start", "end"),
    [
        # In the gap, the time is as long after midnight as it would have been.
        (date(2026, 3, 29), time(2, 30), time(6), "01:30", "04:00"),
        (date(2026, 3, 29), time(1), time(2, 30), "00:00", "01:30"),
        # In the overlap it opens at the first and closes at the second occurrence.
        (date(2026, 10, 25), time(2, 30), time(6), "00:30", "05:00"),
        (date(2026, 10, 25), time(1), time(2, 30), "23:00", "01:30"),
    ],
)
def test_hours_that_begin_or_end_while_the_clocks_change(
    day: date, opens: time, closes: time, start: str, end: str
) -> None:
    [interval] = openings(day, (opens, closes))

    assert f"{interval.start:%H:%M}" == start
    assert f"{interval.end:%H:%M}" == end


def test_intervals_come_in_order_of_time() -> None:
    found = openings(date(2026, 6, 1), (time(18), time(20)), (time(8), time(12)))

    assert [interval.start.hour for interval in found] == [6, 16]


# --- Special days -------------------------------------------------------------


def hours_with(*special: SpecialDay) -> list[Interval]:
    return opening_intervals(
        zone=ZoneInfo("UTC"),
        days=[date(2026, 6, 1)],
        weekly=every_day((time(8), time(20))),
        special=list(special),
    )


def test_special_hours_replace_the_weekly_ones() -> None:
    [interval] = hours_with(special_day())

    assert (interval.start.hour, interval.end.hour) == (12, 13)


def test_a_special_day_may_have_several_hours() -> None:
    found = hours_with(special_day(), special_day(opens=time(9), closes=time(10)))

    assert [interval.start.hour for interval in found] == [9, 12]


def test_special_hours_of_the_resource_win_over_those_of_the_venue() -> None:
    own = special_day(opens=time(15), closes=time(16), of_resource=True)

    [interval] = hours_with(special_day(), own)

    assert interval.start.hour == 15


def test_special_hours_of_another_day_change_nothing() -> None:
    other = SpecialDay(date(2026, 6, 2), "HOURS", NOON, time(13), of_resource=False)

    [interval] = hours_with(other)

    assert interval.start.hour == 8


def test_a_closure_is_not_cut_out_of_the_hours_but_listed_beside_them() -> None:
    closure = special_day("CLOSED")

    assert hours_with(closure) == hours_with()
    [closed] = closed_intervals(ZoneInfo("UTC"), [closure, special_day()])
    assert (closed.start, closed.end) == (
        utc("2026-06-01T12:00"),
        utc("2026-06-01T13:00"),
    )


def test_a_closure_without_times_is_the_whole_day() -> None:
    closure = SpecialDay(date(2026, 10, 25), "CLOSED", None, None, of_resource=False)

    [closed] = closed_intervals(BERLIN, [closure])

    assert closed.end - closed.start == 25 * HOUR


# --- Intervals ----------------------------------------------------------------


def hour(start: int, end: int) -> Interval:
    return Interval(utc("2026-06-01") + start * HOUR, utc("2026-06-01") + end * HOUR)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (hour(8, 10), hour(10, 12), False),
        (hour(8, 10), hour(9, 12), True),
        (hour(8, 12), hour(9, 10), True),
        (hour(8, 10), hour(8, 10), True),
        (hour(8, 10), hour(11, 12), False),
    ],
)
def test_intervals_overlap_if_a_moment_is_in_both(
    one: Interval, other: Interval, overlap: bool
) -> None:
    assert one.overlaps(other) is overlap
    assert other.overlaps(one) is overlap


def test_an_opening_has_its_first_moment_and_not_its_last() -> None:
    morning, evening = hour(8, 12), hour(14, 20)

    assert opening_at([morning, evening], morning.start) == morning
    assert opening_at([morning, evening], morning.end) is None
    assert opening_at([morning, evening], evening.start + HOUR) == evening


def test_it_stays_open_over_openings_that_touch_or_overlap() -> None:
    touching = [hour(8, 12), hour(12, 14), hour(13, 18), hour(19, 22)]

    assert open_until(touching, touching[0].start) == hour(8, 18).end
    assert open_until(touching, hour(18, 19).start) == hour(18, 19).start


def test_local_days_reach_a_day_further_on_each_side() -> None:
    days = local_days(LORD_HOWE, utc("2026-06-01T13:00"), utc("2026-06-01T14:00"))

    # 23:30 on the first of June to 00:30 on the second.
    assert days == [date(2026, 5, 31) + timedelta(days=n) for n in range(4)]
