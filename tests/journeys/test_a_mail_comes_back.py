"""Resend tells over HTTP what became of a mail, and everybody hears what follows.

The sandbox signs its webhooks and sends them to a server of ours, as Resend does.
"""

from collections.abc import Callable, Iterator

import pytest
import requests
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from rest_framework.test import APIClient

from bookings.models import Booking
from notifications.models import Notification, Suppression
from recovery.inbox import process_inbox
from recovery.models import AuditEntry, Case, InboxEvent
from slotbase.accounts.models import User
from slotbase.providers.resend import client as resend
from tests.bookings.till import cancel, confirm
from tests.conftest import Sandbox
from tests.factories import make_customer, make_hold, make_staff
from tests.payments.sweeps import sweep
from tests.product import eventually
from tests.providers.signing import current_secret

pytestmark = pytest.mark.django_db(transaction=True)

FORGED = "whsec_Zm9yZ2VkIGJ5IHNvbWVib2R5IGVsc2U="


class Told:
    """Resend, which tells us what became of mails."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox, self.url = sandbox, url
        self.signs_with(current_secret("resend"))

    def signs_with(self, secret: str) -> None:
        """From now on; what is not taken is not sent again."""
        wish = {"provider": "resend", "url": self.url, "secret": secret}
        self.sandbox.post("/_sandbox/webhooks/endpoints", {**wish, "retry_ms": []})

    def tells(self, id_: str, what: str) -> str:
        """Say it of a mail, and wait until it was taken or refused."""
        event = {"id": id_, "type": f"email.{what}"}
        message: str = self.sandbox.post("/_sandbox/resend/events", event)["id"]
        eventually(lambda: self.answers_to(message))
        process_inbox()
        return message

    def tells_again(self, message: str) -> None:
        """The same webhook once more."""
        before = len(self.answers_to(message))
        wish = {"provider": "resend", "action": "resend", "ids": [message]}
        self.sandbox.post("/_sandbox/webhooks", wish)
        eventually(lambda: len(self.answers_to(message)) > before)
        process_inbox()

    def answers_to(self, message: str) -> list[int]:
        """The statuses with which we answered."""
        known = self.sandbox.get("/_sandbox/webhooks", provider="resend")["messages"]
        [found] = [each for each in known if each["id"] == message]
        return [each["status"] for each in found["attempts"]]

    def mails(self) -> list[str]:
        """The ids of the mails that went out."""
        sent = self.sandbox.get("/_sandbox/effects", provider="resend")["effects"]
        return [each["effect"]["id"] for each in sent]


@pytest.fixture
def told(sandbox: Sandbox, live_server: LiveServer) -> Iterator[Told]:
    yield Told(sandbox, f"{live_server.url}/webhooks/resend/")
    address = f"{sandbox.url}/_sandbox/webhooks/endpoints?provider=resend"
    requests.delete(address, timeout=5).raise_for_status()


@pytest.fixture
def alice() -> User:
    return make_customer(email="alice@example.com")


@pytest.fixture
def api(alice: User, api_of: Callable[[User], APIClient]) -> APIClient:
    return api_of(alice)


@pytest.fixture
def booking(alice: User, api: APIClient) -> Booking:
    """Alice booked, and the mail about it went out."""
    assert confirm(api, make_hold(customer=alice)).status_code == 201
    sweep()
    return Booking.objects.get()


def status_of(template: str) -> str:
    return Notification.objects.get(template=template, device=None).status


def inbox() -> list[tuple[str, str]]:
    events = InboxEvent.objects.order_by("id")
    return [*events.values_list("type", "status")]


@pytest.mark.parametrize(
    ("what", "status", "why", "badge"),
    [
        ("bounced", "BOUNCED", "bounced", "Mail bounces"),
        ("complained", "COMPLAINED", "complained", "Mail unwanted"),
    ],
)
def test_where_a_mail_comes_back_no_other_goes_and_all_are_told(
    told: Told,
    api: APIClient,
    booking: Booking,
    client: Client,
    what: str,
    status: str,
    why: str,
    badge: str,
) -> None:
    """F76: the list, the badge on the booking, the notice in the app."""
    [mail] = told.mails()

    told.tells(mail, what)

    assert status_of("booking_confirmed") == status
    assert Suppression.objects.get().reason == status
    cancel(api, booking)
    sweep()
    assert status_of("booking_cancelled") == "SUPPRESSED"
    assert told.mails() == [mail]
    answer = api.get("/api/v1/me/notifications/")
    assert answer.json()["email"] == {"works": False, "why": why}
    assert badge in page_of(client, booking)


def page_of(client: Client, booking: Booking) -> str:
    client.force_login(make_staff("front_desk", venues=[booking.resource.venue]))
    page = client.get(reverse("admin:bookings_booking_change", args=[booking.pk]))
    return page.content.decode()


def test_what_was_delivered_changes_nothing_else(
    told: Told, api: APIClient, booking: Booking, client: Client
) -> None:
    [mail] = told.mails()

    told.tells(mail, "delivered")

    assert status_of("booking_confirmed") == "DELIVERED"
    assert not Suppression.objects.exists()
    assert not Case.objects.exists()
    email = api.get("/api/v1/me/notifications/").json()["email"]
    assert email == {"works": True, "why": None}
    assert "Mail bounces" not in page_of(client, booking)


@pytest.mark.usefixtures("booking")
def test_twice_and_out_of_order_it_is_the_same(told: Told) -> None:
    """F76: copies are one webhook, and a late one does not take anything back."""
    [mail] = told.mails()
    message = told.tells(mail, "bounced")

    told.tells_again(message)
    told.tells(mail, "delivered")

    assert told.answers_to(message) == [200, 200]
    assert inbox() == [("email.bounced", "PROCESSED"), ("email.delivered", "IGNORED")]
    assert status_of("booking_confirmed") == "BOUNCED"
    assert Suppression.objects.count() == Case.objects.count() == 1
    added = AuditEntry.objects.filter(action="suppression.added")
    assert added.count() == 1


@pytest.mark.usefixtures("booking")
def test_news_of_a_mail_that_is_none_of_ours_is_ignored(told: Told) -> None:
    parts = {"subject": "s", "html": "h", "text": "t", "idempotency_key": "other"}
    other = resend.send_email(sender="a@example.com", to="b@example.com", **parts)

    told.tells(other, "bounced")

    assert inbox() == [("email.bounced", "IGNORED")]
    assert status_of("booking_confirmed") == "SENT"
    assert not Suppression.objects.exists()


@pytest.mark.usefixtures("booking")
def test_what_somebody_else_signed_is_refused_and_leaves_nothing(told: Told) -> None:
    [mail] = told.mails()
    told.signs_with(FORGED)

    forged = told.tells(mail, "bounced")

    assert told.answers_to(forged) == [400]
    assert inbox() == []
    assert status_of("booking_confirmed") == "SENT"
    # The positive control: with our secret it is believed.
    told.signs_with(current_secret("resend"))
    told.tells(mail, "bounced")
    assert status_of("booking_confirmed") == "BOUNCED"
