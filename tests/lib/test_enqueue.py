"""A wake-up reaches the broker after the commit, and never stands in anybody's way."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import transaction
from pytest_django import Settings

from slotbase.devstack.supervisor import running
from slotbase.devstack.valkey import Valkey
from slotbase.lib import enqueue
from slotbase.lib.enqueue import Publisher, after_commit
from tests.devstack.tiny import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Many times what it takes, and a small part of any wait for a broker.
AT_ONCE_SECONDS = 0.5
pytestmark = pytest.mark.django_db(transaction=True)


class Broker:
    """A Valkey of this file alone, which may be stopped, frozen and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._valkey = Valkey(folder)
        self._valkey.prepare()
        self.url = self._valkey.url()

    def running(self) -> Any:
        return running([self._valkey.program()], self._folder)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def wakeups(self, queue: str) -> list[tuple[str, dict[str, Any]]]:
        """Task and ids of the messages in this queue, the oldest first."""
        with self.client() as client:
            messages = [json.loads(each) for each in client.lrange(queue, 0, -1)]
        return [(each["headers"]["task"], ids_in(each)) for each in messages[::-1]]


def ids_in(message: dict[str, Any]) -> dict[str, Any]:
    _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    return dict(kwargs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broker")


@pytest.fixture
def broker(folder: Path, settings: Settings) -> Broker:
    """One that does not run yet, as the broker of this test's publisher."""
    broker = Broker(folder)
    settings.CELERY_BROKER_URL = broker.url
    return broker


@pytest.fixture
def running_broker(broker: Broker) -> Iterator[Broker]:
    with broker.running(), broker.client() as client:
        client.flushall()
        yield broker


@pytest.fixture
def frozen_broker(broker: Broker) -> Iterator[Broker]:
    """One that accepts connections and says nothing, until it is sent SIGCONT."""
    with broker.running() as supervisor, broker.client() as client:
        client.flushall()
        pid = supervisor.children()["valkey"].pid
        os.kill(pid, signal.SIGSTOP)
        yield broker
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(autouse=True)
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """The publisher of this process, as it is after the start."""
    fresh = Publisher()
    monkeypatch.setattr(enqueue, "_publisher", fresh)
    return fresh


class Lines:
    """A log that remembers."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.said.append({"event": event, **values})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Lines:
    log = Lines()
    monkeypatch.setattr(enqueue, "log", log)
    return log


def seconds_for(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def wake(number: int = 1) -> None:
    with transaction.atomic():
        after_commit("bookings.probe", id=number)


def test_nothing_is_sent_before_the_commit(
    running_broker: Broker, publisher: Publisher
) -> None:
    with transaction.atomic():
        after_commit("bookings.probe", id=1)
        assert publisher.flush(5)
        assert running_broker.wakeups("bookings") == []

    assert publisher.flush(5)
    assert running_broker.wakeups("bookings") == [("bookings.probe", {"id": 1})]


def test_nothing_is_sent_after_a_rollback(
    running_broker: Broker, publisher: Publisher
) -> None:
    with transaction.atomic():
        after_commit("bookings.probe", id=1)
        transaction.set_rollback(True)
    wake(2)

    assert publisher.flush(5)
    assert running_broker.wakeups("bookings") == [("bookings.probe", {"id": 2})]


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("bookings.expire_holds", "bookings"),
        ("payments.attempt_refund", "money"),
        ("notifications.send", "email"),
        ("recovery.process_inbox", "inbox"),
        ("recovery.deliver_events", "default"),
        ("accounts.refresh_signing_keys", "default"),
    ],
)
def test_a_wakeup_goes_to_the_queue_of_its_task_with_its_ids(
    running_broker: Broker, publisher: Publisher, task: str, queue: str
) -> None:
    key = uuid.uuid4()
    after_commit(task, row_id=key, number=7, name="stripe")

    assert publisher.flush(5)
    ids = {"row_id": str(key), "number": 7, "name": "stripe"}
    assert running_broker.wakeups(queue) == [(task, ids)]


def test_a_wakeup_ends_by_itself_and_wants_no_result(
    running_broker: Broker, publisher: Publisher
) -> None:
    wake()

    assert publisher.flush(5)
    with running_broker.client() as client:
        (message,) = client.lrange("bookings", 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["ignore_result"] is True
    assert headers["expires"] is not None
    assert headers["eta"] is None


def test_many_wakeups_share_one_connection(
    running_broker: Broker, publisher: Publisher
) -> None:
    with running_broker.client() as client:
        before = client.info("stats")["total_connections_received"]
        for number in range(200):
            wake(number)
        assert publisher.flush(10)
        opened = client.info("stats")["total_connections_received"] - before

    assert len(running_broker.wakeups("bookings")) == 200
    # kombu asks with one whether the broker is there, and sends with another.
    assert opened <= 2


def test_a_wakeup_that_waits_already_is_not_added_again(
    running_broker: Broker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_send = threading.Event()
    send = Publisher._send

    def send_later(*arguments: Any) -> None:
        may_send.wait(10)
        send(*arguments)

    monkeypatch.setattr(Publisher, "_send", send_later)
    wake(0)
    wait_until(lambda: not publisher._waiting)
    for number in (1, 2, 1, 0, 1):
        wake(number)
    may_send.set()

    assert publisher.flush(5)
    # The first 0 was being sent: the row may have changed since it was.
    sent = [ids["id"] for _, ids in running_broker.wakeups("bookings")]
    assert sent == [0, 1, 2, 0]


def test_a_refused_broker_stops_nobody(
    broker: Broker, publisher: Publisher, log: Lines
) -> None:
    done = []

    def commit() -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: done.append("before"))
            after_commit("bookings.probe", id=1)
            transaction.on_commit(lambda: done.append("after"))

    assert seconds_for(commit) < AT_ONCE_SECONDS
    assert done == ["before", "after"]
    assert publisher.flush(5)
    assert log.said == [
        {"event": "wakeups_dropped", "reason": "ConnectionError", "count": 1}
    ]


@pytest.mark.usefixtures("frozen_broker")
def test_a_frozen_broker_stops_nobody_and_costs_a_wakeup_some_seconds(
    publisher: Publisher, log: Lines
) -> None:
    assert seconds_for(wake) < AT_ONCE_SECONDS
    assert seconds_for(lambda: wake(2)) < AT_ONCE_SECONDS

    assert not publisher.flush(0.2)
    most = 2 * (enqueue.IMPATIENT["socket_timeout"] + 1)
    assert seconds_for(lambda: publisher.flush(60)) < most
    assert log.said == [
        {"event": "wakeups_dropped", "reason": "TimeoutError", "count": 1}
    ]


def test_a_connection_that_froze_works_again(
    broker: Broker, publisher: Publisher, log: Lines
) -> None:
    with broker.running() as supervisor, broker.client() as client:
        client.flushall()
        wake(1)
        assert publisher.flush(5)
        pid = supervisor.children()["valkey"].pid
        os.kill(pid, signal.SIGSTOP)
        wake(2)
        wait_until(lambda: log.said)
        os.kill(pid, signal.SIGCONT)
        wake(3)
        assert publisher.flush(5)
        sent = [ids["id"] for _, ids in broker.wakeups("bookings")]

    # The second was in the socket already, whatever became of it.
    assert [each for each in sent if each != 2] == [1, 3]


def test_wakeups_flow_again_when_the_broker_was_restarted(
    broker: Broker, publisher: Publisher, log: Lines
) -> None:
    with broker.running(), broker.client() as client:
        client.flushall()
        wake(1)
        assert publisher.flush(5)
    wake(2)
    assert publisher.flush(5)
    with broker.running():
        wake(3)
        assert publisher.flush(5)
        sent = [ids["id"] for _, ids in broker.wakeups("bookings")]

    assert sent == [1, 3]
    assert [line["reason"] for line in log.said] == ["ConnectionError"]


def test_a_broker_without_memory_costs_the_wakeup_alone(
    running_broker: Broker, publisher: Publisher, log: Lines
) -> None:
    with running_broker.client() as client:
        client.config_set("maxmemory", "1")
        wake(1)
        assert publisher.flush(5)
        client.config_set("maxmemory", "0")
    wake(2)

    assert publisher.flush(5)
    assert running_broker.wakeups("bookings") == [("bookings.probe", {"id": 2})]
    assert [line["reason"] for line in log.said] == ["OutOfMemoryError"]


@pytest.mark.usefixtures("frozen_broker")
def test_what_does_not_fit_is_dropped_and_logged_once(
    publisher: Publisher, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueue, "CAPACITY", 3)
    wake(0)
    wait_until(lambda: not publisher._waiting)
    for number in (1, 2, 3, 3):
        wake(number)
    assert log.said == []

    assert seconds_for(lambda: wake(4)) < AT_ONCE_SECONDS
    wake(5)
    assert len(publisher._waiting) == 3
    assert log.said == [
        {"event": "wakeups_dropped", "reason": "queue full", "count": 1}
    ]


def test_what_was_dropped_in_silence_is_counted_in_the_next_line(
    publisher: Publisher, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        publisher._drop("queue full")
    publisher._quiet_until = 0
    publisher._drop("queue full")

    assert [line["count"] for line in log.said] == [1, 3]


def test_whatever_goes_wrong_with_a_wakeup_the_commit_is_not_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more_threads(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more_threads)
    done = []
    with transaction.atomic():
        after_commit("bookings.probe", id=1)
        transaction.on_commit(lambda: done.append("after"))

    assert done == ["after"]


FORK = """
import os, signal, threading
import django
django.setup()
from django.db import connection
from slotbase.lib.enqueue import after_commit, _publisher

after_commit("bookings.probe", id="parent, before")
assert _publisher.flush(5)
connection.close()  # not to be shared

held, forked = threading.Event(), threading.Event()
def hold_the_lock():
    with _publisher._changed:
        held.set()
        forked.wait()
threading.Thread(target=hold_the_lock).start()
held.wait()

if not os.fork():
    signal.alarm(5)
    after_commit("bookings.probe", id="child")
    raise SystemExit
forked.set()
os.wait()
after_commit("bookings.probe", id="parent, after")
"""


def run_python(code: str, broker: Broker) -> str:
    env = {**os.environ, "REDIS_URL": broker.url}
    env["DJANGO_SETTINGS_MODULE"] = "slotbase.settings"
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def test_a_forked_child_sends_too_and_leaves_its_parent_in_peace(
    running_broker: Broker,
) -> None:
    run_python(FORK, running_broker)

    sent = [ids["id"] for _, ids in running_broker.wakeups("bookings")]
    assert sent == ["parent, before", "child", "parent, after"]


def test_without_a_fresh_start_a_forked_child_would_wait_for_ever(
    running_broker: Broker,
) -> None:
    run_python(
        "import os; os.register_at_fork = lambda **_: None" + FORK, running_broker
    )

    sent = [ids["id"] for _, ids in running_broker.wakeups("bookings")]
    assert sent == ["parent, before", "parent, after"]


COMMAND = """
import time
import django
django.setup()
from slotbase.lib.enqueue import after_commit

after_commit("bookings.probe", id=1)
print(time.monotonic())
"""


OWES_MUCH = COMMAND.replace(
    'after_commit("bookings.probe", id=1)',
    'for n in range(20): after_commit("bookings.probe", id=n)',
)


def test_a_command_sends_what_it_owes_before_it_ends(running_broker: Broker) -> None:
    run_python(COMMAND, running_broker)

    assert running_broker.wakeups("bookings") == [("bookings.probe", {"id": 1})]


@pytest.mark.parametrize("state", ["broker", "frozen_broker"])
def test_a_command_ends_soon_though_its_broker_does_not_answer(
    state: str, request: pytest.FixtureRequest
) -> None:
    had_done_its_work_at = float(run_python(OWES_MUCH, request.getfixturevalue(state)))

    # Each of twenty would wait for two seconds; the rest is Python's own end.
    assert time.monotonic() - had_done_its_work_at < enqueue.FLUSH_SECONDS + 10
