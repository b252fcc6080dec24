"""The rules by which a resource is sold, read at one moment.

The hottest read of the product: every hold and every look at free slots needs it.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from bookings.errors import ResourceClosed, ResourceNotFound
from bookings.hours import (
    DAY,
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
from bookings.states import HoldSource, HoldStatus
from slotbase.lib.errors import ValidationFailed

MINUTE = timedelta(minutes=1)


def in_minutes(length: timedelta) -> int:
    """A length in whole minutes."""
    return length // MINUTE


@dataclass(frozen=True)
class ActiveHold:
    """What a customer keeps from others at this moment."""

    id: UUID
    resource_id: int
    start_time: datetime
    end_time: datetime
    unit_count: int
    counts: bool  # against the limit of the customer; offers do not


@dataclass(frozen=True)
class Rules:
    """All that decides whether a slot of a resource may be sold, read at one moment."""

    resource_id: int
    venue_id: int
    zone: ZoneInfo
    currency: str
    price_minor: int
    payment_mode: str
    step: timedelta
    shortest: timedelta
    longest: timedelta
    buffer_before: timedelta
    buffer_after: timedelta
    notice: timedelta
    horizon: timedelta
    units: dict[int, int]  # live unit numbers, from the lowest, to unit ids
    weekly: list[WeeklyHours]
    special: list[SpecialDay]
    now: datetime
    active_holds: list[ActiveHold]  # of the customer for whom the rules were read
    unused_holds: list[datetime]  # when those ended that they let go to waste lately

    @property
    def capacity(self) -> int:
        """How many units can be sold at the same time."""
        return len(self.units)

    def occupied(self, slot: Interval) -> Interval:
        """What a slot takes of the calendar: itself and its buffers."""
        return Interval(slot.start - self.buffer_before, slot.end + self.buffer_after)

    def reach(self, occupied: Interval) -> Interval:
        """Slots that begin before its end, and end after its start, are in the way."""
        return Interval(
            occupied.start - self.buffer_after, occupied.end + self.buffer_before
        )

    def price(self, length: timedelta, units: int) -> int:
        """Price in minor units; exact, since a length is a multiple of the step."""
        return self.price_minor * (length // self.step) * units

    def cool_down(self) -> timedelta:
        """How long the customer waits until they may keep a slot from others again."""
        wasted = self.unused_holds[-settings.MAX_UNUSED_HOLDS :]
        if len(wasted) < settings.MAX_UNUSED_HOLDS:
            return timedelta(0)
        lasts = timedelta(seconds=settings.UNUSED_HOLDS_SECONDS)
        return max(wasted[0] + lasts - self.now, timedelta(0))

    def length_problem(self, length: timedelta) -> str | None:
        """Why a slot may not be this long, in words; None if it may."""
        if self.shortest <= length <= self.longest and not length % self.step:
            return None
        return (
            f"Book {in_minutes(self.shortest)} to {in_minutes(self.longest)} minutes, "
            f"in steps of {in_minutes(self.step)}."
        )

    def openings(self, start: datetime, end: datetime) -> list[Interval]:
        """Opening intervals of the days around this time."""
        days = local_days(self.zone, start, end)
        return opening_intervals(
            zone=self.zone, days=days, weekly=self.weekly, special=self.special
        )

    def closures(self) -> list[Interval]:
        """Closed times of the days that were read."""
        return closed_intervals(self.zone, self.special)


@dataclass(frozen=True)
class Wanted:
    """What a customer asks for. Times without an offset are the venue's local time."""

    resource_id: int
    start_time: datetime
    end_time: datetime
    units: int = 1


def check_slot(rules: Rules, wanted: Wanted) -> Interval:
    """The wanted time as instants, if the rules of the resource allow to sell it.

    Raises:
        ValidationFailed: past, too late, too far, too short, off the grid, not open.
        ResourceClosed: inside a closure.
        NonexistentTime, AmbiguousTime: a local time that clocks skip or repeat.
    """
    slot = Interval(
        to_instant(wanted.start_time, rules.zone, field="start_time"),
        to_instant(wanted.end_time, rules.zone, field="end_time"),
    )
    _check_length(rules, slot)
    _check_notice(rules, slot)
    _check_hours(rules, slot)
    if not 1 <= wanted.units <= rules.capacity:
        raise ValidationFailed(units=f"Between 1 and {rules.capacity} can be booked.")
    return slot


def _check_length(rules: Rules, slot: Interval) -> None:
    length = slot.end - slot.start
    if length <= timedelta():
        raise ValidationFailed(end_time="Must be after start_time.")
    if problem := rules.length_problem(length):
        raise ValidationFailed(end_time=problem)


def _check_notice(rules: Rules, slot: Interval) -> None:
    if slot.start <= rules.now:
        raise ValidationFailed(start_time="Is in the past.")
    if slot.start < rules.now + rules.notice:
        raise ValidationFailed(
            start_time=f"Book {in_minutes(rules.notice)} minutes ahead at least."
        )
    if slot.start >= rules.now + rules.horizon:
        raise ValidationFailed(
            start_time=f"Book {rules.horizon.days} days ahead at most."
        )


def _check_hours(rules: Rules, slot: Interval) -> None:
    openings = rules.openings(slot.start, slot.end)
    opening = opening_at(openings, slot.start)
    if opening is None or open_until(openings, slot.start) < slot.end:
        raise ValidationFailed(start_time="Is outside the opening hours.")
    if (slot.start - opening.start) % rules.step:
        raise ValidationFailed(
            start_time=f"Slots start every {in_minutes(rules.step)} minutes "
            f"from {opening.start:%Y-%m-%dT%H:%MZ}."
        )
    if any(slot.overlaps(closure) for closure in rules.closures()):
        raise ResourceClosed


