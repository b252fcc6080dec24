"""`manage.py seed_demo`: two venues to play with; run again, it changes nothing."""

import json
from argparse import ArgumentParser
from datetime import time
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand
from django.db import transaction

from bookings.models import OpeningHours, Resource, ResourceUnit
from bookings.states import PaymentMode, ResourceKind
from slotbase.accounts.models import SecondFactor, User, Venue, VenueStaff
from slotbase.devstack import coaching
from slotbase.devstack.codes import SECRET
from slotbase.lib import sealing
from slotbase.lib.clock import Now

PASSWORD = "slotbase-demo"  # noqa: S105 - printed at each start, on this computer only
GROUPS = ["front_desk", "manager", "support", "support_lead", "operations", "auditor"]

VENUES = [
    {
        "slug": "berlin",
        "name": "Parkside Berlin",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "address": "Am Park 1, 10115 Berlin",
    },
    {
        "slug": "new-york",
        "name": "Riverside New York",
        "time_zone": "America/New_York",
        "currency": "USD",
        "address": "1 River Street, New York, NY 10002",
    },
]
DAY, EVENING = (time(7), time(23)), (time(18), time(21))
COURT = {
    "kind": ResourceKind.COURT,
    "payment_mode": PaymentMode.AT_VENUE,
    "price_minor": 1200,
}
PAID_ONLINE = {"payment_mode": PaymentMode.ONLINE}
RESOURCES: list[tuple[str, str, str, int, tuple[time, time], dict[str, Any]]] = [
    ("berlin", "court-1", "Court 1", 1, DAY, COURT),
    ("berlin", "court-2", "Court 2", 1, DAY, COURT | PAID_ONLINE),
    ("berlin", "room", "Meeting room", 1, DAY, {"kind": ResourceKind.ROOM}),
    (
        "berlin",
        "coach-jo",
        "Coach Jo",
        1,
        DAY,
        {
            "kind": ResourceKind.COACH,
            "payment_mode": PaymentMode.EITHER,
            "price_minor": 4500,
            "step_minutes": 60,
            "min_minutes": 60,
            "buffer_after_minutes": 15,
        },
    ),
    (
        "berlin",
        "yoga",
        "Evening yoga",
        12,
        EVENING,
        {
            "kind": ResourceKind.CLASS,
            "payment_mode": PaymentMode.ONLINE,
            "price_minor": 1500,
            "step_minutes": 60,
            "min_minutes": 60,
            "max_minutes": 60,
        },
    ),
    ("new-york", "court-1", "Court 1", 1, DAY, COURT),
    ("new-york", "court-2", "Court 2", 1, DAY, COURT),
]
CUSTOMERS = [
    ("user_demo_ada", "Ada Adler", "ada@example.com", "+49 30 555 0101"),
    ("user_demo_ben", "Ben Brook", "ben@example.com", "+1 212 555 0102"),
    ("user_demo_cleo", "Cleo Costa", "cleo@example.com", "+49 30 555 0103"),
]
COACH = "user_demo_coach_jo"


class Command(BaseCommand):
    help = "Make the demo's venues, resources, customers and staff."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--json` prints the ids and logins for programs."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Write what is missing and print all of it."""
        made, coach = _seed()
        coaching.write_notes(made["sessions"][0]["booking"], coach)
        self.stdout.write(json.dumps(made, indent=None if options["json"] else 2))


@transaction.atomic(durable=True)
def _seed() -> tuple[dict[str, Any], User]:
    """All that is no service's to make, and the coach."""
    venues = [_seed_venue(fields) for fields in VENUES]
    coach, _ = User.objects.get_or_create(
        clerk_id=COACH, defaults={"name": "Jo Jensen"}
    )
    made = {
        "venues": venues,
        "resources": [_seed_resource(coach, *each) for each in RESOURCES],
        "customers": [_seed_customer(*each) for each in CUSTOMERS],
        "coaches": [{"clerk_id": COACH, "name": coach.name}],
        "sessions": [_seed_session()],
        "staff": [_seed_staff(group) for group in GROUPS],
    }
    return made, coach


def _seed_session() -> dict[str, Any]:
    """With Coach Jo, whom Cleo booked for yesterday."""
    for venue in Venue.objects.filter(slug__in=[each["slug"] for each in VENUES]):
        coaching.seed_catalogue(venue)
    return coaching.seed_session(
        Resource.objects.get(slug="coach-jo", venue__slug="berlin"),
        User.objects.get(clerk_id=CUSTOMERS[-1][0]),
    )


def _seed_venue(fields: dict[str, str]) -> dict[str, Any]:
    venue, _ = Venue.objects.get_or_create(slug=fields["slug"], defaults=fields)
    return {"id": venue.pk, "slug": venue.slug, "name": venue.name}


def _seed_resource(  # noqa: PLR0913, PLR0917 - one row of the table above
    coach: User,
    venue_slug: str,
    slug: str,
    name: str,
    capacity: int,
    hours: tuple[time, time],
    fields: dict[str, Any],
) -> dict[str, Any]:
    venue = Venue.objects.get(slug=venue_slug)
    if fields["kind"] == ResourceKind.COACH:
        fields = {**fields, "coach": coach}
    resource, is_new = Resource.objects.get_or_create(
        venue=venue, slug=slug, defaults={"name": name, **fields}
    )
    if is_new:
        _add_units_and_hours(resource, capacity, hours)
    return {
        "id": resource.pk,
        "slug": slug,
        "name": name,
        "kind": resource.kind,
        "payment_mode": resource.payment_mode,
        "venue": venue_slug,
        "capacity": capacity,
    }


def _add_units_and_hours(
    resource: Resource, capacity: int, hours: tuple[time, time]
) -> None:
    ResourceUnit.objects.bulk_create(
        ResourceUnit(resource=resource, number=number)
        for number in range(1, capacity + 1)
    )
    OpeningHours.objects.bulk_create(
        OpeningHours(
            resource=resource, weekday=weekday, opens=hours[0], closes=hours[1]
        )
        for weekday in range(7)
    )


def _seed_customer(clerk_id: str, name: str, email: str, phone: str) -> dict[str, Any]:
    user, _ = User.objects.get_or_create(
        clerk_id=clerk_id, defaults={"name": name, "email": email, "phone": phone}
    )
    return {"id": str(user.pk), "clerk_id": clerk_id, "name": name, "email": email}


def _seed_staff(group: str) -> dict[str, Any]:
    user, is_new = User.objects.get_or_create(
        username=group,
        defaults={"is_staff": True, "name": group.replace("_", " ").title()},
    )
    if is_new:
        user.set_password(PASSWORD)
        user.save(update_fields=["password"])
        user.groups.add(Group.objects.get(name=group))
        VenueStaff.objects.bulk_create(
            VenueStaff(user=user, venue=venue) for venue in Venue.objects.all()
        )
    # Also for staff of a demo that was made before there were factors.
    SecondFactor.objects.get_or_create(
        user=user,
        defaults={"sealed_secret": sealing.seal(SECRET), "confirmed_at": Now()},
    )
    return {"username": group, "password": PASSWORD, "group": group}
