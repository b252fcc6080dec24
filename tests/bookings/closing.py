"""Closures and moves as tests make them."""

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from bookings.models import Booking, DateException, Resource, SlotClaim
from bookings.services import closures, moving
from bookings.services.closures import Touched
from recovery.models import Case
from slotbase.lib.ids import uuid7
from tests.factories import in_two_days

BERLIN = ZoneInfo("Europe/Berlin")


def day_of(moment: datetime) -> date:
    """The local day in Berlin."""
    return moment.astimezone(BERLIN).date()


def close(
    place: Any, *, from_: time | None = None, until: time | None = None, **over: Any
) -> tuple[DateException, Touched]:
    """Close a resource, or a whole venue, in two days: all day, or a part of it."""
    resource = place if isinstance(place, Resource) else None
    fields = {
        "venue": resource.venue if resource else place,
        "resource": resource,
        "date": day_of(in_two_days()),
        "kind": "CLOSED",
        "opens": from_,
        "closes": until,
    }
    day = DateException(**{**fields, **over})
    with transaction.atomic():
        touched = closures.save_special_day(day)
    return day, touched


def change(day: DateException, **fields: Any) -> Touched:
    for name, value in fields.items():
        setattr(day, name, value)
    with transaction.atomic():
        return closures.save_special_day(day, fields=fields)


def take_back(day: DateException) -> None:
    with transaction.atomic():
        closures.delete_special_day(day)


def closed_minutes(resource: Resource) -> int:
    """How long closures occupy the units of a resource, all in all."""
    claims = SlotClaim.objects.filter(unit__resource=resource, closure__isnull=False)
    ranges = claims.values_list("during", flat=True)
    return sum(int((r.upper - r.lower).total_seconds()) // 60 for r in ranges)


def move(booking: Booking, start: datetime, **over: Any) -> Booking:
    booking = Booking.objects.get(pk=booking.pk)
    fields = {
        "booking_id": booking.pk,
        "staff_id": over.pop("staff_id", None) or uuid7(),
        "version": booking.version,
        "start_time": start,
    }
    return moving.move_booking(**{**fields, **over})


def case_of(booking: Booking, kind: str = "closure_conflict") -> Case:
    return Case.objects.get(kind=kind, subject_id=str(booking.pk))


def is_closed(booking: Booking, kind: str = "closure_conflict") -> bool:
    """Whether the case about a booking is resolved."""
    return case_of(booking, kind).status == "RESOLVED"
