"""Reading what can be booked and what is taken. Nothing here locks or writes."""

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Count, Q, QuerySet

from bookings.errors import BookingNotFound, HoldNotFound, ResourceNotFound
from bookings.hours import (
    DAY,
    Interval,
    SpecialDay,
    WeeklyHours,
    closed_intervals,
    local_days,
    open_until,
    opening_intervals,
)
from bookings.models import Booking, BookingHold, Resource
from bookings.states import HoldSource, HoldStatus
from recovery.models import AuditEntry
from slotbase.accounts.models import Venue
from slotbase.lib.clock import Now

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

    @property
    def capacity(self) -> int:
        """How many units can be sold at the same time."""
        return len(self.units)

    def occupied(self, slot: Interval) -> Interval:
        """What a slot takes of the calendar: itself and its buffers."""
        return Interval(slot.start - self.buffer_before, slot.end + self.buffer_after)

    def price(self, length: timedelta, units: int) -> int:
        """Price in minor units; exact, since a length is a multiple of the step."""
        return self.price_minor * (length // self.step) * units

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


# One statement, because every hold needs all of it: the resource with its venue, live
# units in order, weekly hours, special days around the wanted time, the clock, and the
# holds that count against the customer's limit (offers do not).
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
                                      cardinality(b.units)))
     FROM bookings_bookinghold b
     WHERE b.customer_id = %s AND b.status = '{HoldStatus.ACTIVE}'
       AND b.source = '{HoldSource.CUSTOMER}'
       AND b.expires_at > (SELECT slotbase_now()))::text,
    slotbase_now()
FROM bookings_resource r JOIN accounts_venue v ON v.id = r.venue_id
WHERE r.id = %s AND r.is_bookable
"""  # noqa: S608 - only our own state names


def get_rules(
    resource_id: int, *, first: date, last: date, customer_id: UUID | None = None
) -> Rules:
    """The rules of a resource, with the special days that matter to some slots.

    They start from `first` to `last`, dates in any zone: the venue's own are up to two
    days off, and the hours of one more day on each side reach into them.

    For a customer, also what they hold now: read it after locking the customer.

    Raises:
        ResourceNotFound: there is none, or it is not bookable.
    """
    with connection.cursor() as cursor:
        days = (first - 3 * DAY, last + 3 * DAY)
        cursor.execute(_RULES, [*days, customer_id, resource_id])
        row = cursor.fetchone()
    if row is None:
        raise ResourceNotFound
    return _rules_from(row)


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
    hold_id: str, resource_id: int, start: str, end: str, unit_count: int
) -> ActiveHold:
    start_time, end_time = map(datetime.fromisoformat, (start, end))
    return ActiveHold(UUID(hold_id), resource_id, start_time, end_time, unit_count)


_TAKEN = """
SELECT u.number, lower(c.during), upper(c.during)
FROM bookings_slotclaim c
JOIN bookings_resourceunit u ON u.id = c.unit_id
LEFT JOIN bookings_bookinghold h ON h.id = c.hold_id
WHERE u.resource_id = %s
  AND int8range(c.unit_id, c.unit_id, '[]') && int8range(%s, %s, '[]')
  AND c.during && tstzrange(%s, %s)
  AND NOT (h.id IS NOT NULL AND h.status = 'ACTIVE'
           AND h.expires_at <= (SELECT slotbase_now()))
