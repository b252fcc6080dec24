"""Courts with short days, and the free slots that are shown of them."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from rest_framework.test import APIClient

from bookings.models import DateException, Resource
from tests.factories import make_resource, make_venue

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


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
