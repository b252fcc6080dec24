"""Reminders come once, at a sensible hour, and what they say is true."""

from datetime import datetime, time, timedelta

import pytest
from django.db import transaction

from bookings.models import Booking, Resource
from bookings.services.cancelling import cancel_booking
from bookings.services.moved_clocks import keep_instant
from bookings.services.moving import move_booking
from bookings.services.reminders import reminder_time
from bookings.services.settling import settle_payable
from notifications.kinds import Topic
from notifications.models import Notification
from notifications.services import choices
from notifications.states import Channel
from payments.models import Payable
from recovery import audit
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from slotbase.lib.ids import uuid7
from tests.adversity import Clock, Stripe
from tests.bookings.closing import change, close, move, take_back
from tests.bookings.messages import deliver, make_device, message, pushes, told, turn
from tests.factories import (
    HOUR,
    in_two_days,
    make_booking,
    make_customer,
    make_priced_resource,
    make_resource,
    make_staff,
    make_venue,
)
from tests.payments.money import make_cash, run_due_work

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def make_unpaid() -> Booking:
    """24.00 are to be paid at the venue."""
    return make_booking(resource=make_priced_resource("AT_VENUE"), start=later())


def choose(user: User, *, is_wanted: bool) -> None:
    choices.choose(
        user_id=user.pk,
        topic=Topic.REMINDERS,
        channel=Channel.EMAIL,
        is_wanted=is_wanted,
        actor=audit.Actor.customer(user.pk),
    )


def later(hour: int = 12) -> datetime:
    """So far away that everybody is reminded of it."""
    return in_two_days(hour) + 2 * DAY


def reminders() -> list[str]:
    mails = Notification.objects.filter(template="booking_reminder", device=None)
    return [*mails.order_by("id").values_list("status", flat=True)]


def reminding_pushes() -> list[Notification]:
    return pushes("booking_reminder")


def make_push_only(resource: Resource) -> Booking:
    """Its customer has a device, and the mail that reminds them is none any more."""
    alice = make_customer()
    make_device(alice)
    booking = make_booking(customer=alice, resource=resource, start=later())
    turn(message("booking_reminder"), "SUPPRESSED", next_run_at=None)
    return booking


def of_closures() -> list[tuple[str, str]]:
    return told(template__in=("venue_closed", "venue_open_again"))


def test_who_books_is_reminded_a_day_before_and_never_after_the_start() -> None:
    booking = make_booking(start=later())

    reminder = message("booking_reminder")

    assert reminder.next_run_at == later() - DAY
    assert reminder.not_after == booking.start_time
    assert reminder.status == "PENDING"


@pytest.mark.parametrize(("is_wanted", "end"), [(True, "SENT"), (False, "SUPPRESSED")])
def test_who_wants_to_be_reminded_again_in_time_is(
    clock: Clock, stripe: Stripe, *, is_wanted: bool, end: str
) -> None:
    alice = make_customer()
    choose(alice, is_wanted=False)
    booking = make_booking(customer=alice, start=later())

    choose(alice, is_wanted=is_wanted)
    clock.stop_at(reminder_time(booking))
    deliver()

    assert reminders() == [end]


def test_each_device_is_reminded_too_at_the_same_time() -> None:
    alice = make_customer()
    make_device(alice)

    make_booking(customer=alice, start=later())

    assert [each.next_run_at for each in pushes("booking_reminder")] == [later() - DAY]


@pytest.mark.parametrize(("hours", "count"), [(25, 0), (27, 1)])
def test_who_booked_a_moment_ago_is_not_reminded(
    clock: Clock, hours: int, count: int
) -> None:
    resource, start = make_resource(), later()
    clock.stop_at(start - hours * HOUR)

    make_booking(resource=resource, start=start)

    assert len(reminders()) == count


def test_how_long_before_is_a_setting(settings: object) -> None:
    settings.REMINDER_HOURS_BEFORE = 3  # type: ignore[attr-defined]

    make_booking(start=later())

    assert message("booking_reminder").next_run_at == later() - 3 * HOUR


