"""Back office: bookings and holds as the staff of a venue sees them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bookings.models import Booking, BookingHold, Resource
from slotbase.accounts.models import User, Venue
from tests.factories import (
    expire,
    in_two_days,
    make_booking,
    make_customer,
    make_hold,
    make_resource,
    make_staff,
    make_venue,
)

pytestmark = pytest.mark.django_db

BOOKINGS = reverse("admin:bookings_booking_changelist")
HOLDS = reverse("admin:bookings_bookinghold_changelist")


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside", time_zone="America/New_York", currency="USD")


@pytest.fixture
def court(venue: Venue) -> Resource:
    return make_resource(venue=venue, name="Centre Court")


@pytest.fixture
def alice() -> User:
    return make_customer(
        "Alice Adler", phone="+49 30 555 0101", email="alice@example.com"
    )


@pytest.fixture
def booking(court: Resource, alice: User) -> Booking:
    return make_booking(resource=court, customer=alice)


@pytest.fixture
def desk(client: Client, venue: Venue) -> Client:
    """Bob's client, who works at the front desk of the venue."""
    client.force_login(make_staff("front_desk", [venue]))
    return client


def page_of(row: Booking | BookingHold) -> str:
    name = f"admin:bookings_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def shown(client: Client, address: str, **query: str) -> list[Any]:
    """The rows of a list."""
    answer = client.get(address, query)
    assert answer.status_code == 200, answer.content
    return list(answer.context["cl"].result_list)


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


# --- What a page says ---------------------------------------------------------


def test_times_are_those_of_the_venue_and_say_so(desk: Client, court: Resource) -> None:
    start = datetime(2030, 7, 1, 16, tzinfo=UTC)
    Resource.objects.filter(pk=court.pk).update(horizon_days=9999)
    booking = make_booking(resource=court, start=start)

    # By its reference: the desk lists no day so far away.
    for address in (f"{BOOKINGS}?q={booking.reference}", page_of(booking)):
        page = text(desk, address)
        assert "Mon 1 Jul 2030," in page
        assert "12:00\N{EN DASH}13:00 EDT" in page


def test_a_page_shows_customer_price_state_and_hold(
    desk: Client, booking: Booking
) -> None:
    page = text(desk, page_of(booking))

    for words in ("Centre Court", "Alice Adler", "0.00 USD", "badge-confirmed"):
        assert words in page
    assert page_of(booking.hold) in page
    assert page_of(booking) in text(desk, page_of(booking.hold))


def test_the_story_of_a_booking_begins_with_its_hold(
    desk: Client, booking: Booking
) -> None:
    page = text(desk, page_of(booking)).split('class="timeline"')[-1]

    steps = [
        page.index(words)
        for words in ("Hold created", "Hold confirmed", "Booking confirmed")
    ]
    assert steps == sorted(steps)
    assert "Alice Adler (customer)" in page


def test_a_hold_shows_what_it_occupies(desk: Client, booking: Booking) -> None:
    assert "field-occupied" in text(desk, page_of(booking.hold))


# --- Who sees what ------------------------------------------------------------


def test_the_front_desk_sees_its_own_venue_only(desk: Client, booking: Booking) -> None:
    elsewhere = make_booking()

    assert shown(desk, BOOKINGS) == [booking]
    assert shown(desk, HOLDS) == [booking.hold]
    assert shown(desk, BOOKINGS, q=elsewhere.reference) == []
    for row in (elsewhere, elsewhere.hold):
        assert desk.get(page_of(row)).status_code == 302


def test_the_filter_names_no_other_venue(desk: Client, booking: Booking) -> None:
    other = make_booking().resource.venue

    page = desk.get(BOOKINGS, {"resource__venue__id__exact": other.pk})

    assert other.name not in page.content.decode()
    assert list(page.context["cl"].result_list) == [booking]


@pytest.mark.parametrize("group", ["auditor", "superuser"])
def test_some_see_all_venues(client: Client, booking: Booking, group: str) -> None:
    elsewhere = make_booking()
    if group == "superuser":
        client.force_login(make_staff(is_superuser=True))
    else:
        client.force_login(make_staff(group))

    assert shown(client, BOOKINGS) == [elsewhere, booking]


def test_contact_data_needs_its_own_permission(
    client: Client, desk: Client, booking: Booking
) -> None:
    asked = desk.post(page_of(booking), {"do": "show_contact_data"})
    seen_at_the_desk = asked.content.decode()
    client.force_login(make_staff("auditor"))
    seen_by_the_auditor = text(client, page_of(booking))

    for contact in ("+49 30 555 0101", "alice@example.com"):
        assert contact in seen_at_the_desk
        assert contact not in seen_by_the_auditor
    assert shown(client, BOOKINGS, q="alice@example.com") == []
    assert shown(client, BOOKINGS, q="Adler") == [booking]


@pytest.mark.parametrize(
    "query",
    [
        {"customer__email__startswith": "a"},
        {"customer__email": "alice@example.com"},
        {"cancel_reason__contains": "a"},
        {"resource__venue__staff__password__startswith": "p"},
    ],
)
def test_the_address_asks_nothing_that_no_filter_offers(
    desk: Client, booking: Booking, query: dict[str, str]
) -> None:
    answer = desk.get(BOOKINGS, query)

    assert (answer.status_code, answer["Location"]) == (302, f"{BOOKINGS}?e=1")


