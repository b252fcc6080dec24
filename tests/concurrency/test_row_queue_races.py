"""Several workers at one queue: each row has one effect, and nobody waits."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from recovery import cases, inbox, locks
from recovery.deliveries import deliver_events
from recovery.models import AuditEntry, Case, EventDelivery, InboxEvent, OutboxEvent
from recovery.tasks import deliver_events as task
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.providers.webhooks import Envelope
from tests.concurrency.race import at_once, errors_in
from tests.factories import make_customer
from tests.row_queue import publish

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 10


def count_effect(event: OutboxEvent) -> None:
    """An effect in the database: one audit entry for each time it happened."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO recovery_heartbeat (name) VALUES (%s)",
            [f"{event.subject_id} {uuid4()}"],
        )


def effects() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM recovery_heartbeat")
        return sorted(name.split()[0] for (name,) in cursor.fetchall())


def test_one_task_delivered_three_times_at_once_has_one_effect(subscribe: Any) -> None:
    subscribe(handle=count_effect)
    for number in range(ROUNDS):
        publish(f"{number:02}")

        outcomes = at_once([lambda: task(subscriber="tester")] * 3)

        assert errors_in(outcomes) == []
    assert effects() == [f"{number:02}" for number in range(ROUNDS)]


def test_without_skipping_what_others_work_on_there_would_be_more_effects(
    subscribe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the claim without its lock and its lease."""
    careless = locks._CLAIM.replace("FOR UPDATE SKIP LOCKED", "").replace(
        "AND (lease_until IS NULL OR lease_until <= (SELECT slotbase_now()))", ""
    )
    monkeypatch.setattr(locks, "_CLAIM", careless)
    barrier = threading.Barrier(3, timeout=10)

    def meet(_: Any) -> None:
        barrier.wait()

    subscribe(call=meet, handle=count_effect)
    publish("a")
    monkeypatch.setattr("recovery.rowqueue.give_back_lease", lambda *_: None)

    at_once([lambda: _one(subscriber="tester")] * 3)

    assert len(effects()) == 3
    EventDelivery.objects.all().delete()


def _one(subscriber: str) -> None:
    from recovery import rowqueue
    from recovery.deliveries import queue_of
    from recovery.outbox import subscribers

    queue = queue_of(subscribers()[subscriber])
    row = rowqueue._claim(queue, {}, due_before=read_clock())
    assert row is not None
    rowqueue._run(queue, row)


def test_many_workers_share_the_work(subscribe: Any) -> None:
    subscribe(handle=count_effect)
    ids = [f"{number:03}" for number in range(200)]
    publish(*ids)

    outcomes = at_once([lambda: deliver_events("tester")] * 8)

    assert errors_in(outcomes) == []
    assert sum(outcomes) == 200
    assert effects() == ids


def test_a_good_row_is_done_in_the_same_sweep_as_10000_poison_ones(
    subscribe: Any,
) -> None:
    """Soon, too: it does not wait for all of them."""
    tried: list[str] = []

    def handle(event: OutboxEvent) -> None:
        tried.append(event.subject_id)
        if event.subject_id != "good":
            raise ValueError(event.subject_id)
        count_effect(event)

    subscribe(handle=handle)
    publish(*(f"poison-{number}" for number in range(10_000)))
    publish("good")

    deliver_events("tester")

    assert effects() == ["good"]
    assert tried.index("good") == 1
    assert len(tried) == len(set(tried)) > 100


def envelope(**over: Any) -> Envelope:
    fields: dict[str, Any] = {
        "provider": "stripe",
        "event_id": "evt_1",
        "type": "tester.happened",
        "created_at": None,
        "account": "",
        "api_version": "",
        "livemode": False,
        "payload": {"object": "event"},
    }
    return Envelope(**{**fields, **over})


def test_fifty_copies_of_a_webhook_at_once_are_one_row() -> None:
    outcomes = at_once([lambda: inbox.store(envelope())] * 50)

    assert errors_in(outcomes) == []
    assert outcomes.count(True) == 1
    assert InboxEvent.objects.count() == 1


def test_trouble_seen_by_many_at_once_is_one_case() -> None:
    @retry_on_conflict
    def open_it() -> None:
        cases.open_case(
            cases.Opening(
                kind="dead_letter",
                fingerprint="f",
                title="t",
                subject_type="s",
                subject_id="1",
            )
        )

    outcomes = at_once([open_it] * 12)

    assert errors_in(outcomes) == []
    assert Case.objects.get().occurrences == 12
    assert AuditEntry.objects.filter(action="case.opened").count() == 1


def test_of_two_colleagues_one_claims_the_case() -> None:
    staff = [make_customer(is_staff=True, clerk_id=None, username=n) for n in "ab"]

    @retry_on_conflict
    def open_it(number: int) -> Any:
        return cases.open_case(
            cases.Opening(
                kind="dead_letter",
                fingerprint=f"f{number}",
                title="t",
                subject_type="s",
                subject_id="1",
            )
        )

    for number in range(ROUNDS):
        case_id = open_it(number)
        outcomes = at_once(
            [
                lambda each=each, case_id=case_id: cases.claim_case(
                    case_id=case_id, staff_id=each.pk, version=1
                )
                for each in staff
            ]
        )
        assert len(errors_in(outcomes)) == 1
