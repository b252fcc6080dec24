"""Opening hours as instants: pure arithmetic between local rules and UTC.

Local times come from people, instants are what is sold. When the clocks go forward, a
skipped time is read with the offset before (RFC 5545), so 2:30 means 3:30; when they go
back, a venue opens at the first and closes at the second occurrence of a repeated time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bookings.errors import AmbiguousTime, NonexistentTime
from bookings.states import ExceptionKind

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Interval:
    """From `start` up to, not including, `end`; both aware, in UTC."""

    start: datetime
    end: datetime

    def overlaps(self, other: "Interval") -> bool:
        """Whether some moment is in both."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class WeeklyHours:
    """Open from `opens` to `closes` local time on this weekday (0 is Monday)."""

    weekday: int
    opens: time
    closes: time


@dataclass(frozen=True)
class SpecialDay:
    """A date on which other hours hold, or none. Times None: the whole day."""

    date: date
    kind: str
    opens: time | None
    closes: time | None
    of_resource: bool


def to_instant(local: datetime, zone: ZoneInfo, *, field: str) -> datetime:
    """The instant of a time: with an offset as it is, without one as local time.

    Raises:
        NonexistentTime: the clocks skip it.
        AmbiguousTime: it happens twice; both readings are in the error.
    """
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    readings = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    if readings[0].utcoffset() == readings[1].utcoffset():
        return readings[0].astimezone(UTC)
    if readings[0].astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        problem = f"{local.isoformat()} does not exist in {zone.key}."
        raise NonexistentTime(problem, errors={field: [problem]})
    problem = f"{local.isoformat()} happens twice in {zone.key}. Send its offset too."
    raise AmbiguousTime(
        problem,
        errors={field: [problem]},
        readings=[reading.isoformat() for reading in readings],
    )


def say_local(moment: datetime, zone: ZoneInfo) -> str:
    """The local time of an instant: `2026-11-27T13:00`."""
    return f"{moment.astimezone(zone):%Y-%m-%dT%H:%M}"


def opening_intervals(
    *,
    zone: ZoneInfo,
    days: Iterable[date],
    weekly: list[WeeklyHours],
    special: list[SpecialDay],
) -> list[Interval]:
    """When it is open on these local days, in order; closures are not cut out."""
    intervals = [
        _between(zone, day, opens, closes)
        for day in days
        for opens, closes in _hours_of(day, weekly, special)
    ]
    return sorted(intervals, key=lambda interval: interval.start)


def closed_intervals(zone: ZoneInfo, special: list[SpecialDay]) -> list[Interval]:
    """When it is closed although the hours say open."""
    return [
        _between(zone, each.date, each.opens or time(), each.closes or time())
        for each in special
        if each.kind == ExceptionKind.CLOSED
    ]


def _hours_of(
    day: date, weekly: list[WeeklyHours], special: list[SpecialDay]
) -> Iterator[tuple[time, time]]:
    """Special hours win over weekly ones, those of the resource over the venue's."""
    todays = [s for s in special if s.date == day and s.kind == ExceptionKind.HOURS]
    own = [each for each in todays if each.of_resource] or todays
    if own:
        yield from ((each.opens or time(), each.closes or time()) for each in own)
        return
    for each in weekly:
        if each.weekday == day.weekday():
            yield each.opens, each.closes


def _between(zone: ZoneInfo, day: date, opens: time, closes: time) -> Interval:
    """From opening to closing; closing at or before the opening is on the next day."""
    closing = datetime.combine(day + DAY if closes <= opens else day, closes, zone)
    return Interval(
        datetime.combine(day, opens, zone).astimezone(UTC),
        # Of a repeated time the second one, of a skipped one that after the gap.
        max(closing.replace(fold=fold).astimezone(UTC) for fold in (0, 1)),
    )


def quiet_end(
    zone: ZoneInfo, quiet_from: time | None, quiet_until: time | None, now: datetime
) -> datetime | None:
    """When the quiet hours end in which this moment is; None outside of them."""
    night = quiet_hours(zone, quiet_from, quiet_until, now)
    return night.end if night else None


def quiet_hours(
    zone: ZoneInfo, quiet_from: time | None, quiet_until: time | None, now: datetime
) -> Interval | None:
    """The quiet hours in which this moment is; None outside of them."""
    if quiet_from is None or quiet_until is None or quiet_from == quiet_until:
        return None
    today = now.astimezone(zone).date()
    nights = (
        _between(zone, day, quiet_from, quiet_until) for day in (today - DAY, today)
    )
    return next((each for each in nights if each.start <= now < each.end), None)


def local_days(zone: ZoneInfo, start: datetime, end: datetime) -> list[date]:
    """The local days whose opening hours may touch this time: one more on each side."""
    first = start.astimezone(zone).date() - DAY
    last = end.astimezone(zone).date() + DAY
    return [first + DAY * n for n in range((last - first).days + 1)]


def opening_at(intervals: list[Interval], moment: datetime) -> Interval | None:
    """The interval that is open at this moment."""
    for interval in intervals:
        if interval.start <= moment < interval.end:
            return interval
    return None


def open_until(intervals: list[Interval], start: datetime) -> datetime:
    """Until when it stays open from `start`, across intervals without a gap."""
    until = start
    for interval in intervals:
        if interval.start <= until < interval.end:
            until = interval.end
    return until