# What kept a slot from others for more than half of its time, and came to nothing: what
# was given back soon did no harm.
_UNUSED_HOLDS = f"""
SELECT ended FROM (
    SELECT created_at, expires_at, least(released_at, expires_at) AS ended
    FROM bookings_bookinghold
    WHERE customer_id = %s AND status <> '{HoldStatus.CONFIRMED}'
      AND source IN ('{HoldSource.CUSTOMER}', '{HoldSource.WAITLIST}')) over
WHERE ended <= (SELECT slotbase_now())
  AND ended > (SELECT slotbase_now()) - make_interval(secs => %s)
  AND ended - created_at > (expires_at - created_at) / 2
"""  # noqa: S608 - only our own state names
# One statement, because every hold needs all of it: the resource with its venue, live
# units in order, weekly hours, special days around the wanted time, the clock, and what
# the customer keeps from others, offers included.
_RULES = f"""
SELECT r.id, r.venue_id, v.time_zone, v.currency, r.price_minor, r.payment_mode,
    r.step_minutes, r.min_minutes, r.max_minutes, r.buffer_before_minutes,
    r.buffer_after_minutes, r.notice_minutes, r.horizon_days,
    (SELECT json_agg(json_build_array(u.id, u.number) ORDER BY u.number)
     FROM bookings_resourceunit u
     WHERE u.resource_id = r.id AND u.retired_at IS NULL)::text,
    (SELECT json_agg(json_build_array(h.weekday, h.opens, h.closes))
     FROM bookings_openinghours h WHERE h.resource_id = r.id)::text,
    (SELECT json_agg(json_build_array(e.date, e.kind, e.opens, e.closes,
                                      e.resource_id))
     FROM bookings_dateexception e
     WHERE e.venue_id = r.venue_id
       AND e.date BETWEEN %s AND %s + r.max_minutes / 1440
       AND (e.resource_id IS NULL OR e.resource_id = r.id))::text,
    (SELECT json_agg(json_build_array(b.id, b.resource_id, b.start_time, b.end_time,
                                      cardinality(b.units), b.source))
     FROM bookings_bookinghold b
     WHERE b.customer_id = %s AND b.status = '{HoldStatus.ACTIVE}'
       AND b.source IN ('{HoldSource.CUSTOMER}', '{HoldSource.WAITLIST}')
       AND b.expires_at > (SELECT slotbase_now()))::text,
    slotbase_now(),
    (SELECT json_agg(unused.ended ORDER BY unused.ended)
     FROM ({_UNUSED_HOLDS}) unused)::text
FROM bookings_resource r JOIN accounts_venue v ON v.id = r.venue_id
WHERE r.id = %s AND r.is_bookable
"""  # noqa: S608 - only our own state names


def get_rules(
    resource_id: int, *, first: date, last: date, customer_id: UUID | None = None
) -> Rules:
    """The rules of a resource, with the special days that matter to some slots.

    They start from `first` to `last`, dates in any zone: the venue's own are up to two
    days off, and the hours of one more day on each side reach into them.

    For a customer, also what they hold now, and what they let go to waste: read it
    after locking the customer.

    Raises:
        ResourceNotFound: there is none, or it is not bookable.
    """
    with connection.cursor() as cursor:
        days = (first - 3 * DAY, last + 3 * DAY)
        unused = (customer_id, settings.UNUSED_HOLDS_SECONDS)
        cursor.execute(_RULES, [*days, customer_id, *unused, resource_id])
        row = cursor.fetchone()
    if row is None:
        raise ResourceNotFound
    return _rules_from(row)


def read_rules(wanted: Wanted, *, customer_id: UUID | None = None) -> Rules:
    """The rules by which a wish is judged; as `get_rules`.

    Raises:
        ResourceNotFound: there is none, or it is not bookable.
    """
    return get_rules(
        wanted.resource_id,
        first=wanted.start_time.date(),
        last=wanted.end_time.date(),
        customer_id=customer_id,
    )


def _rules_from(row: tuple[Any, ...]) -> Rules:
    step, shortest, longest, before, after, notice = (MINUTE * n for n in row[6:12])
    units, weekly, special, active = (json.loads(t or "[]") for t in row[13:17])
    return Rules(
        resource_id=row[0],
        venue_id=row[1],
        zone=ZoneInfo(row[2]),
        currency=row[3],
        price_minor=row[4],
        payment_mode=row[5],
        step=step,
        shortest=shortest,
        longest=longest,
        buffer_before=before,
        buffer_after=after,
        notice=notice,
        horizon=DAY * row[12],
        units={number: unit_id for unit_id, number in units},
        weekly=[
            WeeklyHours(weekday, _time(opens), _time(closes))
            for weekday, opens, closes in weekly
        ],
        special=[_special_day(*each) for each in special],
        now=row[17],
        active_holds=[_active_hold(*each) for each in active],
        unused_holds=[datetime.fromisoformat(t) for t in json.loads(row[18] or "[]")],
    )


def _time(text: str) -> time:
    return time.fromisoformat(text)


def _special_day(
    day: str, kind: str, opens: str | None, closes: str | None, resource_id: int | None
) -> SpecialDay:
    return SpecialDay(
        date.fromisoformat(day),
        kind,
        _time(opens) if opens else None,
        _time(closes) if closes else None,
        resource_id is not None,
    )


def _active_hold(
    hold_id: str, resource_id: int, start: str, end: str, units: int, source: str
) -> ActiveHold:
    start_time, end_time = map(datetime.fromisoformat, (start, end))
    return ActiveHold(
        *(UUID(hold_id), resource_id, start_time, end_time, units),
        counts=source == HoldSource.CUSTOMER,
    )
