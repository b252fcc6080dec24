"""Signs of life: of each queue that a worker serves, and of beat."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from recovery import heartbeats, tasks
from recovery.models import Heartbeat
from slotbase import schedule
from slotbase.celery import app, say_that_worker_is_alive
from slotbase.devstack.stack import QUEUES
from slotbase.lib.clock import read_clock

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_part_has_one_row_with_its_last_beat() -> None:
    heartbeats.record_heartbeat("beat@host")
    Heartbeat.objects.update(beat_at=read_clock() - timedelta(minutes=5))

    heartbeats.record_heartbeat("beat@host")

    beat = Heartbeat.objects.get()
    assert read_clock() - beat.beat_at < timedelta(minutes=1)


def test_every_queue_of_the_workers_has_its_heartbeat() -> None:
    beating = {
        entry.queue
        for entry in schedule.SCHEDULE.values()
        if entry.task == "recovery.record_heartbeat"
    }

    assert beating == set(QUEUES.split(","))


def test_a_worker_tells_its_name_and_queue() -> None:
    tasks.record_heartbeat.apply(kwargs={"queue": "money"})

    assert Heartbeat.objects.get().name.endswith(" money")


def test_a_worker_tells_of_its_queues_as_soon_as_it_is_ready() -> None:
    queues = SimpleNamespace(consume_from={"money": None, "inbox": None})
    node = SimpleNamespace(hostname="w@host", app=SimpleNamespace())
    node.app.amqp = SimpleNamespace(queues=queues)

    say_that_worker_is_alive(node)

    names = set(Heartbeat.objects.values_list("name", flat=True))
    assert names == {"w@host money", "w@host inbox"}


def test_beat_tells_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = schedule.Scheduler(app=app, lazy=True)
    sent: list[Any] = []
    monkeypatch.setattr(scheduler, "apply_async", lambda *a, **_: sent.append(a))

    scheduler.tick()
    scheduler.tick()

    began, beat = Heartbeat.objects.order_by("beat_at")
    assert began.name.startswith("beat-began@")
    assert beat.name.startswith("beat@")


def test_beat_that_is_started_anew_has_been_alive_since_before() -> None:
    heartbeats.record_start_of_beat("host")
    heartbeats.record_heartbeat("beat@host")
    Heartbeat.objects.update(beat_at=read_clock() - timedelta(seconds=80))
    heartbeats.record_start_of_beat("host")
    began = Heartbeat.objects.get(name="beat-began@host")
    assert read_clock() - began.beat_at > timedelta(seconds=75)

    Heartbeat.objects.update(beat_at=read_clock() - timedelta(seconds=100))
    heartbeats.record_start_of_beat("host")

    began.refresh_from_db()
    assert read_clock() - began.beat_at < timedelta(seconds=50)


def test_parts_that_are_gone_are_forgotten() -> None:
    heartbeats.record_heartbeat("worker@old money")
    Heartbeat.objects.update(beat_at=read_clock() - timedelta(days=2))
    heartbeats.record_heartbeat("worker@new money")

    tasks.purge_history()

    assert [each.name for each in Heartbeat.objects.all()] == ["worker@new money"]
