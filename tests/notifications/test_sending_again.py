"""Front desk: what is not true any more, or cannot arrive, is not sent again."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from bookings.models import Booking
from bookings.services.messages import tell_cancelled, tell_moved
from notifications.kinds import Topic
from notifications.models import Notification
from notifications.services import choices, desk, pushing, repeats, suppression
from notifications.services.messages import withdraw
from notifications.states import Channel
from recovery import audit
from recovery.models import Case
from slotbase.accounts.models import User
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.errors import InvalidState
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client as fcm
from tests.conftest import Sandbox
from tests.factories import make_booking, make_customer, make_staff
from tests.notifications import pushes
from tests.notifications.conftest import mails, make_addressee, queue, send, suppress

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]


@pytest.fixture
def alice() -> User:
    return make_addressee()


@pytest.fixture
def booking(alice: User) -> Booking:
    return make_booking(customer=alice)


@pytest.fixture
def confirmed(booking: Booking) -> Notification:
    """The confirmation of the booking, which Resend took."""
    send()
    return about(booking, "booking_confirmed")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_staff("support", is_superuser=True))
    return client


def about(booking: Booking, template: str) -> Notification:
    mine = Notification.objects.filter(subject_id=str(booking.pk), template=template)
    return mine.filter(channel=Channel.EMAIL).latest("pk")


def cancel(booking: Booking) -> None:
    with transaction.atomic():
        tell_cancelled(booking)


def move(booking: Booking) -> None:
    Booking.objects.filter(pk=booking.pk).update(version=booking.version + 1)
    booking.refresh_from_db()
    with transaction.atomic():
        tell_moved(booking, was_local="2030-01-01T10:00")


def resend(message: Notification) -> Notification:
    desk.resend(message_id=message.pk, staff_id=make_staff().pk, reason="They lost it")
    found = Notification.objects.filter(dedupe_key__contains=f"again:{message.pk}")
    return found.latest("pk")


def refusal(message: Notification) -> str:
    with pytest.raises(InvalidState) as refused:
        resend(message)
    return str(refused.value)


def page(client: Client, row: Any) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return client.get(reverse(name, args=[row.pk])).content.decode()


# --- What is not true any more ------------------------------------------------------


def test_a_confirmation_is_not_sent_again_once_it_was_cancelled(
    staff: Client, booking: Booking, confirmed: Notification
) -> None:
    assert 'value="resend"' in page(staff, confirmed)

    cancel(booking)

    assert refusal(confirmed).startswith("Something newer was said about it")
    shown = page(staff, confirmed)
    assert 'value="resend"' not in shown
    assert "Send it again: Something newer was said about it since" in shown
    send()
    resend(about(booking, "booking_cancelled"))


def test_without_that_rule_a_cancelled_booking_would_be_confirmed_again(
    booking: Booking,
    confirmed: Notification,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancel(booking)
    rule = repeats._something_newer_was_said
    others = [each for each in repeats._REASONS if each is not rule]
    monkeypatch.setattr(repeats, "_REASONS", others)

    resend(confirmed)
    send()

    subjects = [mail["subject"].partition(":")[0] for mail in mails(sandbox)]
    assert subjects.count("Booked") == 2


def test_of_two_moves_the_last_one_is_true(
    booking: Booking, confirmed: Notification
) -> None:
    move(booking)
    send()
    first = about(booking, "booking_moved")
    move(booking)
    send()

    for outdated in (confirmed, first):
        assert refusal(outdated).startswith("Something newer was said about it")
    resend(about(booking, "booking_moved"))


def test_a_copy_is_no_news_and_nor_is_what_was_withdrawn(
    booking: Booking, confirmed: Notification
) -> None:
    cancel(booking)
    with transaction.atomic():
        withdraw(dedupe_key=about(booking, "booking_cancelled").dedupe_key)

    again = resend(confirmed)
    send()

    assert resend(again).template == "booking_confirmed"


def test_a_reminder_is_outdated_by_the_next_one(booking: Booking) -> None:
    reminder = about(booking, "booking_reminder")
    Notification.objects.filter(pk=reminder.pk).update(next_run_at=Now())
    send()
    resend(reminder)
    Notification.objects.filter(dedupe_key__startswith="again:").delete()

    queue(
        booking.customer,
        template="booking_reminder",
        context={**reminder.context, "due_minor": 1},
        subject_id=str(booking.pk),
    )

    assert refusal(reminder).startswith("Something newer was said about it")


def test_a_withdrawn_reminder_is_not_sent_again(booking: Booking) -> None:
    cancel(booking)
    reminder = about(booking, "booking_reminder")

    assert reminder.status == "CANCELLED"
    assert refusal(reminder).startswith("It was withdrawn")


def test_what_expired_is_not_sent_again() -> None:
    message = queue(not_after=read_clock())
    send()
    row = Notification.objects.filter(pk=message.pk)
    row.update(not_after=None)

    assert row.get().status == "EXPIRED"
    assert refusal(message).startswith("It is too late for it")


def test_who_chose_not_to_hear_of_it_is_not_sent_it_again(alice: User) -> None:
    message = queue(alice)
    choices.choose(
        user_id=alice.pk,
        topic=Topic.BOOKINGS,
        channel=Channel.EMAIL,
        is_wanted=False,
        actor=audit.Actor.customer(alice.pk),
    )
    send()

    assert Notification.objects.get(pk=message.pk).status == "SUPPRESSED"
    assert refusal(message).startswith("They do not want it by this way")


# --- Where nothing arrives ----------------------------------------------------------


def test_nothing_is_sent_again_to_an_address_that_bounces(
    staff: Client, alice: User
) -> None:
    row, message = suppress(alice), queue(alice)
    send()
    case = Case.objects.get()

    assert refusal(message).startswith("Mail to this address bounces")
    for shown in (page(staff, message), page(staff, case)):
        assert "Send it again: Mail to this address bounces" in shown
        assert 'value="resend"' not in shown
    address = reverse("admin:recovery_case_change", args=[case.pk])
    pressed = {"do": "resend", "version": case.version}
    assert staff.post(address, pressed).status_code == 409
    assert [each.status for each in Case.objects.all()] == ["OPEN"]

    suppression.lift(suppression_id=row.pk, staff_id=make_staff().pk, reason="works")
    assert 'value="resend"' in page(staff, message)
    resend(message)
    assert Case.objects.get().status == "RESOLVED"


@pytest.mark.breaks_invariants
def test_one_that_came_back_has_not_arrived(
    staff: Client, confirmed: Notification
) -> None:
    assert "It may have arrived already" in page(staff, confirmed)

    Notification.objects.filter(pk=confirmed.pk).update(status="BOUNCED")

    shown = page(staff, confirmed)
    assert "It may have arrived already" not in shown
    assert 'value="resend"' in shown


# --- Pushes -------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcm, "breaker", Breaker("fcm"))


def fail_on(sandbox: Sandbox, *tokens: str, **over: Any) -> dict[str, Notification]:
    """Push to a phone and a tablet; what became of each. These devices get none."""
    bob = make_customer()
    devices = {name: pushes.register(bob, name) for name in ("phone", "tablet")}
    for token in tokens:
        pushes.fault(sandbox, "4xx", status=400, match=token, **over)
    pushes.queue_push(devices["phone"])
    pushing.send_due()
    rows = Notification.objects.select_related("device")
    return {name: rows.get(device=device) for name, device in devices.items()}


def test_a_failed_push_is_sent_again_to_its_device_alone(sandbox: Sandbox) -> None:
    told = fail_on(sandbox, "phone")
    assert [told[each].status for each in ("phone", "tablet")] == ["FAILED", "SENT"]

    again = resend(told["phone"])
    pushing.send_due()

    first, second = pushes.sent(sandbox)
    assert (first["token"], second["token"]) == ("tablet", "phone")
    assert first["collapse_key"] == second["collapse_key"]
    assert repeats.id_of_repeated(again) == str(told["phone"].pk)
    for done in (told["tablet"], pushes.now_of(again)):
        assert refusal(done).startswith("Each of their devices was told")


def test_the_button_of_one_device_sees_to_the_others_too(sandbox: Sandbox) -> None:
    told = fail_on(sandbox, "phone", "tablet")

    resend(told["phone"])

    assert refusal(told["tablet"]).startswith("Each of their devices was told")
    pushing.send_due()
    assert sorted(each["token"] for each in pushes.sent(sandbox)) == ["phone", "tablet"]
    assert refusal(told["tablet"]).startswith("Each of their devices was told")


@pytest.mark.breaks_invariants
def test_a_push_that_may_have_arrived_is_repeated_by_its_own_button_alone(
    sandbox: Sandbox,
) -> None:
    told = fail_on(sandbox, "phone")
    row = Notification.objects.filter(pk=told["tablet"].pk)
    row.update(status="UNKNOWN", sent_at=None, provider_id="")

    again = resend(told["phone"])

    assert again.device == told["phone"].device
    assert resend(told["tablet"]).device == told["tablet"].device


def test_a_repeated_push_that_arrives_closes_the_case_of_its_mail(
    sandbox: Sandbox,
) -> None:
    bob = make_addressee()
    suppress(bob)
    pushes.register(bob, "phone")
    pushes.fault(sandbox, "4xx", status=400)
    queue(bob)
    send()
    pushing.send_due()
    assert Case.objects.get().status == "OPEN"

    resend(Notification.objects.get(channel=Channel.PUSH))
    pushing.send_due()

    case = Case.objects.get()
    assert (case.status, case.close_reason) == ("RESOLVED", "They were told by push.")


def test_whoever_has_no_device_is_called(sandbox: Sandbox) -> None:
    told = fail_on(sandbox, "phone", "tablet")
    for each in told.values():
        assert each.device is not None
        each.device.status = "REVOKED"
        each.device.ended_at = read_clock()
        each.device.save()

    assert "or they have none" in refusal(told["phone"])
