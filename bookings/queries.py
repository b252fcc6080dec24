"""Reading what can be booked and what is taken. Nothing here locks or writes."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from bookings.errors import (
    BookingNotFound,
    HoldNotFound,
    ResourceNotFound,
    WaitlistEntryNotFound,
)
from bookings.hours import DAY, Interval, local_days, open_until
from bookings.locks import RUNNING, waiting_in
from bookings.models import (
    Booking,
    BookingHold,
    CancellationTier,
    DateException,
    Drill,
    Resource,
    Skill,
    WaitlistEntry,
)
from bookings.rules import Rules, Wanted, check_slot, get_rules
from bookings.states import OPEN_ENTRIES, ExceptionKind, HoldStatus, WaitlistStatus
from bookings.terms import Quote, quote
from payments.models import CardPayment, OfflinePayment, Refund
from recovery.models import AuditEntry
from slotbase.accounts.models import Venue
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.errors import DomainError

_CLAIMED = """
SELECT u.number, lower(c.during), upper(c.during)
FROM bookings_slotclaim c
JOIN bookings_resourceunit u ON u.id = c.unit_id
LEFT JOIN bookings_bookinghold h ON h.id = c.hold_id
WHERE u.resource_id = %s
  AND int8range(c.unit_id, c.unit_id, '[]') && int8range(%s, %s, '[]')
  AND c.during && tstzrange(%s, %s)
  AND (%s OR NOT (h.id IS NOT NULL AND h.status = 'ACTIVE'
                  AND h.expires_at <= (SELECT slotbase_now())))
"""
Taken = dict[int, list[Interval]]
Taught = TypeVar("Taught", Skill, Drill)


def get_taken(rules: Rules, window: Interval) -> Taken:
    """What nobody else can have of each unit (by number), ordered by start.

    It is occupied, or free and about to be offered to who waits for it. An expired hold
    occupies nothing, whether or not a sweep has seen it.
    """
    line = list(waiting_in(rules.resource_id, rules.reach(window)))
    if not line:
        return get_claimed(rules, window)
    taken = get_claimed(rules, around(rules, window, line))
    for _ in plan_offers(rules, taken, line):
        pass  # planning takes it
    return taken


def around(rules: Rules, window: Interval, line: Iterable[WaitlistEntry]) -> Interval:
    """The window and all that those who wait want of it and beyond."""
    parts = [window, *(rules.occupied(entry.slot) for entry in line)]
    return Interval(min(p.start for p in parts), max(p.end for p in parts))


def get_claimed(rules: Rules, window: Interval, *, by_expired: bool = False) -> Taken:
    """What is occupied of each unit (by number) in the window, ordered by start."""
    claimed: Taken = {number: [] for number in rules.units}
    if not claimed:
        return claimed
    ids = rules.units.values()
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIMED,
            [
                *(rules.resource_id, min(ids), max(ids)),
                *(window.start, window.end, by_expired),
            ],
        )
        for number, start, end in cursor.fetchall():
            if number in claimed:
                claimed[number].append(Interval(start, end))
    for intervals in claimed.values():
        intervals.sort(key=_start)
    return claimed


def plan_offers(
    rules: Rules, taken: Taken, line: Iterable[WaitlistEntry]
) -> Iterator[tuple[WaitlistEntry, dict[int, int]]]:
    """Whom of a line what is not taken fits, in order of joining, with their units.

    What somebody gets is then taken. An entry that cannot be sold (closed since, too
    late) keeps nobody from the time.
    """
    for entry in sorted(line, key=lambda each: (each.joined_at, each.pk)):
        occupied = rules.occupied(entry.slot)
        free = [n for n, parts in taken.items() if _is_free(occupied, parts)]
        if len(free) < entry.units or not can_be_sold(rules, entry):
            continue
        chosen = free[: entry.units]
        for number in chosen:
            insort(taken[number], occupied, key=_start)
        yield entry, {number: rules.units[number] for number in chosen}


def can_be_sold(rules: Rules, entry: WaitlistEntry) -> bool:
    """Whether what an entry waits for could be held by today's rules."""
    slot = entry.slot
    try:
        check_slot(rules, Wanted(entry.resource_id, slot.start, slot.end, entry.units))
    except DomainError:
        return False
    return True


