"""Back office: what a customer was told, whether it arrived, and sending it again."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bookings.models import Booking
from notifications.kinds import Topic
from notifications.models import Notification
from notifications.services import choices
from notifications.services import desk as services
from notifications.states import Channel
from recovery import audit, cases
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from slotbase.lib.errors import InvalidState
from tests.conftest import Sandbox
from tests.factories import (
    make_booking,
    make_customer,
    make_entry,
    make_resource,
    make_staff,
    make_venue,
)
from tests.notifications.conftest import (
    CONTEXT,
    mails,
    make_addressee,
    make_device,
    queue,
    send,
    suppress,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside")


@pytest.fixture
def alice() -> User:
    return make_addressee(name="Alice Adler")


@pytest.fixture
def booking(venue: Venue, alice: User) -> Booking:
    return make_booking(resource=make_resource(venue=venue), customer=alice)


@pytest.fixture
def desk(client: Client, venue: Venue) -> Client:
    client.force_login(make_staff("front_desk", [venue]))
    return client


@pytest.fixture
def sent(booking: Booking, sandbox: Sandbox) -> Notification:
    """The confirmation of the booking, which Resend took."""
    send()
    return confirmations().get(subject_id=str(booking.pk), channel="EMAIL")


def confirmations() -> Any:
    """Not the reminder of the same booking."""
    return Notification.objects.filter(template="booking_confirmed")


def page_of(row: Any) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


def read(client: Client, row: Any) -> str:
    answer = client.get(page_of(row))
    assert answer.status_code == 200
    return answer.content.decode()


# --- What was told --------------------------------------------------------------


def test_the_page_of_a_booking_tells_every_message_and_what_became_of_it(
    desk: Client, booking: Booking, sent: Notification
) -> None:
    late = queue(
        booking.customer,
        dedupe_key="late",
        subject_id=str(booking.pk),
        venue_id=booking.resource.venue_id,
        template="booking_moved",
        context={**sent.context, "was_local": None},
        not_after=read_clock(),
    )
    send()

    text = read(desk, booking)

    assert page_of(sent) in text
    assert "Booking confirmed" in text
    assert "badge-sent" in text
    assert page_of(late) in text
    assert "badge-expired" in text
    assert "nobody wants it any more" in text


def test_the_page_of_an_entry_of_the_waitlist_tells_them_too(
    desk: Client, venue: Venue
) -> None:
    entry = make_entry(resource=make_resource(venue=venue))
    message = queue(
        entry.customer,
        subject_type="waitlistentry",
        subject_id=str(entry.pk),
        venue_id=venue.pk,
    )

    assert page_of(message) in read(desk, entry)


def test_the_page_of_a_customer_tells_those_of_the_own_venues(
    desk: Client, client: Client, booking: Booking, sent: Notification
) -> None:
    elsewhere = queue(booking.customer, dedupe_key="x", venue_id=make_venue().pk)
    text = read(desk, booking.customer)
    assert page_of(sent) in text
    assert page_of(elsewhere) not in text

    client.force_login(make_staff("support", Venue.objects.all()))
    assert page_of(elsewhere) in read(client, booking.customer)
    client.force_login(make_staff("front_desk", [make_venue()]))
    assert page_of(sent) not in read(client, booking.customer)
    assert client.get(page_of(booking)).status_code == 302
    assert client.get(page_of(sent)).status_code == 302


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("BOUNCED", "Mail bounces"),
        ("COMPLAINED", "Mail unwanted"),
        ("REFUSED", "Mail refused"),
    ],
)
def test_pages_say_that_mails_do_not_arrive(
    desk: Client, booking: Booking, sent: Notification, reason: str, words: str
) -> None:
    pages = (booking, booking.hold, booking.customer, sent)
    assert all("Mail works" in read(desk, page) for page in pages)

    suppress(booking.customer, reason=reason)

    assert all(words in read(desk, page) for page in pages)


def test_the_page_of_a_message_tells_moves_and_attempts_in_one_order(
    desk: Client, sent: Notification
) -> None:
    text = read(desk, sent)

    words = ("Notification queued", "Notification sending", "Attempt 1: done")
    assert [text.index(each) for each in words] == sorted(map(text.index, words))


@pytest.mark.parametrize("channel", Channel)
def test_a_message_that_was_never_sent_can_be_read_out(
    desk: Client, venue: Venue, alice: User, channel: Channel
) -> None:
    if channel == Channel.EMAIL:
        suppress(alice)
    make_device(alice)
    queue(alice, venue_id=venue.pk)
    send()
    message = Notification.objects.filter(channel=channel).latest("pk")

    shown = read(desk, message)

    assert "As it would be sent now:" in shown
    assert "Court 1" in shown
    assert ("Hello Alice Adler," in shown) is (channel == Channel.EMAIL)
    assert "As it would be sent now" not in read(desk, alice)


def test_what_was_sent_is_shown_as_it_was(desk: Client, sent: Notification) -> None:
    assert "As it would be sent now" not in read(desk, sent)


@pytest.mark.parametrize(
    "broken",
    [
        {"template": "forgotten"},
        {"context": {}},
        {"context": {**CONTEXT, "time_zone": "Nowhere/Town"}},
        {"context": {**CONTEXT, "price_minor": "cheap"}},
    ],
)
def test_a_message_that_cannot_be_written_any_more_still_has_a_page(
    desk: Client, venue: Venue, broken: dict[str, Any]
) -> None:
    message = queue(venue_id=venue.pk)
    Notification.objects.filter(pk=message.pk).update(**broken)

    assert "It cannot be written any more." in read(desk, message)


# --- Sending it again -----------------------------------------------------------


def press(client: Client, message: Notification, **typed: str) -> Any:
    return client.post(page_of(message), {"do": "resend", **typed})


def test_one_that_went_out_is_sent_again_with_a_reason(
    desk: Client, sent: Notification, sandbox: Sandbox
) -> None:
    text = read(desk, sent)
    assert "then the customer gets it twice" in text
    assert press(desk, sent).status_code == 400

    assert press(desk, sent, reason="They deleted it").status_code == 302
    send()

    assert len(mails(sandbox)) == 2
    again = Notification.objects.get(dedupe_key=services.key_again(sent))
    assert (again.status, again.because) == ("SENT", "They deleted it")
    assert page_of(again) in read(desk, sent)
    assert page_of(sent) in read(desk, again)
    entry = AuditEntry.objects.get(action="notification.resent")
    assert (entry.actor_kind, entry.subject_id) == ("staff", str(sent.pk))
    assert "They deleted it" not in entry.reason


def test_it_is_sent_again_once_and_the_newer_one_after_that(
    desk: Client, sent: Notification
) -> None:
    press(desk, sent, reason="They deleted it")
    assert 'value="resend"' not in read(desk, sent)
    assert press(desk, sent, reason="Once more").status_code == 409
    send()

    again = Notification.objects.get(dedupe_key=services.key_again(sent))
    assert 'value="resend"' in read(desk, again)


@pytest.mark.breaks_invariants
def test_what_is_unknown_warns_that_it_may_arrive_twice(
    desk: Client, sent: Notification
) -> None:
    row = Notification.objects.filter(pk=sent.pk)
    row.update(status="UNKNOWN", sent_at=None, provider_id="")

    assert "It may have arrived already" in read(desk, sent)


@pytest.mark.breaks_invariants
def test_what_is_known_not_to_have_arrived_does_not_warn(
    desk: Client, sent: Notification
) -> None:
    row = Notification.objects.filter(pk=sent.pk)
    row.update(status="FAILED", sent_at=None, provider_id="")

    assert "It may have arrived already" not in read(desk, sent)


def test_who_does_not_want_it_is_not_sent_it_again(
    desk: Client, sent: Notification
) -> None:
    choices.choose(
        user_id=sent.recipient_id,
        topic=Topic.BOOKINGS,
        channel=Channel.EMAIL,
        is_wanted=False,
        actor=audit.Actor.customer(sent.recipient_id),
    )

    answer = press(desk, sent, reason="They lost it")

    assert answer.status_code == 409
    assert "They do not want it" in answer.content.decode()
    assert "They lost it" in answer.content.decode()
    assert confirmations().count() == 1


def test_one_whose_case_a_colleague_works_on_is_left_to_them(
    desk: Client, booking: Booking, fault: Any, venue: Venue
) -> None:
    fault("4xx", status=422)
    send()
    case, colleague = Case.objects.get(), make_staff("front_desk", [venue])
    cases.claim_case(case_id=case.pk, staff_id=colleague.pk, version=case.version)

    message = confirmations().get(subject_id=str(booking.pk))
    assert press(desk, message, reason="Me first").status_code == 409
    assert confirmations().count() == 1


def test_who_may_only_look_has_no_button(
    client: Client, sent: Notification, venue: Venue
) -> None:
    client.force_login(make_staff("auditor", [venue]))

    assert 'value="resend"' not in read(client, sent)
    assert press(client, sent, reason="x").status_code == 403


def test_without_looking_for_a_repetition_it_would_go_out_thrice(
    sent: Notification, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = make_staff()
    services.resend(message_id=sent.pk, staff_id=bob.pk, reason="x")
    with pytest.raises(InvalidState):
        services.resend(message_id=sent.pk, staff_id=bob.pk, reason="x")

    monkeypatch.setattr(services, "why_not_again", lambda _: "")
    monkeypatch.setattr(services, "key_again", lambda _: "another key")
    services.resend(message_id=sent.pk, staff_id=bob.pk, reason="x")
    assert confirmations().count() == 3


# --- Devices and addresses ------------------------------------------------------


def test_a_device_is_shown_without_what_it_is_reached_by(client: Client) -> None:
    client.force_login(make_staff("support"))
    device = make_device(
        make_customer(), token_hash="hash-canary", sealed_token="sealed-canary"
    )
    listed = client.get(reverse("admin:notifications_pushdevice_changelist"))

    for text in (read(client, device), listed.content.decode()):
        assert "canary" not in text
        assert "iOS" in text


def test_support_revokes_a_device_and_that_is_on_record(client: Client) -> None:
    client.force_login(make_staff("support"))
    device = make_device(make_customer())

    assert client.post(page_of(device), {"do": "revoke"}).status_code == 302
    assert client.post(page_of(device), {"do": "revoke"}).status_code == 409

    device.refresh_from_db()
    assert (device.status, device.why) == ("REVOKED", "revoked by staff")
    assert device.ended_at is not None
    entry = AuditEntry.objects.get(subject_type="pushdevice")
    assert (entry.from_state, entry.to_state) == ("ACTIVE", "REVOKED")


@pytest.mark.parametrize("group", ["front_desk", "manager"])
def test_devices_and_the_list_of_addresses_are_not_of_one_venue(
    client: Client, venue: Venue, group: str
) -> None:
    client.force_login(make_staff(group, [venue]))
    alice = make_addressee()

    for row in (make_device(alice), suppress(alice)):
        assert client.get(page_of(row)).status_code == 403


def test_support_lets_mails_go_to_an_address_again_and_says_why(
    client: Client, alice: User
) -> None:
    client.force_login(make_staff("support"))
    row = suppress(alice)
    assert client.post(page_of(row), {"do": "lift"}).status_code == 400

    answer = client.post(page_of(row), {"do": "lift", "reason": "Their box was full"})

    assert answer.status_code == 302
    row.refresh_from_db()
    assert row.lifted_at is not None
    assert row.lifted_because == "Their box was full"
    assert "Mail works" in read(client, alice)
    assert "Their box was full" in read(client, row)
    entry = AuditEntry.objects.get(action="suppression.lifted")
    assert entry.reason == ""
    assert client.post(page_of(row), {"do": "lift", "reason": "x"}).status_code == 409


def test_the_list_of_addresses_has_no_addresses(client: Client, alice: User) -> None:
    client.force_login(make_staff("operations"))
    row = suppress(alice)

    assert alice.email not in read(client, row)
    assert row.address_hash not in read(client, row)


def test_auditors_look_at_both_and_change_neither(client: Client, alice: User) -> None:
    client.force_login(make_staff("auditor"))

    for row, button in ((suppress(alice), "lift"), (make_device(alice), "revoke")):
        assert f'value="{button}"' not in read(client, row)
        answer = client.post(page_of(row), {"do": button, "reason": "x"})
        assert answer.status_code == 403