@pytest.mark.parametrize(
    ("quiet", "hours_before", "at"),
    [
        # In Berlin 13:00 in winter, 14:00 in summer: the same hour a day before.
        ((time(22), time(7)), 24, "start"),
        # A night of all the day but for some hours in the morning and evening.
        ((time(10), time(16)), 24, "end"),
        ((time(9), time(16)), 3, "begin"),
    ],
)
def test_at_night_it_waits_for_the_morning_or_comes_in_the_evening_before(
    settings: object, quiet: tuple[time, time], hours_before: int, at: str
) -> None:
    settings.REMINDER_HOURS_BEFORE = hours_before  # type: ignore[attr-defined]
    venue = make_venue(quiet_from=quiet[0], quiet_until=quiet[1])
    booking = make_booking(resource=make_resource(venue=venue), start=later())

    moment = reminder_time(booking).astimezone(venue.zone)

    expected = {"end": quiet[1], "begin": quiet[0]}
    wanted = expected.get(at) or (later() - DAY).astimezone(venue.zone).time()
    assert moment.time() == wanted
    assert message("booking_reminder").next_run_at == moment


def test_who_cancels_is_not_reminded() -> None:
    booking = make_booking(start=later())

    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    assert told() == [
        ("booking_confirmed", "CANCELLED"),
        ("booking_reminder", "CANCELLED"),
        ("booking_cancelled", "PENDING"),
    ]


def test_who_is_moved_is_reminded_of_the_new_time_also_if_it_moves_back(
    stripe: Stripe,
) -> None:
    booking, bob = make_booking(start=later()), make_staff()
    deliver()
    for start in (later(16), later()):
        booking = move_booking(
            booking_id=booking.pk,
            staff_id=bob.pk,
            version=booking.version,
            start_time=start,
        )

    assert reminders() == ["CANCELLED", "CANCELLED", "PENDING"]
    reminder = message("booking_reminder")
    assert reminder.next_run_at == later() - DAY
    assert reminder.context["start_time"] == later().isoformat()
    # Where it was to be in between is no news any more.
    moves = [status for kind, status in told() if kind == "booking_moved"]
    assert moves == ["CANCELLED", "PENDING"]


def test_what_is_due_is_said_and_corrected_once_when_it_is_paid() -> None:
    booking = make_unpaid()
    payable = Payable.objects.get(pk=booking.payable_id)
    assert message("booking_reminder").context["due_minor"] == 2400

    make_cash(payable, 1000)
    run_due_work()
    assert message("booking_reminder").context["due_minor"] == 1400
    make_cash(payable, 1400)
    run_due_work()
    settle_payable(payable_id=payable.pk)  # told twice

    assert message("booking_reminder").context["due_minor"] == 0
    assert reminders() == ["CANCELLED", "CANCELLED", "PENDING"]


def test_who_was_reminded_is_not_reminded_again_when_they_pay(
    clock: Clock, stripe: Stripe
) -> None:
    booking = make_unpaid()
    clock.stop_at(reminder_time(booking))
    deliver()

    make_cash(Payable.objects.get(pk=booking.payable_id), 2400)
    run_due_work()

    assert reminders() == ["SENT"]


@pytest.mark.parametrize("states", [["WAITING_FOR_ADDRESS"], ["SENDING", "RETRY"]])
def test_a_reminder_that_is_late_is_corrected_however_it_waits(
    clock: Clock, states: list[str]
) -> None:
    booking = make_unpaid()
    clock.stop_at(reminder_time(booking) + HOUR / 2)
    turn(message("booking_reminder"), *states)

    make_cash(Payable.objects.get(pk=booking.payable_id), 1000)
    run_due_work()

    assert reminders() == ["CANCELLED", "PENDING"]
    assert message("booking_reminder").context["due_minor"] == 1400


def test_who_is_reminded_by_push_alone_reads_what_is_due_now() -> None:
    booking = make_push_only(make_priced_resource("AT_VENUE"))

    for cash in (1000, 1400):
        make_cash(Payable.objects.get(pk=booking.payable_id), cash)
        run_due_work()

    told_by_push = [(x.status, x.context["due_minor"]) for x in reminding_pushes()]
    assert told_by_push == [("CANCELLED", 2400), ("CANCELLED", 1400), ("PENDING", 0)]
    assert reminders() == ["SUPPRESSED"]


