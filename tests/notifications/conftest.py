"""The sandbox as Resend and Clerk, and mails to send."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.db import transaction

from notifications.models import Notification, PushDevice, SendBudget, Suppression
from notifications.services import sending
from notifications.services.messages import queue_message
from notifications.services.suppression import hash_of
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.providers.breaker import Breaker
from slotbase.providers.clerk import client as clerk
from slotbase.providers.resend import client as resend
from tests.conftest import Sandbox
from tests.factories import make_customer

CONTEXT = {
    "title": "Court 1",
    "venue_name": "Tennis am Park",
    "time_zone": "Europe/Berlin",
    "start_time": "2030-07-01T10:00:00+00:00",
    "end_time": "2030-07-01T11:00:00+00:00",
    "reference": "7K3QF-9XW2M",
    "price_minor": 2500,
    "currency": "EUR",
}


@pytest.fixture(autouse=True)
def _closed_breakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "breaker", Breaker("resend"))
    monkeypatch.setattr(clerk, "breaker", Breaker("clerk"))


def make_addressee(**over: Any) -> User:
    """Somebody whose address is known."""
    return make_customer(**{"email": "alice@example.com", **over})


def make_device(user: User, **over: Any) -> PushDevice:
    """A device of somebody; its token is nothing that FCM knows."""
    number = PushDevice.objects.count()
    fields = {"token_hash": f"hash-{number}", "sealed_token": "x", "platform": "IOS"}
    return PushDevice.objects.create(user=user, **{**fields, **over})


def suppress(user: User, *, address: str = "", **over: Any) -> Suppression:
    """Mails to somebody came back."""
    fields = {"reason": "BOUNCED", "address_hash": hash_of(address or user.email)}
    return Suppression.objects.create(user=user, **{**fields, **over})


def queue(recipient: User | None = None, **over: Any) -> Notification:
    """Queue a mail, as a service does."""
    recipient = recipient or make_addressee()
    wish = {
        "recipient_id": recipient.pk,
        "template": "booking_confirmed",
        "context": CONTEXT,
        "dedupe_key": f"booking_confirmed:{recipient.pk}",
        "subject_type": "booking",
        "subject_id": "1",
        "reference": "7K3QF-9XW2M",
    }
    with transaction.atomic():
        queue_message(**{**wish, **over})
    key = over.get("dedupe_key", wish["dedupe_key"])
    return Notification.objects.get(dedupe_key=key)


def send() -> int:
    """What beat asks for."""
    return sending.send_due()


def make_due(**over: Any) -> None:
    """What waits for its next attempt need not wait any longer, and there is room."""
    SendBudget.objects.update(next_at=Now())
    waiting = Notification.objects.filter(next_run_at__isnull=False)
    waiting.update(next_run_at=Now(), **over)


def let_time_pass(message: Notification, hours: float) -> None:
    """The message is so much older, and due."""
    age = timedelta(hours=hours)
    row = Notification.objects.get(pk=message.pk)
    unsure = row.unsure_since and row.unsure_since - age
    make_due(created_at=row.created_at - age, unsure_since=unsure)


def mails(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What Resend really sent."""
    address = f"{sandbox.url}/_sandbox/effects?provider=resend"
    found = requests.get(address, timeout=5).json()["effects"]
    return [each["effect"] for each in found]


def calls(sandbox: Sandbox) -> int:
    """How often Resend was called."""
    address = f"{sandbox.url}/_sandbox/calls?provider=resend"
    return len(requests.get(address, timeout=5).json()["calls"])


@pytest.fixture
def fault(sandbox: Sandbox) -> Callable[..., None]:
    """Scripts a fault of Resend for the next call: `fault("5xx", status=503)`."""

    def script(kind: str, **options: Any) -> None:
        one = {"provider": "resend", "operation": "emails.send", "count": 1}
        sandbox.post("/_sandbox/faults", {**one, "fault": kind, **options})

    return script
