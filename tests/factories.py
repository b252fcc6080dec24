"""Plain functions that make rows for tests: `make_booking(**over)`.

People: alice owns things, bob works at the front desk, charlie is a stranger.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group

from bookings.models import (
    Booking,
    BookingHold,
    OpeningHours,
    Resource,
    ResourceUnit,
    WaitlistEntry,
)
from bookings.rules import Wanted
from bookings.services import bookings, holds, waitlist
from slotbase.accounts.models import User, Venue, VenueStaff
from slotbase.lib.clock import read_clock

_numbers = count(1)
HOUR = timedelta(hours=1)


def make_venue(**over: Any) -> Venue:
    """A venue in Berlin."""
    number = next(_numbers)
    fields = {
        "slug": f"venue-{number}",
        "name": f"Venue {number}",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
    }
    return Venue.objects.create(**{**fields, **over})


def make_resource(
    *,
    units: int = 1,
    hours: Iterable[tuple[time, time]] = ((time(0), time(0)),),
    **over: Any,
) -> Resource:
    """A free court, open day and night, sold in steps of 30 minutes."""
    number = next(_numbers)
    venue = over.pop("venue", None) or make_venue()
    fields = {"slug": f"court-{number}", "name": f"Court {number}", "kind": "COURT"}
    resource = Resource.objects.create(venue=venue, **{**fields, **over})
    ResourceUnit.objects.bulk_create(
        ResourceUnit(resource=resource, number=n) for n in range(1, units + 1)
    )
    OpeningHours.objects.bulk_create(
        OpeningHours(resource=resource, weekday=weekday, opens=opens, closes=closes)
        for weekday in range(7)
        for opens, closes in hours
    )
    return resource


def make_priced_resource(payment_mode: str = "ONLINE", **over: Any) -> Resource:
    """A court for 12.00 each half an hour, paid online if nothing else is said."""
    return make_resource(payment_mode=payment_mode, **{"price_minor": 1200, **over})


def make_customer(name: str = "Alice Adler", **over: Any) -> User:
    """Somebody who signs in with Clerk."""
    number = next(_numbers)
    return User.objects.create(
        **{"clerk_id": f"user_{number}", "name": name, "locale": "en", **over}
    )


@cache
def _hash_of(password: str) -> str:
    """Slow on purpose, so once for all tests."""
    return make_password(password)


def make_staff(
    group: str | None = None, venues: Iterable[Venue] = (), **over: Any
) -> User:
    """Somebody with a login (password `secret`), in a group, at some venues."""
    number = next(_numbers)
    fields = {"username": f"staff{number}", "name": "Bob Baker", "is_staff": True}
    user = User(**{**fields, **over})
    user.password = _hash_of("secret")
    user.save()
    if group is not None:
        user.groups.add(Group.objects.get(name=group))
    VenueStaff.objects.bulk_create(VenueStaff(user=user, venue=v) for v in venues)
    return user


def in_two_days(hour: int = 12, minute: int = 0) -> datetime:
    """In two days, in UTC by the clock of the database: then a reminder is owed,
    whatever hour it is now."""
    day = (read_clock() + timedelta(days=2)).astimezone(UTC)
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0)


def wanted(resource: Resource, start: datetime | None = None, **over: Any) -> Wanted:
    """A wish for one hour, in two days at noon if nothing else is said."""
    start = start or in_two_days()
    length = over.pop("length", HOUR)
    return Wanted(resource.pk, start, start + length, **over)


def make_hold(
    *, resource: Resource | None = None, customer: User | None = None, **over: Any
) -> BookingHold:
    """A hold as a customer gets it."""
    resource = resource or make_resource()
    customer = customer or make_customer()
    return holds.create_hold(
        customer_id=customer.pk, wanted=wanted(resource, **over)
    ).hold


def make_booking(**over: Any) -> Booking:
    """A booking as a customer gets it."""
    hold = make_hold(**over)
    booking, _ = bookings.confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    return booking


def make_entry(
    *, resource: Resource, customer: User | None = None, **over: Any
) -> WaitlistEntry:
    """A place in the line, as a customer gets it."""
    customer = customer or make_customer()
    entry_id, _ = waitlist.join_waitlist(
        customer_id=customer.pk, wanted=wanted(resource, **over)
    )
    return WaitlistEntry.objects.get(pk=entry_id)


def expire(hold: BookingHold) -> None:
    """Make a hold run out now, without anybody noticing."""
    BookingHold.objects.filter(pk=hold.pk).update(expires_at=read_clock())
