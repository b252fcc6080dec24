"""Devices, pushes to them, and the sandbox as FCM."""

from itertools import count
from typing import Any
from uuid import UUID

import requests
from django.db import transaction

from notifications.models import Notification, NotificationAttempt, PushDevice
from notifications.services import devices, pushing
from notifications.services.messages import queue_message
from notifications.states import Channel
from recovery.models import AuditEntry
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.conftest import CONTEXT

_numbers = count(1)


def register(user: User | None = None, token: str = "", **over: Any) -> PushDevice:
    """A device of somebody, as its app registers it."""
    user = user or make_customer()
    token = token or f"token-{next(_numbers)}"
    wish = {"user_id": user.pk, "token": token, "platform": "ANDROID", **over}
    device_id, _ = devices.register(**wish)
    return PushDevice.objects.get(pk=device_id)


def queue_push(device: PushDevice | None = None, **over: Any) -> Notification:
    """Queue a push to each device of somebody; the one to this device."""
    device = device or register()
    key = over.pop("dedupe_key", f"booking_confirmed:{next(_numbers)}")
    wish = {
        "recipient_id": device.user_id,
        "template": "booking_confirmed",
        "context": CONTEXT,
        "dedupe_key": key,
        "subject_type": "booking",
        "subject_id": "1",
        "channels": [Channel.PUSH],
    }
    with transaction.atomic():
        queue_message(**{**wish, **over})
    return Notification.objects.get(dedupe_key=f"{key}:push:{device.pk}")


def send() -> int:
    """What beat asks for."""
    return pushing.send_due()


def make_due(**over: Any) -> None:
    """What waits for its next attempt need not wait any longer."""
    waiting = Notification.objects.filter(next_run_at__isnull=False)
    waiting.update(next_run_at=Now(), **over)


def sent(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What reached devices."""
    address = f"{sandbox.url}/_sandbox/effects?provider=fcm"
    found = requests.get(address, timeout=5).json()["effects"]
    return [each["effect"] for each in found]


def calls(sandbox: Sandbox) -> int:
    """How often FCM was asked to send."""
    address = f"{sandbox.url}/_sandbox/calls?provider=fcm"
    found = requests.get(address, timeout=5).json()["calls"]
    return [call["operation"] for call in found].count("messages.send")


def trouble(sandbox: Sandbox, error: str, token: str, **more: Any) -> None:
    """From now on a device is answered so."""
    sandbox.post("/_sandbox/fcm/tokens", {"token": token, "error": error, **more})


def fault(sandbox: Sandbox, kind: str, **options: Any) -> None:
    """Script a fault of the next call that sends."""
    one = {"provider": "fcm", "operation": "messages.send", "count": 1}
    sandbox.post("/_sandbox/faults", {**one, "fault": kind, **options})


def now_of(row: Any) -> Any:
    """The row as it is now."""
    return type(row).objects.get(pk=row.pk)


def attempts(message: Notification) -> list[tuple[str, str]]:
    """Outcome and code of each call."""
    made = NotificationAttempt.objects.filter(notification=message).order_by("number")
    return list(made.values_list("outcome", "code"))


def place_of(action: str, row: Any) -> int:
    """Where in all history this happened to a row; nought if it did not."""
    entries = AuditEntry.objects.filter(action=action, subject_id=str(row.pk))
    return max(entries.values_list("id", flat=True), default=0)


def history(subject: str, id_: UUID) -> list[tuple[str, str, str]]:
    """What happened to a row, and who did it."""
    entries = AuditEntry.objects.filter(subject_type=subject, subject_id=str(id_))
    said = entries.order_by("id").values_list("action", "to_state", "actor_kind")
    return list(said)