def test_a_reminder_that_may_be_there_already_is_left_as_it_is(clock: Clock) -> None:
    booking = make_unpaid()
    clock.stop_at(reminder_time(booking) + HOUR / 2)
    turn(message("booking_reminder"), "SENDING", "RETRY", unsure_since=read_clock())

    make_cash(Payable.objects.get(pk=booking.payable_id), 1000)
    run_due_work()

    assert reminders() == ["RETRY"]


def test_one_that_is_on_its_way_is_left_while_another_channel_is_corrected() -> None:
    alice = make_customer()
    make_device(alice)
    booking = make_booking(
        customer=alice, resource=make_priced_resource("AT_VENUE"), start=later()
    )
    written = {"subject": "Soon", "html": "Soon", "text": "Soon"}
    turn(
        message("booking_reminder"),
        "SENDING",
        unsure_since=read_clock(),
        rendered=written,
        address_snapshot="alice@example.org",
    )

    make_cash(Payable.objects.get(pk=booking.payable_id), 1000)
    run_due_work()

    assert message("booking_reminder").not_after == booking.start_time
    assert [x.status for x in reminding_pushes()] == ["CANCELLED", "PENDING"]


def test_a_channel_that_reminded_already_does_not_do_it_again() -> None:
    alice = make_customer()
    make_device(alice)
    booking = make_booking(
        customer=alice, resource=make_priced_resource("AT_VENUE"), start=later()
    )
    turn(reminding_pushes()[0], "SENDING", "UNKNOWN", next_run_at=None)

    make_cash(Payable.objects.get(pk=booking.payable_id), 1000)
    run_due_work()

    assert reminders() == ["CANCELLED", "PENDING"]
    assert [each.status for each in reminding_pushes()] == ["UNKNOWN"]


# --- Closures -------------------------------------------------------------------


@pytest.fixture
def venue() -> Venue:
    return make_venue()


def make_booked(venue: Venue) -> Booking:
    return make_booking(resource=make_resource(venue=venue), start=later())


def test_a_closure_is_told_once_and_nobody_is_reminded(venue: Venue) -> None:
    booking = make_booked(venue)
    day = close(venue, date=later().astimezone(venue.zone).date())[0]

    change(day, opens=time(), closes=time(23))

    assert told(template="venue_closed") == [("venue_closed", "PENDING")]
    assert message("venue_closed").subject_id == str(booking.pk)
    assert reminders() == ["CANCELLED"]


def test_a_closure_that_is_taken_back_is_told_to_nobody(venue: Venue) -> None:
    make_booked(venue)
    day = close(venue, date=later().astimezone(venue.zone).date())[0]

    take_back(day)

    assert told(template="venue_closed") == [("venue_closed", "CANCELLED")]
    assert reminders() == ["CANCELLED", "PENDING"]


def test_what_is_closed_open_and_closed_again_is_told_after_all(venue: Venue) -> None:
    make_booked(venue)
    day = close(venue, date=later().astimezone(venue.zone).date())[0]
    closed_on = day.date
    change(day, date=closed_on + DAY)

    change(day, date=closed_on)

    statuses = [status for _, status in told(template="venue_closed")]
    assert statuses == ["CANCELLED", "PENDING"]
    assert reminders() == ["CANCELLED", "CANCELLED"]


@pytest.mark.parametrize("is_sent", [False, True])
def test_of_two_closures_both_are_one_news_until_both_are_taken_back(
    venue: Venue, stripe: Stripe, *, is_sent: bool
) -> None:
    booking = make_booked(venue)
    date = later().astimezone(venue.zone).date()
    first = close(booking.resource, date=date)[0]
    if is_sent:
        deliver()
    other = close(venue, date=date)[0]
    status = "SENT" if is_sent else "PENDING"
    assert of_closures() == [("venue_closed", status)]

    take_back(other)
    assert of_closures() == [("venue_closed", status)]
    assert reminders() == ["CANCELLED"]

    take_back(first)
    after = [("venue_closed", "SENT"), ("venue_open_again", "PENDING")]
    assert of_closures() == (after if is_sent else [("venue_closed", "CANCELLED")])
    assert reminders() == ["CANCELLED", "PENDING"]


