"""A customer at the API, a court to book and a clock to set."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from bookings.models import BookingHold, Resource
from slotbase.accounts.models import User
from tests.adversity import Clock
from tests.bookings.free_slots import MONDAY
from tests.bookings.routes import ALL, Route, client_of
from tests.factories import (
    in_two_days,
    make_booking,
    make_customer,
    make_entry,
    make_hold,
    make_priced_resource,
    make_resource,
)
from tests.notifications.pushes import register


@pytest.fixture
def alice(db: None) -> User:
    return make_customer()


@pytest.fixture
def court(db: None) -> Resource:
    return make_resource()


@pytest.fixture
def api(alice: User) -> APIClient:
    """Alice's client."""
    return client_of(alice)


@pytest.fixture
def wish(court: Resource) -> dict[str, Any]:
    """A body that holds the court for an hour."""
    return {
        "resource": court.pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }


@pytest.fixture
def routes(alice: User, court: Resource) -> list[Route]:
    """Every method and address, with ids of Alice's own objects."""
    booking = make_booking(customer=alice, resource=court)
    entry = make_entry(resource=court, customer=alice)
    ids = {"resource": court.pk, "hold": booking.hold_id, "booking": booking.pk}
    ids["entry"] = entry.pk
    ids["device"] = register(alice).pk
    return [(method, address.format_map(ids)) for method, address in ALL]


@pytest.fixture
def set_clock(db: None) -> Callable[[datetime], None]:
    """Stops the clock of this test's transaction at a moment."""

    def at(moment: datetime) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION slotbase_now() RETURNS timestamptz "
                "LANGUAGE sql VOLATILE PARALLEL SAFE AS "
                f"$$SELECT '{moment.isoformat()}'::timestamptz$$"
            )

    return at


@pytest.fixture
def clock(db: None) -> Iterator[Clock]:
    """A clock to move, in this test's transaction."""
    clock = Clock()
    yield clock
    clock.reset()


@pytest.fixture
def _a_sunday_in_may(set_clock: Callable[[datetime], None]) -> None:
    """It is the noon before `free_slots.MONDAY`."""
    set_clock(MONDAY - timedelta(hours=12))


@pytest.fixture
def hold(alice: User) -> BookingHold:
    """Alice's, to be paid online: 24.00."""
    return make_hold(customer=alice, resource=make_priced_resource())


@pytest.fixture
def either(alice: User) -> BookingHold:
    """Alice's, to be paid online or at the venue."""
    return make_hold(customer=alice, resource=make_priced_resource("EITHER"))
