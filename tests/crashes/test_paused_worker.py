"""A worker is paused past its lease: who took over wins, and the late one loses."""

from typing import Any

import pytest

from recovery.models import AuditEntry
from tests.conftest import Sandbox
from tests.crashes.test_kill_points import (
    DELIVER,
    PROCESS,
    journal,
    require_all_is_well,
    sent,
    settled,
    store,
    sweep,
    webhook,
)
from tests.crashes.worker import (
    CONFIRMED,
    HAPPENED,
    PAUSED,
    Workers,
    delivery_to,
    effects,
    end_leases,
)
from tests.row_queue import publish

pytestmark = pytest.mark.django_db(transaction=True)

before_the_record = pytest.mark.parametrize("point", ["claimed", "called", "recorded"])
UNGUARDED = "tests.crashes.worker.deliver_without_lease_check"


def pause(workers: Workers, point: str, task: str, **arguments: Any) -> int:
    """A worker is paused there, for longer than its lease; returns its process id."""
    pid = workers.start(task, failpoints=f"{point}=stop", **arguments)
    assert workers.wait(pid) == PAUSED
    end_leases()
    return pid


def refused(queue: str) -> list[str]:
    """The rows of which late records were refused."""
    entries = AuditEntry.objects.filter(action="late_record_refused", actor_id=queue)
    return [each.subject_id for each in entries]


@before_the_record
def test_a_late_effect_is_undone(
    workers: Workers, sandbox: Sandbox, point: str
) -> None:
    publish("a", event=CONFIRMED)
    late = pause(workers, f"outbox.{point}", DELIVER, subscriber="tester")

    assert workers.run(DELIVER, subscriber="tester") == 0
    done = delivery_to("tester")
    assert workers.go_on(late) == 0

    assert effects() == ["a"]
    assert delivery_to("tester") == done
    assert done.items() >= settled("DONE", deaths=1).items()
    assert refused("outbox") == [str(done["id"])]
    sweep()
    require_all_is_well(sandbox)


@before_the_record
def test_a_late_webhook_is_undone(
    workers: Workers, sandbox: Sandbox, point: str
) -> None:
    store(HAPPENED)
    late = pause(workers, f"inbox.{point}", PROCESS)

    assert workers.run(PROCESS) == 0
    done = webhook()
    assert workers.go_on(late) == 0

    assert effects() == ["evt_1"]
    assert webhook() == done
    assert done.items() >= settled("PROCESSED", deaths=1).items()
    assert refused("inbox") == [str(done["id"])]
    require_all_is_well(sandbox)


@before_the_record
def test_a_late_call_to_a_provider_is_known_there(
    workers: Workers, sandbox: Sandbox, point: str
) -> None:
    publish("a")
    late = pause(workers, f"outbox.{point}", DELIVER, subscriber="analytics")

    assert workers.run(DELIVER, subscriber="analytics") == 0
    done = delivery_to("analytics")
    assert workers.go_on(late) == 0

    assert (len(journal(sandbox, "calls")), len(sent(sandbox))) == (2, 1)
    assert delivery_to("analytics") == done
    assert refused("outbox") == [str(done["id"])]
    require_all_is_well(sandbox)


def test_a_late_failure_does_not_undo_a_success(
    workers: Workers, sandbox: Sandbox
) -> None:
    fault = {"provider": "analytics", "operation": "event", "fault": "4xx"}
    sandbox.post("/_sandbox/faults", {**fault, "count": 1})
    publish("a")
    late = pause(workers, "outbox.failed", DELIVER, subscriber="analytics")

    assert workers.run(DELIVER, subscriber="analytics") == 0
    done = delivery_to("analytics")
    assert workers.go_on(late) == 0

    assert delivery_to("analytics") == done
    assert done.items() >= settled("DONE", deaths=1).items()
    assert refused("outbox") == [str(done["id"])]
    require_all_is_well(sandbox)


def test_a_late_record_is_refused_while_the_other_is_still_at_work(
    workers: Workers, sandbox: Sandbox
) -> None:
    store(HAPPENED)
    late = pause(workers, "inbox.called", PROCESS)
    other = workers.start(PROCESS, failpoints="inbox.called=stop")
    assert workers.wait(other) == PAUSED
    in_work = webhook()

    assert workers.go_on(late) == 0
    assert effects() == []
    assert webhook() == in_work

    assert workers.go_on(other) == 0
    assert effects() == ["evt_1"]
    assert len(refused("inbox")) == 1
    require_all_is_well(sandbox)


def test_a_record_is_not_too_late_while_nobody_has_taken_over(
    workers: Workers, sandbox: Sandbox
) -> None:
    store(HAPPENED)
    late = pause(workers, "inbox.called", PROCESS)

    assert workers.go_on(late) == 0

    assert effects() == ["evt_1"]
    assert webhook().items() >= settled("PROCESSED", deaths=0).items()
    assert refused("inbox") == []
    require_all_is_well(sandbox)


def test_without_the_token_there_would_be_two_effects(workers: Workers) -> None:
    """The positive control: who wakes up records, whoever has the lease."""
    publish("a", event=CONFIRMED)
    late = pause(workers, "outbox.called", UNGUARDED, subscriber="tester")

    assert workers.run(DELIVER, subscriber="tester") == 0
    assert workers.go_on(late) == 0

    assert effects() == ["a", "a"]
    assert refused("outbox") == []
