"""The public catalogue."""

import pytest
from rest_framework.test import APIClient

from tests.factories import make_resource

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["venues/", "resources/", "resources/{id}/"])
def test_the_catalogue_is_sent_again_only_when_it_has_changed(name: str) -> None:
    court, api = make_resource(), APIClient()
    address = f"/api/v1/{name.format(id=court.pk)}"
    tag = api.get(address)["ETag"]

    assert api.get(address, headers={"If-None-Match": tag}).status_code == 304

    court.name = court.venue.name = "Renamed"
    court.save()
    court.venue.save()
    changed = api.get(address, headers={"If-None-Match": tag})
    assert (changed.status_code, changed["ETag"] == tag) == (200, False)


def test_a_resource_shows_its_live_units_as_capacity() -> None:
    yoga = make_resource(units=12)
    yoga.units.filter(number=3).update(retired_at="2026-01-01T00:00:00Z")

    shown = APIClient().get(f"/api/v1/resources/{yoga.pk}/").json()
    listed = APIClient().get("/api/v1/resources/").json()["results"]

    assert shown["capacity"] == 11
    assert listed == [shown]


def test_what_is_not_bookable_is_not_in_the_catalogue() -> None:
    court = make_resource(is_bookable=False)

    assert APIClient().get("/api/v1/resources/").json()["results"] == []
    assert APIClient().get(f"/api/v1/resources/{court.pk}/").status_code == 404
