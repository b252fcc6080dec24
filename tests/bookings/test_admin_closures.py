"""Back office: closing time, and what the front desk and managers do about it."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bookings.admin.moving import address_of_move
from bookings.models import Booking, BookingHold, DateException, Resource
from notifications.models import Choice, Notification
from payments.models import Refund
from recovery import cases
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User, Venue
from tests.bookings.closing import case_of, close, day_of, is_closed
from tests.bookings.messages import make_device
from tests.bookings.test_admin_catalogue import form, page_of, special_day
from tests.bookings.test_moved_clocks import move_clocks
from tests.conftest import Sandbox
from tests.factories import (
    in_two_days,
    make_booking,
    make_hold,
    make_resource,
    make_staff,
    make_venue,
)
from tests.payments.money import make_paid_booking, run_due_work
from tests.payments.test_admin_failures import buttons, press

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside")


@pytest.fixture
def court(venue: Venue) -> Resource:
    return make_resource(venue=venue, name="Court 1")


@pytest.fixture
def booking(court: Resource) -> Booking:
    return make_booking(resource=court)


@pytest.fixture
def bob(venue: Venue) -> User:
    return make_staff("front_desk", [venue])


@pytest.fixture
def desk(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def manager(venue: Venue) -> Client:
    client = Client()
    client.force_login(make_staff("manager", [venue]))
    return client


def closed(case: Case) -> str:
    return Case.objects.get(pk=case.pk).status


# --- Closing time ---------------------------------------------------------------


def test_saving_a_closure_warns_with_what_it_touches(
    manager: Client, venue: Venue, court: Resource, booking: Booking
) -> None:
    hold = make_hold(resource=court, start=in_two_days(16))
    day = day_of(in_two_days())

    special_day(manager, venue=venue.pk, resource=court.pk, date=day, kind="CLOSED")

    page = manager.get(reverse("admin:bookings_dateexception_changelist"))
    said = page.content.decode()
    assert page_of(booking) in said
    assert page_of(hold) in said
    assert case_of(booking).status == "OPEN"


def test_many_are_listed_in_part(manager: Client, venue: Venue) -> None:
    court = make_resource(venue=venue, units=23)
    for _ in range(23):
        make_booking(resource=court)

    special_day(manager, venue=venue.pk, date=day_of(in_two_days()), kind="CLOSED")

    page = manager.get(reverse("admin:bookings_dateexception_changelist"))
    assert "and 3 more" in page.content.decode()


def test_a_closure_is_changed_and_deleted_with_its_cases(
    manager: Client, court: Resource, booking: Booking
) -> None:
    day, _ = close(court)
    later = {"date": "2030-12-24"}

    manager.post(page_of(day), form(manager, page_of(day), **later))
    assert is_closed(booking)
    manager.post(
        page_of(day), form(manager, page_of(day), date=str(day_of(in_two_days())))
    )
    assert not is_closed(booking)
    shown = manager.get(page_of(day, "delete")).content.decode()
    assert "claim" not in shown.lower()
    manager.post(page_of(day, "delete"), {"post": "yes"})

    assert is_closed(booking)
    assert not DateException.objects.exists()


# --- Bookings inside ------------------------------------------------------------


@pytest.mark.case("closure_conflict", "cancel")
def test_the_front_desk_cancels_with_all_money_back_whatever_the_terms(
    desk: Client, bob: User, venue: Venue, sandbox: Sandbox
) -> None:
    online = make_resource(venue=venue, payment_mode="ONLINE", price_minor=1200)
    booking = make_paid_booking(sandbox, resource=online)
    all_is_kept = [{"hours_before": 999, "keep_percent": 100, "keep_minor": 0}]
    Booking.objects.update(cancellation_terms=all_is_kept)
    close(online)
    case = case_of(booking)

    assert press(desk, case, "cancel").status_code == 302
    run_due_work()

    booking.refresh_from_db()
    assert (booking.status, booking.cancelled_by) == ("CANCELLED", bob)
    refund = Refund.objects.get()
    assert (refund.status, refund.amount_minor) == ("SUCCEEDED", 2400)
    assert is_closed(booking)
    assert Notification.objects.filter(template="booking_cancelled").exists()
    assert press(desk, case, "cancel").status_code == 409


def test_a_booking_that_has_begun_is_cancelled_in_full_too(
    desk: Client, court: Resource, booking: Booking
) -> None:
    close(court)
    Booking.objects.update(start_time="2020-01-01T00:00Z")
    BookingHold.objects.update(start_time="2020-01-01T00:00Z")

    assert press(desk, case_of(booking), "cancel").status_code == 302

    assert Booking.objects.get().status == "CANCELLED"


@pytest.mark.case("closure_conflict", "move")
def test_the_button_leads_to_the_page_that_moves_it(
    desk: Client, court: Resource, venue: Venue, booking: Booking
) -> None:
    close(court)
    other = make_resource(venue=venue, name="Court 2")
    answer = press(desk, case_of(booking), "move")
    assert answer["Location"] == address_of_move(booking.pk)

    shown = desk.get(answer["Location"]).context["form"]
    sent = {name: shown[name].value() for name in shown.fields}
    done = desk.post(answer["Location"], {**sent, "resource": other.pk})

    assert done["Location"] == page_of(booking)
    assert Booking.objects.get().resource == other
    assert is_closed(booking)
    assert "Booking moved" in desk.get(page_of(booking)).content.decode()


@pytest.mark.parametrize("button", ["move", "cancel"])
def test_what_a_colleague_works_on_is_left_to_them(
    desk: Client, court: Resource, booking: Booking, button: str
) -> None:
    close(court)
    case = case_of(booking)
    eve = make_staff("front_desk")
    cases.claim_case(case_id=case.pk, staff_id=eve.pk, version=case.version)

    assert press(desk, case, button).status_code == 409
    assert Booking.objects.get().status == "CONFIRMED"


def test_the_page_tells_when_and_what_closes_it(
    desk: Client, court: Resource, booking: Booking
) -> None:
    day, _ = close(court)

    page = desk.get(page_of_case(booking)).content.decode()

    for words in (booking.reference, "Court 1", page_of(day), page_of(booking)):
        assert words in page, words
    assert buttons(desk, case_of(booking)) == ["move", "cancel", "resolve", "discard"]


def page_of_case(booking: Booking, kind: str = "closure_conflict") -> str:
    return reverse("admin:recovery_case_change", args=[case_of(booking, kind).pk])


def test_others_move_and_cancel_nothing(
    client: Client, venue: Venue, court: Resource, booking: Booking
) -> None:
    close(court)
    client.force_login(make_staff("auditor"))

    for button in ("move", "cancel"):
        assert press(client, case_of(booking), button).status_code == 403
    assert client.get(address_of_move(booking.pk)).status_code == 403
    client.force_login(make_staff("front_desk", [make_venue()]))
    assert client.get(address_of_move(booking.pk)).status_code == 404


# --- The page that moves --------------------------------------------------------


def typed(client: Client, booking: Booking, **changes: Any) -> Any:
    shown = client.get(address_of_move(booking.pk)).context["form"]
    sent = {name: shown[name].value() for name in shown.fields}
    return client.post(address_of_move(booking.pk), {**sent, **changes})


def test_staff_read_whether_the_customer_is_told(
    desk: Client, venue: Venue, booking: Booking
) -> None:
    make_device(booking.customer)
    other = make_resource(venue=venue)
    unwanted = {"EMAIL": "It is moved, and its customer is told."}
    unwanted["PUSH"] = "Its customer chose not to hear of it: please call them."

    for (channel, says), place in zip(
        unwanted.items(), (other, booking.resource), strict=True
    ):
        Choice.objects.create(
            user=booking.customer, topic="BOOKINGS", channel=channel, is_wanted=False
        )
        typed(desk, booking, resource=place.pk)

        assert says in desk.get(page_of(booking)).content.decode()


def test_a_booking_page_leads_there_while_it_is_to_come(
    desk: Client, booking: Booking
) -> None:
    assert address_of_move(booking.pk) in desk.get(page_of(booking)).content.decode()

    Booking.objects.update(status="COMPLETED")

    page = desk.get(page_of(booking)).content.decode()
    assert address_of_move(booking.pk) not in page
    Booking.objects.update(status="CONFIRMED")


def test_a_taken_time_is_refused_and_what_was_typed_stays(
    desk: Client, court: Resource, booking: Booking
) -> None:
    make_hold(resource=court, start=in_two_days(16))
    local = f"{in_two_days(16).astimezone(court.venue.zone):%Y-%m-%dT%H:%M}"

    answer = typed(desk, booking, start_time=local)

    assert answer.status_code == 409
    assert "This slot was just taken" in answer.content.decode()
    assert local in answer.content.decode()
    assert Booking.objects.get().start_time == in_two_days()


def test_what_cannot_be_is_refused_beside_its_field(
    desk: Client, booking: Booking
) -> None:
    past = typed(desk, booking, start_time="2020-01-01T12:00")
    nonsense = typed(desk, booking, start_time="soon")
    elsewhere = typed(desk, booking, resource=make_resource().pk)

    for answer, field in (
        (past, "start_time"),
        (nonsense, "start_time"),
        (elsewhere, "resource"),
    ):
        assert answer.status_code == 400
        assert answer.context["form"].errors[field]


def test_whoever_looked_too_early_looks_again_and_may_go_on(
    desk: Client, court: Resource, booking: Booking
) -> None:
    local = f"{in_two_days(16).astimezone(court.venue.zone):%Y-%m-%dT%H:%M}"
    stale = typed(desk, booking, start_time=local, version=0)
    assert stale.status_code == 409
    assert "Look at it again" in stale.content.decode()

    fresh = stale.context["form"]
    sent = {name: fresh[name].value() for name in fresh.fields}

    assert desk.post(address_of_move(booking.pk), sent).status_code == 302


# --- Moved clocks ---------------------------------------------------------------


@pytest.mark.case("time_zone_moved", "keep")
@pytest.mark.case("time_zone_moved", "tell")
@pytest.mark.parametrize(("button", "mails"), [("keep", 0), ("tell", 1)])
def test_a_manager_keeps_the_instant(
    manager: Client, venue: Venue, booking: Booking, button: str, mails: int
) -> None:
    move_clocks(venue)
    case = case_of(booking, "time_zone_moved")
    assert buttons(manager, case) == ["keep", "move", "tell"]
    assert {"keep": 0, "tell": 1}[button] == mails

    assert press(manager, case, button).status_code == 302

    assert closed(case) == "RESOLVED"
    # Nobody heard of it yet: that it is booked is said anew, with when it was to be.
    sent = Notification.objects.filter(context__has_key="was_local")
    assert sent.count() == mails
    assert Booking.objects.get().start_time == in_two_days()


@pytest.mark.case("time_zone_moved", "move")
def test_a_manager_moves_it_to_the_local_time_it_was_sold_for(
    manager: Client, venue: Venue, booking: Booking
) -> None:
    move_clocks(venue)
    case = case_of(booking, "time_zone_moved")

    assert press(manager, case, "move").status_code == 302

    moved = Booking.objects.get()
    assert moved.start_time == in_two_days(13)
    assert moved.local_start == booking.local_start
    assert closed(case) == "RESOLVED"
    assert AuditEntry.objects.filter(action="booking.moved").exists()


def test_such_a_case_is_not_just_closed(
    manager: Client, venue: Venue, booking: Booking
) -> None:
    move_clocks(venue)
    case = case_of(booking, "time_zone_moved")

    for button in ("resolve", "discard"):
        assert press(manager, case, button, reason="Away.").status_code == 409

    assert closed(case) == "OPEN"


def test_whoever_moves_the_clocks_is_told_what_follows(
    manager: Client, venue: Venue
) -> None:
    address = reverse("admin:accounts_venue_change", args=[venue.pk])

    answer = manager.post(
        address, form(manager, address, time_zone="Europe/London"), follow=True
    )

    assert "Bookings stay at their instants" in answer.content.decode()
    assert Venue.objects.get(pk=venue.pk).time_zone == "Europe/London"
