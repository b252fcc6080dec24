"""S5, F110: a page of a list costs the same number of queries however long it is."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator
from pytest_django import Settings
from rest_framework.test import APIClient

from notifications.services import devices
from slotbase.accounts.models import User
from tests.bookings.routes import client_of
from tests.factories import (
    make_booking,
    make_customer,
    make_entry,
    make_resource,
    make_venue,
)

pytestmark = pytest.mark.django_db
MOST_QUERIES = 4
FEW, MANY = 2, 12


def register_device(alice: User) -> None:
    token = uuid4().hex
    devices.register(user_id=alice.pk, token=token, platform="IOS", kind="TOKEN")


# How one more row of each list comes to be.
ROWS: dict[str, Callable[[User], object]] = {
    "/api/v1/venues/": lambda _: make_venue(),
    "/api/v1/resources/": lambda _: make_resource(),
    "/api/v1/bookings/": lambda alice: make_booking(customer=alice),
    "/api/v1/waitlist/": lambda alice: make_entry(
        resource=make_resource(), customer=alice
    ),
    "/api/v1/devices/": register_device,
}


def queries_of(api: APIClient, path: str, rows: int) -> int:
    """How many it takes to show all of them."""
    with CaptureQueriesContext(connection) as captured:
        answer = api.get(path, {"page_size": 100})
    assert len(answer.json()["results"]) >= rows
    return len(captured)


@pytest.mark.parametrize("path", ROWS)
def test_a_long_page_takes_as_many_queries_as_a_short_one(
    path: str, settings: Settings
) -> None:
    settings.MAX_WAITLIST_ENTRIES = MANY
    alice = make_customer()
    api = client_of(alice)
    for _ in range(FEW):
        ROWS[path](alice)
    few = queries_of(api, path, FEW)

    for _ in range(MANY - FEW):
        ROWS[path](alice)

    assert queries_of(api, path, MANY) == few <= MOST_QUERIES


def test_a_query_for_each_row_would_be_seen() -> None:
    """The control: a page that asks once more for each row."""
    make_customer(), make_customer()

    with CaptureQueriesContext(connection) as captured:
        [User.objects.get(pk=each.pk) for each in User.objects.all()]

    assert len(captured) == 1 + User.objects.count()


def test_every_list_of_the_api_is_counted_here() -> None:
    """What is paged by a cursor in the document, and nothing else."""
    document = SchemaGenerator().get_schema(public=True)
    lists = {
        path
        for path, methods in document["paths"].items()
        if any(
            each["name"] == "cursor"
            for each in methods.get("get", {}).get("parameters", ())
        )
    }

    assert lists == set(ROWS)