"""


def get_taken(rules: Rules, window: Interval) -> dict[int, list[Interval]]:
    """What is occupied of each unit (by number) in the window, ordered by start.

    An expired hold occupies nothing, whether or not a sweep has seen it.
    """
    taken: dict[int, list[Interval]] = {number: [] for number in rules.units}
    if not taken:
        return taken
    ids = rules.units.values()
    with connection.cursor() as cursor:
        cursor.execute(
            _TAKEN, [rules.resource_id, min(ids), max(ids), window.start, window.end]
        )
        for number, start, end in cursor.fetchall():
            if number in taken:
                taken[number].append(Interval(start, end))
    for intervals in taken.values():
        intervals.sort(key=lambda interval: interval.start)
    return taken


@dataclass(frozen=True)
class FreeSlot:
    """A slot that can be held now, with how many units of it are left."""

    start: datetime
    end: datetime
    free_units: int


def list_free_slots(
    rules: Rules, window: Interval, *, length: timedelta, units: int
) -> Iterator[FreeSlot]:
    """Free slots of this length that start in the window, in order of time."""
    earliest = max(window.start, rules.now + rules.notice)
    latest = min(window.end, rules.now + rules.horizon)
    if earliest >= latest or not rules.units:
        return
    around = rules.occupied(Interval(earliest, latest + length))
    taken, closures = get_taken(rules, around), rules.closures()
    for slot in _grid(rules, earliest, latest, length):
        if any(slot.overlaps(closure) for closure in closures):
            continue
        occupied = rules.occupied(slot)
        free = sum(_is_free(occupied, intervals) for intervals in taken.values())
        if free >= units:
            yield FreeSlot(slot.start, slot.end, free)


def _grid(
    rules: Rules, earliest: datetime, latest: datetime, length: timedelta
) -> Iterator[Interval]:
    """Every slot that the opening hours allow, free or not."""
    openings = rules.openings(earliest, latest + length)
    reached = earliest
    for opening in openings:
        steps = max(0, -((opening.start - reached) // rules.step))
        start = opening.start + rules.step * steps
        closes = open_until(openings, opening.start)
        while start < min(opening.end, latest) and start + length <= closes:
            yield Interval(start, start + length)
            start += rules.step
        reached = max(reached, opening.end)


def _is_free(occupied: Interval, taken: list[Interval]) -> bool:
    """Whether nothing taken (ordered, without overlaps) is in the way."""
    index = bisect_left(taken, occupied.end, key=lambda interval: interval.start)
    return index == 0 or taken[index - 1].end <= occupied.start


def list_alternatives(
    rules: Rules, slot: Interval, *, units: int, limit: int = 3
) -> list[FreeSlot]:
    """The free slots of the same length that start nearest to the wanted one."""
    window = Interval(slot.start - DAY, slot.start + 2 * DAY)
    length = slot.end - slot.start
    free = list_free_slots(rules, window, length=length, units=units)
    return sorted(free, key=lambda each: abs(each.start - slot.start))[:limit]


def get_hold(hold_id: UUID, *, customer_id: UUID) -> BookingHold:
    """A hold of this customer.

    Raises:
        HoldNotFound: there is none, or it is somebody else's.
    """
    hold = (
        BookingHold.objects.select_related("resource__venue", "booking")
        .filter(pk=hold_id, customer=customer_id)
        .annotate(has_run_out=Q(expires_at__lte=Now()))
        .first()
    )
    if hold is None:
        raise HoldNotFound
    if hold.status == HoldStatus.ACTIVE and hold.has_run_out:
        # Its slot is free for everybody, though no sweep has come by yet.
        hold.status = HoldStatus.EXPIRED
    return hold


def list_bookings(customer_id: UUID) -> QuerySet[Booking]:
    """Bookings of this customer, newest first."""
    return Booking.objects.select_related("resource__venue").filter(
        customer=customer_id
    )


def get_booking(booking_id: UUID, *, customer_id: UUID) -> Booking:
    """A booking of this customer.

    Raises:
        BookingNotFound: there is none, or it is somebody else's.
    """
    booking = list_bookings(customer_id).filter(pk=booking_id).first()
    if booking is None:
        raise BookingNotFound
    return booking


def list_resources() -> QuerySet[Resource, Resource]:
    """What can be booked, with its venue and `capacity`."""
    live_units = Count("units", filter=Q(units__retired_at__isnull=True))
    return (
        Resource.objects.select_related("venue")
        .filter(is_bookable=True)
        .annotate(capacity=live_units)
    )


def get_resource(resource_id: int) -> tuple[Resource, int]:
    """A bookable resource with its venue, and its capacity.

    Raises:
        ResourceNotFound: there is none, or it is not bookable.
    """
    resource = list_resources().filter(pk=resource_id).first()
    if resource is None:
        raise ResourceNotFound
    return resource, resource.units.filter(retired_at__isnull=True).count()


def list_venues() -> QuerySet[Venue]:
    """All venues."""
    return Venue.objects.all()


def list_history(booking: Booking) -> QuerySet[AuditEntry]:
    """What happened to a booking and its hold, in order."""
    return AuditEntry.objects.filter(
        Q(subject_type="booking", subject_id=str(booking.pk))
        | Q(subject_type="hold", subject_id=str(booking.hold_id))
    ).order_by("id")
