"""What was kept long enough goes, and what is still owed stays."""

from datetime import timedelta
from typing import Any

import pytest

from recovery import tasks
from recovery.deliveries import deliver_events, purge_delivered_events
from recovery.models import EventDelivery, OutboxEvent
from slotbase.lib.clock import read_clock
from tests.row_queue import publish

pytestmark = pytest.mark.django_db(transaction=True)


def age_events() -> None:
    OutboxEvent.objects.update(created_at=read_clock() - timedelta(days=31))


def test_events_that_everybody_had_go_after_their_time(subscribe: Any) -> None:
    subscribe()
    publish("old")
    deliver_events("tester")
    age_events()
    publish("new")
    deliver_events("tester")

    tasks.purge_history()

    assert OutboxEvent.objects.get().subject_id == "new"
    assert EventDelivery.objects.count() == 1


def test_an_event_that_is_still_owed_stays(subscribe: Any) -> None:
    subscribe()
    publish("pending")
    age_events()

    assert purge_delivered_events(limit=10) == 0
    assert EventDelivery.objects.get().status == "PENDING"


def test_a_dead_event_stays_for_its_case(subscribe: Any) -> None:
    def fail(_: Any) -> None:
        raise ValueError

    subscribe(handle=fail, retry_seconds=list)
    publish("dead")
    deliver_events("tester")
    age_events()

    purge_delivered_events(limit=10)

    assert EventDelivery.objects.get().event.subject_id == "dead"


def test_a_purge_takes_no_more_than_its_batch() -> None:
    publish("a", "b", "c")
    age_events()

    assert purge_delivered_events(limit=2) == 2
    assert purge_delivered_events(limit=2) == 1
