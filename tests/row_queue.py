"""A pytest plugin: a queue to play with, deliveries to a subscriber of the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from recovery import outbox
from recovery.models import EventDelivery
from recovery.outbox import Subscriber
from slotbase.lib.clock import Now


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    """Subscribes for the time of a test: `subscribe("ada", handle=...)`."""
    names = []

    def add(name: str = "tester", **over: Any) -> Subscriber:
        wanted = {"events": frozenset({"booking.hold.created"})}
        subscriber = Subscriber(name, **{**wanted, **over})
        outbox.subscribe(subscriber)
        names.append(name)
        return subscriber

    yield add
    for name in names:
        outbox.unsubscribe(name)


def publish(*ids: Any, event: str = "booking.hold.created") -> None:
    """Publish an event about each subject."""
    with transaction.atomic():
        outbox.publish(event, subject="hold", facts={each: {} for each in ids})


def delivery_of(subject: Any) -> EventDelivery:
    """The one delivery of the event about a subject."""
    return EventDelivery.objects.get(event__subject_id=str(subject))


def make_due(**filters: Any) -> None:
    """What waits for its next attempt need not wait any longer."""
    pending = EventDelivery.objects.filter(next_run_at__isnull=False, **filters)
    pending.update(next_run_at=Now())
