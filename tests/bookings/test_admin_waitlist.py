"""Back office: the waitlist as the staff of a venue sees it."""

import pytest
from django.test import Client
from django.urls import reverse

from bookings.models import WaitlistEntry
from bookings.states import WaitlistStatus
from slotbase.accounts.models import Venue
from tests.factories import (
    make_booking,
    make_customer,
    make_entry,
    make_resource,
    make_staff,
    make_venue,
)

pytestmark = pytest.mark.django_db

LIST = reverse("admin:bookings_waitlistentry_changelist")


@pytest.fixture
def venue() -> Venue:
    return make_venue()


@pytest.fixture
def entry(venue: Venue) -> WaitlistEntry:
    """The slot is free, so it is offered."""
    return make_entry(
        resource=make_resource(venue=venue, name="Centre Court"),
        customer=make_customer("Alice Adler"),
    )


def page_of(entry: WaitlistEntry) -> str:
    return reverse("admin:bookings_waitlistentry_change", args=[entry.pk])


def sign_in(client: Client, group: str, venue: Venue) -> Client:
    client.force_login(make_staff(group, [venue]))
    return client


@pytest.mark.parametrize("group", ["front_desk", "manager", "support"])
def test_staff_see_who_waits_at_their_venue(
    client: Client, venue: Venue, entry: WaitlistEntry, group: str
) -> None:
    elsewhere = make_entry(resource=make_resource())
    desk = sign_in(client, group, venue)

    assert [*desk.get(LIST).context["cl"].result_list] == [entry]
    assert [*desk.get(LIST, {"q": "adler"}).context["cl"].result_list] == [entry]
    page = desk.get(page_of(entry)).content.decode()
    assert "Centre Court" in page
    assert "Remove from the list" in page
    assert desk.get(page_of(elsewhere)).status_code == 302


def test_a_hold_shows_whose_wait_it_ended(
    client: Client, venue: Venue, entry: WaitlistEntry
) -> None:
    hold = reverse("admin:bookings_bookinghold_change", args=[entry.hold_id])

    assert (
        page_of(entry)
        in sign_in(client, "front_desk", venue).get(hold).content.decode()
    )


def test_the_front_desk_takes_somebody_off_the_list_with_a_reason(
    client: Client, venue: Venue, entry: WaitlistEntry
) -> None:
    desk = sign_in(client, "front_desk", venue)

    assert desk.post(page_of(entry), {"do": "remove"}).status_code == 400
    entry.refresh_from_db()
    assert entry.status == WaitlistStatus.OFFERED

    done = desk.post(page_of(entry), {"do": "remove", "reason": "Called: no."})
    assert done.status_code == 302
    entry.refresh_from_db()
    assert (entry.status, entry.end_reason) == (WaitlistStatus.LEFT, "Called: no.")
    again = desk.post(page_of(entry), {"do": "remove", "reason": "Again"})
    assert again.status_code == 409


def test_who_may_only_look_removes_nobody(
    client: Client, venue: Venue, entry: WaitlistEntry
) -> None:
    auditor = sign_in(client, "auditor", venue)

    assert "Remove from the list" not in auditor.get(page_of(entry)).content.decode()
    answer = auditor.post(page_of(entry), {"do": "remove", "reason": "x"})
    assert answer.status_code == 403


def test_a_reference_finds_whoever_waited_for_that_booking(
    client: Client, venue: Venue
) -> None:
    booking = make_booking(resource=make_resource(venue=venue))
    make_entry(resource=booking.resource)
    desk = sign_in(client, "front_desk", venue)

    found = desk.get(LIST, {"q": booking.reference}).context["cl"].result_list
    assert [*found] == []  # it was not offered to anybody who waited