def _start(interval: Interval) -> datetime:
    return interval.start


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
    window = rules.occupied(Interval(earliest, latest + length))
    taken, closures = get_taken(rules, window), rules.closures()
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
    index = bisect_left(taken, occupied.end, key=_start)
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
    return (
        Booking.objects.select_related("resource__venue", "payable")
        .prefetch_related("payable__refunds")
        .filter(customer=customer_id)
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


def list_terms(resource: Resource) -> list[dict[str, int]]:
    """The terms on which a booking of this resource can be cancelled, as of now."""
    tiers = CancellationTier.objects.filter(policy=resource.cancellation_policy_id)
    return [tier.as_term() for tier in tiers.order_by("-hours_before")]


def quote_cancellation(booking: Booking) -> Quote:
    """What it would cost to cancel a booking now."""
    return quote(
        booking.cancellation_terms,
        # What staff gave back before is no part of it any more.
        price_minor=booking.payable.owed_minor if booking.payable else 0,
        start=booking.start_time,
        now=read_clock(),
    )


def find_booking_of(payable_id: UUID) -> Booking | None:
    """The booking that this money is for, if there is one."""
    bookings = Booking.objects.select_related("resource__venue")
    return bookings.filter(payable=payable_id).first()


def find_sale_of(payable_id: UUID) -> Booking | BookingHold | None:
    """The booking that this money is for, else the hold that it was meant for."""
    if booking := find_booking_of(payable_id):
        return booking
    holds = BookingHold.objects.select_related("resource__venue")
    return holds.filter(payable=payable_id).order_by("-id").first()


def is_there_already(hold: BookingHold) -> bool:
    """Whether its customer has held or booked the resource at that time since."""
    mine = BookingHold.objects.filter(
        resource=hold.resource_id,
        customer=hold.customer_id,
        start_time__lt=hold.end_time,
        end_time__gt=hold.start_time,
    ).exclude(pk=hold.pk)
    is_kept = Q(status=HoldStatus.ACTIVE, expires_at__gt=Now()) | Q(
        status=HoldStatus.CONFIRMED, booking__status__in=RUNNING
    )
    return mine.filter(is_kept).exists()


def is_closed(hold: BookingHold) -> bool:
    """Whether its time is inside a closure that was made since, or cannot be sold."""
    slot = Interval(hold.start_time, hold.end_time)
    try:
        rules = get_rules(
            hold.resource_id, first=slot.start.date(), last=slot.end.date()
        )
    except ResourceNotFound:
        return True
    is_inside = any(slot.overlaps(closure) for closure in rules.closures())
    return is_inside or not rules.units


_IN_THE_WAY = """
SELECT c.unit_id, c.hold_id, h.status = 'ACTIVE' AND h.expires_at <= slotbase_now()
FROM bookings_slotclaim c LEFT JOIN bookings_bookinghold h ON h.id = c.hold_id
WHERE int8range(c.unit_id, c.unit_id, '[]') && int8range(%s, %s, '[]')
  AND c.unit_id = ANY(%s::bigint[])
  AND c.during && tstzrange(%s, %s)
"""


@dataclass(frozen=True)
class InTheWay:
    """A claim that overlaps with a wanted time, and whether its hold has run out."""

    unit_id: int
    hold_id: UUID | None
    has_expired: bool


def see_who_is_in_the_way(occupied: Interval, unit_ids: list[int]) -> list[InTheWay]:
    """The claims on these units that overlap, without locking anything."""
    with connection.cursor() as cursor:
        cursor.execute(
            _IN_THE_WAY,
            [min(unit_ids), max(unit_ids), unit_ids, occupied.start, occupied.end],
        )
        return [InTheWay(*row) for row in cursor.fetchall()]


#: An offer that is over, though no sweep has come by yet.
HAS_RUN_OUT = Q(status=WaitlistStatus.OFFERED, hold__expires_at__lte=Now())


def list_entries(customer_id: UUID) -> QuerySet[Any]:
    """Entries of this customer on the waitlist, newest first.

    Each with `ahead`: how many wait in front of it for time that it wants.
    """
    ahead = WaitlistEntry.objects.filter(
        resource=OuterRef("resource"),
        status=WaitlistStatus.WAITING,
        start_time__lt=OuterRef("end_time"),
        end_time__gt=OuterRef("start_time"),
        joined_at__lt=OuterRef("joined_at"),
    )
    counted = ahead.order_by().values("resource").annotate(n=Count("pk")).values("n")
    return (
        WaitlistEntry.objects.select_related("resource__venue", "hold")
        .filter(customer=customer_id)
        .annotate(
            ahead=Coalesce(Subquery(counted), 0),
            has_run_out=HAS_RUN_OUT,
        )
    )


def list_open_entries(customer_id: UUID) -> QuerySet[Any]:
    """Where this customer waits, or has an offer."""
    entries = list_entries(customer_id).filter(status__in=OPEN_ENTRIES)
    return entries.exclude(HAS_RUN_OUT)


def get_entry(entry_id: UUID, *, customer_id: UUID) -> Any:
    """An entry of this customer.

    Raises:
        WaitlistEntryNotFound: there is none, or it is somebody else's.
    """
    entry: Any = list_entries(customer_id).filter(pk=entry_id).first()
    if entry is None:
        raise WaitlistEntryNotFound
    if entry.has_run_out:
        entry.status = WaitlistStatus.LAPSED
    return entry


# Of some entries, those of which something can be done: their time came, or enough
# units are free by the claims alone. Whether it can be sold is looked at afterwards.
FREE_OR_OVER = """
SELECT w.id FROM bookings_waitlistentry w
JOIN bookings_resource r ON r.id = w.resource_id
WHERE w.id = ANY(%s) AND (
    w.start_time <= (SELECT slotbase_now()) + r.notice_minutes * interval '1 minute'
    OR w.units <= (
        SELECT count(*) FROM bookings_resourceunit u
        WHERE u.resource_id = w.resource_id AND u.retired_at IS NULL
          AND NOT EXISTS (
            SELECT FROM bookings_slotclaim c
            LEFT JOIN bookings_bookinghold h ON h.id = c.hold_id
            WHERE int8range(c.unit_id, c.unit_id, '[]') && int8range(u.id, u.id, '[]')
              AND c.during && tstzrange(
                w.start_time - r.buffer_before_minutes * interval '1 minute',
                w.end_time + r.buffer_after_minutes * interval '1 minute')
              AND NOT (h.id IS NOT NULL AND h.status = 'ACTIVE'
                       AND h.expires_at <= (SELECT slotbase_now())))))
ORDER BY w.joined_at, w.id
"""


def list_free_or_over(entry_ids: list[UUID]) -> list[UUID]:
    """Those of these entries whose slot is free, or whose time came; first come."""
    with connection.cursor() as cursor:
        cursor.execute(FREE_OR_OVER, [entry_ids])
        return [row[0] for row in cursor.fetchall()]


def list_closures_over(resource: Resource, time: Interval) -> list[DateException]:
    """The closures that touch this time of a resource; usually there are none."""
    days = local_days(resource.venue.zone, time.start, time.end)
    closures = DateException.objects.filter(
        Q(resource=None) | Q(resource=resource),
        venue=resource.venue_id,
        kind=ExceptionKind.CLOSED,
        date__range=(days[0], days[-1]),
    ).select_related("venue")
    return [
        each
        for each in closures.order_by("pk")
        if each.closed_time is not None and each.closed_time.overlaps(time)
    ]


def is_inside_closure(hold: BookingHold) -> bool:
    """Whether its time is inside a closure that was made since."""
    slot = Interval(hold.start_time, hold.end_time)
    return bool(list_closures_over(hold.resource, slot))


def list_running_bookings(resource_ids: list[int], time: Interval) -> QuerySet[Booking]:
    """Bookings that are not over and have some of this time."""
    return (
        Booking.objects.select_related("resource__venue")
        .filter(
            resource__in=resource_ids,
            status__in=RUNNING,
            start_time__lt=time.end,
            end_time__gt=time.start,
        )
        .filter(end_time__gt=Now())
        .order_by("start_time", "pk")
    )


def list_live_holds(resource_ids: list[int], time: Interval) -> QuerySet[BookingHold]:
    """Holds that are not bookings yet and keep some of this time from others."""
    return (
        BookingHold.objects.select_related("resource__venue")
        .filter(
            resource__in=resource_ids,
            status=HoldStatus.ACTIVE,
            expires_at__gt=Now(),
            start_time__lt=time.end,
            end_time__gt=time.start,
        )
        .order_by("start_time", "pk")
    )


def list_resources() -> QuerySet[Resource, Resource]:
    """What can be booked, with its venue and `capacity`."""
    live_units = Count("units", filter=Q(units__retired_at__isnull=True))
    return (
        Resource.objects.select_related("venue", "cancellation_policy")
        .prefetch_related("cancellation_policy__tiers")
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
    """What happened to a booking, its hold and its money, in order."""
    is_meant = Q(subject_type="booking", subject_id=str(booking.pk)) | Q(
        subject_type="hold", subject_id=str(booking.hold_id)
    )
    if booking.payable_id is not None:
        for model in (CardPayment, OfflinePayment, Refund):
            name = model.__name__.lower()
            ids = model._default_manager.filter(payable=booking.payable_id)  # noqa: SLF001
            subjects = [str(each) for each in ids.values_list("pk", flat=True)]
            is_meant |= Q(subject_type=name, subject_id__in=subjects)
    return AuditEntry.objects.filter(is_meant).order_by("id")


def list_taught(of: type[Taught], ids: list[int]) -> list[Taught]:
    """In the order that feedback names them in; also those retired since."""
    found = of.objects.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]