# --- Finding ------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["Alice", "adler ali", "030 5550101", "Alice@example.com"]
)
def test_search_finds_by_customer(desk: Client, booking: Booking, words: str) -> None:
    make_booking(resource=make_resource(venue=booking.resource.venue))

    assert booking in shown(desk, BOOKINGS, q=words)
    assert booking.hold in shown(desk, HOLDS, q=words)
    assert shown(desk, BOOKINGS, q="nobody") == []


def test_search_finds_by_reference_however_it_is_typed(
    desk: Client, booking: Booking
) -> None:
    reference = booking.reference
    bare = reference.replace("-", "")

    for typed in (reference, reference.lower(), bare, reference[:4], f" {bare} "):
        assert shown(desk, BOOKINGS, q=typed) == [booking], typed
        assert shown(desk, HOLDS, q=typed) == [booking.hold], typed


def test_one_or_two_letters_find_nothing(desk: Client, booking: Booking) -> None:
    assert shown(desk, BOOKINGS, q="Al") == []
    assert shown(desk, BOOKINGS, q="") == [booking]


def test_today_is_the_day_of_the_venue(
    desk: Client, court: Resource, set_clock: Callable[[datetime], None]
) -> None:
    # Eight in the evening of the first in New York; in UTC it is the second already.
    set_clock(datetime(2030, 5, 2, 0, 0, tzinfo=UTC))
    by_hour = {
        hour: make_booking(
            resource=court,
            start=datetime(2030, 5, 2, tzinfo=UTC) + timedelta(hours=hour),
        )
        for hour in (3, 4, 100, 7 * 24)
    }

    # Midnight in New York is four o'clock in UTC.
    assert shown(desk, BOOKINGS, day="today") == [by_hour[3]]
    assert shown(desk, BOOKINGS, day="week") == [by_hour[h] for h in (3, 4, 100)]
    assert shown(desk, BOOKINGS, day="past") == []


def test_lists_filter_by_state_and_kind(desk: Client, booking: Booking) -> None:
    assert shown(desk, BOOKINGS, status__exact="CONFIRMED") == [booking]
    assert shown(desk, BOOKINGS, status__exact="NO_SHOW") == []
    assert shown(desk, BOOKINGS, resource__kind__exact="COURT") == [booking]
    assert shown(desk, BOOKINGS, resource__kind__exact="ROOM") == []


def test_a_hold_that_ran_out_unseen_is_not_shown_as_keeping_its_slot(
    desk: Client, court: Resource
) -> None:
    keeps, ran_out = (
        make_hold(resource=court),
        make_hold(resource=make_resource(venue=court.venue)),
    )
    expire(ran_out)

    assert shown(desk, HOLDS, expiry="holding") == [keeps]
    assert shown(desk, HOLDS, expiry="over") == [ran_out]


# --- Cost ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "query"),
    [
        (BOOKINGS, {}),
        (BOOKINGS, {"day": "week"}),
        (BOOKINGS, {"q": "Alice"}),
        (HOLDS, {"status__exact": "CONFIRMED"}),
        (HOLDS, {"q": "Alice"}),
    ],
)
def test_more_rows_cost_no_more_queries(
    desk: Client, court: Resource, address: str, query: dict[str, str]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert shown(desk, address, **query)
        return len(captured)

    make_booking(resource=court)
    few = queries()
    for _ in range(4):
        make_booking(resource=make_resource(venue=court.venue))

    assert queries() == few <= 14


def test_a_long_list_is_counted_only_so_far(
    desk: Client, booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slotbase.lib.backoffice.CappedPaginator.limit", 1)
    make_booking(resource=make_resource(venue=booking.resource.venue))

    page = desk.get(BOOKINGS)

    assert page.context["cl"].result_count == 1
    assert "search or filter to see others" in page.content.decode()


# --- A week of the front desk -------------------------------------------------------


@pytest.fixture
def later(court: Resource) -> Booking:
    """In eleven days."""
    return make_booking(resource=court, start=in_two_days() + timedelta(days=10))


def test_the_front_desk_lists_a_week_and_others_all(
    client: Client, booking: Booking, later: Booking
) -> None:
    """Matrix: today and seven days on either side; who is a manager too sees all."""
    venue = booking.resource.venue
    for groups, rows in (
        (["front_desk"], [booking]),
        (["front_desk", "manager"], [later, booking]),
        (["support"], [later, booking]),
    ):
        staff = make_staff(venues=[venue])
        staff.groups.set(Group.objects.filter(name__in=groups))
        client.force_login(staff)
        assert shown(client, BOOKINGS) == rows, groups


def test_with_its_reference_the_front_desk_finds_any_booking(
    client: Client, later: Booking
) -> None:
    client.force_login(make_staff("front_desk", [later.resource.venue]))

    assert shown(client, BOOKINGS, q=later.reference) == [later]
    assert shown(client, BOOKINGS, q=later.reference[:5]) == [], (
        "a part of it is no reference"
    )
    assert shown(client, BOOKINGS, q=later.customer.name) == []
    assert client.get(page_of(later)).status_code == 200, "a case may lead to it"
