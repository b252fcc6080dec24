"""`kill -9` at every point of telling an alert, then sweeps only: it arrives once."""

from typing import Any

import pytest

from recovery import invariants
from recovery.models import AlertNotice, NoticeDelivery
from recovery.notices import write_notices
from recovery.tasks import deliver_notices
from slotbase.providers.alerts import client
from slotbase.providers.breaker import Breaker
from tests.conftest import Sandbox
from tests.crashes.test_kill_points import every_point, kill
from tests.crashes.worker import KILLED, Workers, end_leases, is_settled
from tests.product import eventually
from tests.recovery.alarm import Sink, make_due, sound

pytestmark = pytest.mark.django_db(transaction=True)

DELIVER = "recovery.tasks.deliver_notices"


@pytest.fixture
def sink(
    workers: Workers, sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Sink:
    settings.ALERT_WEBHOOK_URL = f"{sandbox.url}/alerts/notices"
    monkeypatch.setattr(client, "breaker", Breaker("alerts"))
    # As an alert that was opened and told as an event to nobody: these wait apart.
    settings.ANALYTICS_URL = ""
    return Sink(sandbox, monkeypatch)


def write() -> None:
    sound(severity="high")
    assert write_notices() == 1


def sweep() -> None:
    """What living workers do; twice, as it goes on for ever."""
    for _ in range(2):
        deliver_notices(channel="webhook")
        make_due()
    deliver_notices(channel="webhook")


def require_one(sink: Sink) -> None:
    (notice,) = sink.taken()
    assert notice["id"] == str(AlertNotice.objects.get().pk)
    assert NoticeDelivery.objects.get().status == "DONE"
    assert is_settled()
    assert invariants.find_violations() == []


@every_point
def test_one_notice_wherever_its_worker_dies(
    workers: Workers, sink: Sink, point: str, times: int, deaths: int
) -> None:
    write()

    kill(workers, f"alert.{point}", times, DELIVER, channel="webhook")
    sweep()

    require_one(sink)
    assert NoticeDelivery.objects.get().deaths == deaths


@pytest.mark.parametrize("point", ["claimed", "failed", "settled"])
@pytest.mark.parametrize("kind", ["reset_after_effect", "5xx"])
def test_one_notice_if_its_worker_dies_over_an_answer_that_never_came(
    workers: Workers, sink: Sink, point: str, kind: str
) -> None:
    sink.fails(kind)
    write()

    kill(workers, f"alert.{point}", 1, DELIVER, channel="webhook")
    make_due()
    sweep()

    require_one(sink)


def test_one_notice_if_its_worker_dies_while_the_receiver_answers(
    workers: Workers, sink: Sink
) -> None:
    sink.fails("accept_then_hang")
    write()

    caller = workers.start(DELIVER, channel="webhook")
    eventually(sink.taken)
    assert workers.kill(caller) == KILLED
    end_leases()
    sweep()

    require_one(sink)
    assert sink.calls() == 2
