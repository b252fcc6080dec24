"""Back office: managers keep the catalogue of their own venues, and it is on record."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bookings.models import DateException, OpeningHours, Resource, ResourceUnit
from recovery.models import AuditEntry
from slotbase.accounts.models import User, Venue
from tests.factories import make_resource, make_staff, make_venue

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside")


@pytest.fixture
def court(venue: Venue) -> Resource:
    return make_resource(venue=venue, units=2, name="Court 1")


@pytest.fixture
def boss(venue: Venue) -> User:
    return make_staff("manager", [venue], name="Mona Manager")


@pytest.fixture
def manager(client: Client, boss: User) -> Client:
    client.force_login(boss)
    return client


def page_of(row: Any, view: str = "change") -> str:
    return reverse(f"admin:bookings_{row._meta.model_name}_{view}", args=[row.pk])


def form(client: Client, address: str, **changes: Any) -> dict[str, Any]:
    """What a browser would send: every field of the page, and the changes."""
    context = client.get(address).context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.initial_forms]
    fields = {field.html_name: field.value() for each in forms for field in each}
    sent = {**fields, **changes}
    # An empty checkbox is not sent at all.
    return {k: v for k, v in sent.items() if v is not None and v is not False}


def history(subject: str) -> list[tuple[str, str, str]]:
    entries = AuditEntry.objects.filter(subject_type=subject).order_by("id")
    return [(each.action, each.actor_id, each.reason) for each in entries]


# --- Resources ----------------------------------------------------------------


def test_a_change_is_saved_with_its_entry_and_shown_on_the_page(
    manager: Client, boss: User, court: Resource
) -> None:
    sent = form(manager, page_of(court), name="Centre Court", horizon_days=30)

    answer = manager.post(page_of(court), sent)

    assert answer.status_code == 302
    court.refresh_from_db()
    assert (court.name, court.horizon_days) == ("Centre Court", 30)
    assert history("resource") == [
        ("resource.changed", str(boss.pk), "changed name, horizon days")
    ]
    page = manager.get(page_of(court)).content.decode()
    assert "Resource changed" in page
    assert "Mona Manager (staff)" in page


def test_a_form_without_a_change_leaves_no_entry(
    manager: Client, court: Resource
) -> None:
    manager.post(page_of(court), form(manager, page_of(court)))

    assert history("resource") == []


def test_what_others_changed_meanwhile_is_not_undone(
    manager: Client, court: Resource
) -> None:
    sent = form(manager, page_of(court), name="Centre Court")
    Resource.objects.filter(pk=court.pk).update(is_bookable=False)
    sent.pop("is_bookable")

    manager.post(page_of(court), sent)

    court.refresh_from_db()
    assert (court.name, court.is_bookable) == ("Centre Court", False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"price_minor": 500}, "What is free has no price."),
        ({"min_minutes": 15}, "At least one step."),
        ({"max_minutes": 20}, "Not shorter than the shortest."),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    manager: Client, court: Resource, changes: dict[str, int], words: str
) -> None:
    answer = manager.post(page_of(court), form(manager, page_of(court), **changes))

    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert history("resource") == []


def test_venue_and_slug_stay_as_they_are(manager: Client, court: Resource) -> None:
    elsewhere = make_venue()
    sent = form(manager, page_of(court), venue=elsewhere.pk, slug="other", name="New")

    manager.post(page_of(court), sent)

    changed = Resource.objects.get(pk=court.pk)
    assert (changed.venue, changed.slug) == (court.venue, court.slug)
    assert changed.name == "New"


def test_a_resource_can_be_added_at_the_own_venue_only(
    manager: Client, venue: Venue
) -> None:
    address = reverse("admin:bookings_resource_add")
    made = {"slug": "court-9", "name": "Court 9", "kind": "COURT"}
    foreign = form(manager, address, venue=make_venue().pk, **made)
    own = form(manager, address, venue=venue.pk, **made)

    assert manager.post(address, foreign).status_code == 200
    assert manager.post(address, own).status_code == 302

    added = Resource.objects.get(slug="court-9")
    assert added.venue == venue
    assert [action for action, _, _ in history("resource")] == ["resource.added"]


def test_the_resources_of_other_venues_are_not_there(manager: Client) -> None:
    foreign = make_resource()

    listed = manager.get(reverse("admin:bookings_resource_changelist"))

    assert list(listed.context["cl"].result_list) == []
    assert manager.get(page_of(foreign)).status_code == 302
    assert manager.post(page_of(foreign), {"name": "Mine"}).status_code == 302
    assert Resource.objects.get(pk=foreign.pk).name == foreign.name


def test_a_unit_leaves_use_and_comes_back_and_keeps_its_number(
    manager: Client, court: Resource
) -> None:
    out = form(manager, page_of(court), **{"units-1-in_use": None})
    out["units-1-number"] = 7
    manager.post(page_of(court), out)
    unit = ResourceUnit.objects.get(resource=court, number=2)
    assert unit.retired_at is not None

    manager.post(page_of(court), form(manager, page_of(court), **{"units-1-in_use": 1}))

    unit.refresh_from_db()
    assert unit.retired_at is None
    assert [reason for _, _, reason in history("resource")] == [
        "changed in use of resource unit"
    ] * 2


def test_units_can_be_added_and_not_deleted(manager: Client, court: Resource) -> None:
    more = {"units-TOTAL_FORMS": 3, "units-2-number": 3, "units-2-in_use": "on"}
    sent = form(manager, page_of(court), **more, **{"units-0-DELETE": "on"})

    manager.post(page_of(court), sent)

    numbers = ResourceUnit.objects.filter(resource=court).values_list("number")
    assert sorted(number for (number,) in numbers) == [1, 2, 3]


def test_opening_hours_can_be_taken_away(manager: Client, court: Resource) -> None:
    sent = form(manager, page_of(court), **{"opening_hours-0-DELETE": "on"})

    manager.post(page_of(court), sent)

    assert OpeningHours.objects.filter(resource=court).count() == 6
    assert [reason for _, _, reason in history("resource")] == ["deleted opening hours"]


@pytest.mark.parametrize("group", ["front_desk", "support"])
def test_others_only_look(
    client: Client, venue: Venue, court: Resource, group: str
) -> None:
    client.force_login(make_staff(group, [venue]))

    page = client.get(page_of(court))

    assert page.status_code == 200
    assert "Opening hours" in page.content.decode()
    assert 'name="_save"' not in page.content.decode()
    assert client.post(page_of(court), {"name": "Mine"}).status_code == 403


# --- Special days -------------------------------------------------------------


def special_day(manager: Client, **given: Any) -> Any:
    address = reverse("admin:bookings_dateexception_add")
    return manager.post(address, form(manager, address, **given))


def test_a_closure_is_added_and_taken_back_with_entries(
    manager: Client, venue: Venue
) -> None:
    special_day(manager, venue=venue.pk, date="2030-12-24", kind="CLOSED")
    closure = DateException.objects.get()
    manager.post(page_of(closure, "delete"), {"post": "yes"})

    assert not DateException.objects.exists()
    assert [action for action, _, _ in history("date_exception")] == [
        "date_exception.added",
        "date_exception.deleted",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "HOURS"}, "Special hours need both times."),
        ({"kind": "CLOSED", "opens": "09:00"}, "Give both times, or neither"),
    ],
)
def test_a_special_day_that_cannot_be_is_refused_in_words(
    manager: Client, venue: Venue, given: dict[str, str], words: str
) -> None:
    answer = special_day(manager, venue=venue.pk, date="2030-12-24", **given)

    assert words in answer.content.decode()
    assert not DateException.objects.exists()


def test_a_special_day_and_its_resource_are_of_one_venue(
    client: Client, venue: Venue
) -> None:
    client.force_login(make_staff(is_superuser=True))
    elsewhere = make_resource()

    answer = special_day(
        client, venue=venue.pk, resource=elsewhere.pk, date="2030-12-24", kind="CLOSED"
    )

    assert "It belongs to another venue." in answer.content.decode()
