"""Closures: they take what is free of their time; what is sold inside has a case each.

Whoever holds a slot inside keeps it until it runs out, and is told when they confirm;
who has paid for it gets a booking, and staff see to that.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import QuerySet

from bookings.hours import Interval
from bookings.locks import (
    insert_claims_of_closure,
    lock_holds_on,
    lock_resources,
    lock_running_bookings,
)
from bookings.models import Booking, BookingHold, DateException, Resource, SlotClaim
from bookings.queries import (
    list_closures_over,
    list_live_holds,
    list_running_bookings,
)
from bookings.services import conflicts
from bookings.services.claims import retire_expired_holds
from bookings.states import ExceptionKind
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import Unavailable

# Each round that is lost is somebody who got a slot at that very moment.
ROUNDS = 10
# Zones and nights included, a closure of this age is over.
IS_OVER_AFTER = timedelta(days=3)


@dataclass(frozen=True)
class Touched:
    """What was held and sold in the time that was closed."""

    holds: list[BookingHold] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)


@transaction_required
def save_special_day(
    day: DateException, *, fields: Collection[str] | None = None
) -> Touched:
    """Add a special day, or change these fields of it; a closure closes at once.

    Says what it touches: bookings inside stand in a case each, holds are refused when
    they are confirmed, unless they are paid.

    Raises:
        Unavailable: so many people book there now that nobody can close it.
    """
    before = DateException.objects.filter(pk=day.pk).select_related("venue").first()
    resource_ids = lock_resources(day.venue_id, day.resource_id)
    day.save(update_fields=fields)
    was = before.closed_time if before else None
    if was == day.closed_time:
        return Touched()
    if was is not None:
        _open_again(day.pk, was, resource_ids)
    return _close(day, resource_ids)


@transaction_required
def delete_special_day(day: DateException) -> None:
    """Take a special day back; what it closed can be sold again."""
    resource_ids = lock_resources(day.venue_id, day.resource_id)
    was, day_id = day.closed_time, day.pk
    SlotClaim.objects.filter(closure=day_id).delete()
    day.delete()
    if was is not None:
        _open_again(day_id, was, resource_ids)


@transaction_required
def _close(day: DateException, resource_ids: list[int]) -> Touched:
    time = day.closed_time
    if time is None or time.end <= read_clock():
        return Touched()
    _take_what_is_free(day, time, resource_ids)
    bookings = list(list_running_bookings(resource_ids, time))
    for booking in bookings:
        conflicts.open_conflict(booking, day)
    return Touched(list(list_live_holds(resource_ids, time)), bookings)


@transaction_required
def _take_what_is_free(
    day: DateException, time: Interval, resource_ids: list[int]
) -> None:
    """Until nothing is left, with all holds locked that have the rest.

    So each of those is confirmed before, and has a case, or sees the closure.
    """
    for _ in range(ROUNDS):
        retire_expired_holds(lock_holds_on(resource_ids, time), part="closure")
        if insert_claims_of_closure(day.pk, time, resource_ids):
            # Once more: somebody may have come between the two.
            lock_holds_on(resource_ids, time)
            return
    raise Unavailable("Too many people book there at this moment.")


@transaction_required
def _open_again(day_id: int, time: Interval, resource_ids: list[int]) -> None:
    """Free what a closure had, but for what another closure has, too."""
    SlotClaim.objects.filter(closure=day_id).delete()
    for resource in Resource.objects.select_related("venue").filter(
        pk__in=resource_ids
    ):
        take_freed_time(resource, time)
    # Locked: whoever cancels or moves one is told of that before, or after.
    for booking in lock_running_bookings(list_running_bookings(resource_ids, time)):
        if not list_closures_over(booking.resource, booking.slot):
            conflicts.open_again(booking, "The closure was taken back.")


@transaction_required
def take_freed_time(resource: Resource, time: Interval) -> None:
    """Closures take what became free inside of them."""
    for day in list_closures_over(resource, time):
        if day.closed_time is not None:
            insert_claims_of_closure(day.pk, day.closed_time, [resource.pk])


@retry_on_conflict
def close_anew(*, venue_id: int) -> None:
    """The clocks of a venue were moved, and its closures with them."""
    resource_ids = lock_resources(venue_id, None)
    SlotClaim.objects.filter(closure__venue=venue_id).delete()
    for day in _list_coming().filter(venue=venue_id):
        _close(day, [day.resource_id] if day.resource_id else resource_ids)
    conflicts.close_what_is_open(venue_id)


def _list_coming() -> QuerySet[DateException]:
    """Closures that are not over, or not for long."""
    day = (read_clock() - IS_OVER_AFTER).date()
    coming = DateException.objects.filter(kind=ExceptionKind.CLOSED, date__gte=day)
    return coming.select_related("venue").order_by("pk")


@retry_on_conflict
def take_what_holds_left() -> int:
    """Closures take the time of holds that ran out inside of them; how many there are.

    Nobody could buy it meanwhile: the rules of the resource know the closure.
    """
    coming = list(_list_coming())
    for day in coming:
        places = Resource.objects.filter(venue=day.venue_id).order_by("pk")
        if day.resource_id is not None:
            places = places.filter(pk=day.resource_id)
        if day.closed_time is not None:
            ids = list(places.values_list("pk", flat=True))
            insert_claims_of_closure(day.pk, day.closed_time, ids)
    return len(coming)


@retry_on_conflict
def drop_past_claims() -> int:
    """Closures that are over occupy nothing any more; returns how many claims went."""
    day = (read_clock() - IS_OVER_AFTER).date()
    past = SlotClaim.objects.filter(closure__isnull=False, closure__date__lt=day)
    return past.delete()[0]