def test_who_heard_of_a_closure_hears_each_turn_that_follows(
    venue: Venue, stripe: Stripe
) -> None:
    make_booked(venue)
    for _ in range(2):
        day = close(venue, date=later().astimezone(venue.zone).date())[0]
        deliver()
        take_back(day)
        deliver()

    turns = [("venue_closed", "SENT"), ("venue_open_again", "SENT")]
    assert of_closures() == turns * 2


def test_who_heard_that_it_is_closed_hears_nothing_if_it_opens_and_closes_again(
    venue: Venue, stripe: Stripe
) -> None:
    make_booked(venue)
    date = later().astimezone(venue.zone).date()
    day = close(venue, date=date)[0]
    deliver()
    take_back(day)

    close(venue, date=date)

    turns = [("venue_closed", "SENT"), ("venue_open_again", "CANCELLED")]
    assert of_closures() == turns


def test_who_may_have_heard_that_it_is_closed_hears_that_it_is_open(
    venue: Venue, stripe: Stripe
) -> None:
    make_booked(venue)
    deliver()
    day = close(venue, date=later().astimezone(venue.zone).date())[0]
    stripe.fails("reset_after_effect", "emails.send", provider="resend")
    deliver()

    take_back(day)

    turns = [("venue_closed", "CANCELLED"), ("venue_open_again", "PENDING")]
    assert of_closures() == turns


def test_what_was_moved_out_of_a_closure_and_into_another_is_told_again(
    venue: Venue, stripe: Stripe
) -> None:
    booking = make_booked(venue)
    date = later().astimezone(venue.zone).date()
    close(venue, date=date)
    deliver()
    move(booking, later() + DAY)

    close(venue, date=date + DAY)

    assert of_closures() == [("venue_closed", "SENT"), ("venue_closed", "PENDING")]


def test_what_was_moved_away_and_back_is_told_again_when_it_is_closed(
    venue: Venue, stripe: Stripe
) -> None:
    booking = make_booked(venue)
    date = later().astimezone(venue.zone).date()
    day = close(venue, date=date)[0]
    deliver()
    move(booking, later() + DAY)
    deliver()
    take_back(day)
    move(booking, later())
    deliver()

    close(venue, date=date)

    assert of_closures() == [("venue_closed", "SENT"), ("venue_closed", "PENDING")]


def test_what_stays_at_its_instant_in_a_closure_is_told_so_and_nobody_is_reminded(
    venue: Venue,
) -> None:
    booking = make_booked(venue)
    close(venue, date=later().astimezone(venue.zone).date())

    kept = {"booking_id": booking.pk, "version": booking.version}
    keep_instant(**kept, staff_id=uuid7(), tell=True)

    turns = [("venue_closed", "CANCELLED"), ("venue_closed", "PENDING")]
    assert of_closures() == turns
    assert set(reminders()) == {"CANCELLED"}


def test_who_is_reminded_by_push_alone_is_so_after_a_closure_too() -> None:
    booking = make_push_only(make_resource())
    venue = booking.resource.venue

    for _ in range(2):
        day = close(venue, date=later().astimezone(venue.zone).date())[0]
        take_back(day)

    assert [each.status for each in reminding_pushes()] == [
        "CANCELLED",
        "CANCELLED",
        "PENDING",
    ]


def test_who_cancels_what_is_closed_hears_of_the_cancellation_alone(
    venue: Venue,
) -> None:
    booking = make_booked(venue)
    close(venue, date=later().astimezone(venue.zone).date())

    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    wanted = [kind for kind, status in told() if status == "PENDING"]
    assert wanted == ["booking_cancelled"]
    assert message("booking_cancelled").context["by_venue"] is False


def test_a_transaction_that_is_rolled_back_owes_nobody_anything(venue: Venue) -> None:
    make_booked(venue)
    with transaction.atomic():
        close(venue, date=later().astimezone(venue.zone).date())
        transaction.set_rollback(True)

    assert told(template="venue_closed") == []
    assert reminders() == ["PENDING"]
