"""What customers were told in tests, and the devices on which they were."""

from itertools import pairwise
from typing import Any
from uuid import uuid4

from django.db import transaction

from notifications.models import Notification, PushDevice
from notifications.services import sending
from notifications.services.history import record_move
from recovery import audit
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


def deliver() -> None:
    """All mails that are due go out; everybody has an address."""
    User.objects.filter(email="").update(email="alice@example.org")
    while sending.send_due():
        pass


def turn(which: Notification, *states: str, **fields: Any) -> None:
    """A message went through these states since, as if its worker had said so."""
    actor = audit.Actor.system("test")
    for before, to in pairwise((which.status, *states)):
        with transaction.atomic():
            record_move(which.pk, before, to, actor=actor)
    row = Notification.objects.filter(pk=which.pk)
    row.update(status=states[-1], **fields)


def make_device(user: User) -> PushDevice:
    """Somebody's phone."""
    return PushDevice.objects.create(
        user=user, token_hash=uuid4().hex, sealed_token="sealed", platform="IOS"
    )
