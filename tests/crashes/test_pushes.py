"""`kill -9` at every point of sending a push, then sweeps only: one push at most.

FCM knows no keys. So whoever dies between the promise to send and the record leaves a
push of which nobody knows, and which is not sent again: the mail tells the same.
"""

import pytest

from notifications.models import Notification, PushDevice
from notifications.tasks import send_push
from recovery import invariants
from recovery.models import Case
from recovery.rowqueue import MAX_DEATHS
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client
from tests.conftest import Sandbox
from tests.crashes.test_kill_points import kill
from tests.crashes.worker import KILLED, Workers, end_leases, is_settled
from tests.notifications.pushes import (
    calls,
    fault,
    make_due,
    queue_push,
    register,
    sent,
    trouble,
)
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SEND = "notifications.tasks.send_push"
# Who dies there has promised to send, and has sent from `called` on.
IN_DOUBT = {"rendered": 0, "called": 1, "recorded": 1}


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("fcm"))


def sweep() -> None:
    """What beat asks for, and living workers do; twice, as it goes on for ever."""
    for _ in range(2):
        send_push()


def require_end(sandbox: Sandbox, status: str, *, pushes: int) -> None:
    assert Notification.objects.get().status == status
    assert len(sent(sandbox)) == pushes
    assert is_settled()
    assert Case.objects.count() == 0
    assert invariants.find_violations() == []


@pytest.mark.parametrize(("point", "times"), [("claimed", 1), ("claimed", 2)])
def test_who_dies_before_the_promise_leaves_a_push_that_is_sent(
    workers: Workers, sandbox: Sandbox, point: str, times: int
) -> None:
    queue_push()

    kill(workers, f"push.{point}", times, SEND)
    sweep()

    require_end(sandbox, "SENT", pushes=1)
    assert Notification.objects.get().deaths == times


@pytest.mark.parametrize(("point", "pushes"), IN_DOUBT.items())
def test_who_dies_between_promise_and_record_has_sent_once_at_most(
    workers: Workers, sandbox: Sandbox, point: str, pushes: int
) -> None:
    queue_push()

    kill(workers, f"push.{point}", 1, SEND)
    sweep()

    require_end(sandbox, "UNKNOWN", pushes=pushes)
    assert calls(sandbox) == pushes


def test_who_dies_after_the_record_has_sent_once(
    workers: Workers, sandbox: Sandbox
) -> None:
    queue_push()

    kill(workers, "push.settled", 1, SEND)
    sweep()

    require_end(sandbox, "SENT", pushes=1)


def test_who_dies_while_fcm_answers_has_sent_once(
    workers: Workers, sandbox: Sandbox
) -> None:
    fault(sandbox, "accept_then_hang")
    queue_push()

    caller = workers.start(SEND)
    eventually(lambda: sent(sandbox))
    assert workers.kill(caller) == KILLED
    end_leases()
    sweep()

    require_end(sandbox, "UNKNOWN", pushes=1)


@pytest.mark.parametrize(
    ("point", "status"), [("failed", "UNKNOWN"), ("settled", "SENT")]
)
def test_who_dies_over_a_failure_sends_no_second_one(
    workers: Workers, sandbox: Sandbox, point: str, status: str
) -> None:
    device = register(token="t")
    trouble(sandbox, "UNAVAILABLE", "t", count=1)
    queue_push(device)

    kill(workers, f"push.{point}", 1, SEND)
    make_due()
    sweep()

    # That FCM refused it was not recorded, so nobody knows.
    require_end(sandbox, status, pushes=int(status == "SENT"))


def test_who_dies_over_a_device_that_is_gone_changes_nothing_by_halves(
    workers: Workers, sandbox: Sandbox
) -> None:
    device = register(token="gone")
    trouble(sandbox, "UNREGISTERED", "gone")
    queue_push(device)

    kill(workers, "push.failed", 1, SEND)
    assert PushDevice.objects.get().status == "ACTIVE"
    sweep()

    require_end(sandbox, "UNKNOWN", pushes=0)
    queued = queue_push(device)
    sweep()
    assert Notification.objects.get(pk=queued.pk).status == "FAILED"
    assert PushDevice.objects.get().status == "INVALID"


def test_a_worker_that_was_paused_past_its_lease_records_nothing(
    workers: Workers, sandbox: Sandbox
) -> None:
    queue_push()

    paused = workers.start(SEND, failpoints="push.called=stop")
    workers.wait(paused)
    end_leases()
    sweep()
    workers.go_on(paused)

    require_end(sandbox, "UNKNOWN", pushes=1)


def test_a_push_that_kills_its_workers_is_given_up(
    workers: Workers, sandbox: Sandbox
) -> None:
    queue_push()

    kill(workers, "push.claimed", MAX_DEATHS, SEND)
    sweep()

    require_end(sandbox, "FAILED", pushes=0)


def test_if_doubt_were_no_reason_there_would_be_two(
    workers: Workers, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the one who takes over sends it again."""
    from notifications.services import pushing

    monkeypatch.setattr(pushing, "_why_unsent", lambda *_: None)
    queue_push()

    kill(workers, "push.called", 1, SEND)
    sweep()

    assert len(sent(sandbox)) == 2
