"""What customers were told in tests, and the devices on which they were."""

from typing import Any
from uuid import uuid4

from notifications.models import Notification, PushDevice
from slotbase.accounts.models import User


def told(**about: Any) -> list[tuple[str, str]]:
    """Kinds and states of all mails, in the order in which they were queued."""
    mails = Notification.objects.filter(device=None, **about).order_by("id")
    return [*mails.values_list("template", "status")]


def message(template: str, **about: Any) -> Notification:
    """The one mail of this kind that somebody wants."""
    mails = Notification.objects.filter(template=template, device=None, **about)
    return mails.exclude(status="CANCELLED").get()


def pushes(template: str) -> list[Notification]:
    """The pushes of this kind, one for each device."""
    mine = Notification.objects.filter(template=template, channel="PUSH")
    return [*mine.order_by("id")]


def make_device(user: User) -> PushDevice:
    """Somebody's phone."""
    return PushDevice.objects.create(
        user=user, token_hash=uuid4().hex, sealed_token="sealed", platform="IOS"
    )
