"""Worker processes to be killed or paused, and the work they do.

As Celery does, one parent loads Django once and forks a child for each task:

    workers.run("recovery.tasks.process_inbox", failpoints="inbox.called=kill")

A child is a process with a connection of its own; what happens to it is up to the test.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.test import Client
from django.utils.module_loading import import_string

from recovery import inbox, outbox, rowqueue
from recovery.models import DueRow, EventDelivery, InboxEvent, OutboxEvent
from recovery.outbox import Subscriber
from recovery.tasks import deliver_events
from slotbase.lib.clock import Now
from slotbase.lib.enqueue import after_commit
from slotbase.lib.failpoints import failpoint
from tests.architecture.source import ROOT

KILLED = -signal.SIGKILL
PAUSED = "paused"
PARENT = (
    "import django; django.setup(); from tests.crashes import worker; worker.serve()"
)


class Workers:
    """The parent, and its children that have not ended."""

    def __init__(self, database: str, server: str = "") -> None:
        """`server` is an address at which the database is found, too."""
        given = server or os.environ["DATABASE_URL"]
        more = {
            "DATABASE_URL": urlsplit(given)._replace(path=f"/{database}").geturl(),
            "DJANGO_SETTINGS_MODULE": "slotbase.settings",
            "ANALYTICS_URL": f"{os.environ['SANDBOX_URL']}/analytics/events",
            "ALERT_WEBHOOK_URL": f"{os.environ['SANDBOX_URL']}/alerts/notices",
        }
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - see close
        self._parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            env={**os.environ, **more},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._alive: set[int] = set()

    def run(self, task: str, /, *, failpoints: str = "", **arguments: Any) -> Any:
        """Let a worker do a task; returns how it ended."""
        return self.wait(self.start(task, failpoints=failpoints, **arguments))

    def start(self, task: str, /, *, failpoints: str = "", **arguments: Any) -> int:
        """Let a worker begin a task; returns its process id."""
        pid: int = self._ask("fork", task, arguments, failpoints)
        self._alive.add(pid)
        return pid

    def wait(self, pid: int) -> Any:
        """Until it has ended (0, or KILLED) or is PAUSED.

        Raises:
            AssertionError: the task raised an error.
        """
        end = self._ask("wait", pid)
        if end != PAUSED:
            self._alive.remove(pid)
        assert end in {0, KILLED, PAUSED}, self._said()
        return end

    def go_on(self, pid: int) -> Any:
        """Wake a paused worker and wait for it."""
        os.kill(pid, signal.SIGCONT)
        return self.wait(pid)

    def kill(self, pid: int) -> Any:
        """As `kill -9` would."""
        os.kill(pid, signal.SIGKILL)
        return self.wait(pid)

    def kill_all(self) -> None:
        """Also those that a failed test left behind."""
        for pid in [*self._alive]:
            self.kill(pid)

    def close(self) -> None:
        """End the parent."""
        self._parent.communicate()
        self._errors.close()

    def _ask(self, *order: Any) -> Any:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return json.loads(self._parent.stdout.readline() or self._said())

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


def serve() -> None:
    """What the parent does: a line with an order, a line with the answer."""
    subscribe_all()
    for line in sys.stdin:
        verb, *order = json.loads(line)
        answer = _fork(*order) if verb == "fork" else _wait(*order)
        print(json.dumps(answer), flush=True)


def _fork(task: str, arguments: dict[str, Any], failpoints: str) -> int:
    return os.fork() or _work(task, arguments, failpoints)


def _wait(pid: int) -> int | str:
    _, status = os.waitpid(pid, os.WUNTRACED)
    return PAUSED if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


def _work(task: str, arguments: dict[str, Any], failpoints: str) -> NoReturn:
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # which is the parent's
    settings.FAILPOINTS = failpoints
    _place_failpoint_after_commit()
    try:
        import_string(task)(**arguments)
    except BaseException:  # noqa: BLE001 - the parent's loop must not go on here
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _place_failpoint_after_commit() -> None:
    """`committed`: what was done is durable, and nobody has been told of it."""
    run_hooks = BaseDatabaseWrapper.run_and_clear_commit_hooks

    def reach_it_and_run_hooks(wrapper: BaseDatabaseWrapper) -> None:
        if wrapper.run_on_commit:
            failpoint("committed")
        run_hooks(wrapper)

    BaseDatabaseWrapper.run_and_clear_commit_hooks = reach_it_and_run_hooks


# What workers work on. An effect is a row that is added each time that it happens.


def leave_effect(subject: object) -> None:
    """Happen once more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO recovery_heartbeat (name) VALUES (%s)",
            [f"{subject} {uuid4()}"],
        )


def effects() -> list[str]:
    """What happened, as often as it did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM recovery_heartbeat")
        return sorted(name.split()[0] for (name,) in cursor.fetchall())


def fail(*_: object) -> None:
    """What a broken handler does."""
    raise ValueError


def _leave_effect_of(event: OutboxEvent) -> None:
    leave_effect(event.subject_id)


def _fetch(event: InboxEvent) -> str:
    return event.event_id


def _apply(_: InboxEvent, fetched: str) -> None:
    leave_effect(fetched)


def _send_under_a_new_id(event: OutboxEvent) -> None:
    event.pk = uuid4()
    outbox.subscribers()["analytics"].call(event)


CONFIRMED = "booking.confirmed"
BROKEN, CARELESS, FORGETFUL = "tester.broken", "tester.careless", "tester.forgetful"
SUBSCRIBERS = (
    Subscriber("tester", frozenset({CONFIRMED}), handle=_leave_effect_of),
    Subscriber(BROKEN, frozenset({BROKEN}), handle=fail, retry_seconds=list),
    # Its effect is not in the transaction that settles the row.
    Subscriber(CARELESS, frozenset({CARELESS}), call=_leave_effect_of),
    # The receiver cannot know what it was sent before.
    Subscriber(FORGETFUL, frozenset({FORGETFUL}), call=_send_under_a_new_id),
)
HAPPENED = "tester.happened"
HANDLERS = (
    inbox.Handler("stripe", frozenset({HAPPENED}), apply=_apply, fetch=_fetch),
    inbox.Handler("stripe", frozenset({BROKEN}), apply=fail, is_critical=True),
    inbox.Handler(
        "stripe",
        frozenset({CARELESS}),
        apply=lambda *_: None,
        fetch=lambda event: leave_effect(event.event_id),
    ),
)


def subscribe_all() -> None:
    """Let this process do the work, too."""
    for each in SUBSCRIBERS:
        outbox.subscribe(each)
    inbox.register(*HANDLERS)


def unsubscribe_all() -> None:
    """Do it no more."""
    for each in SUBSCRIBERS:
        outbox.unsubscribe(each.name)
    for handler in HANDLERS:
        inbox.unregister(handler)


# Tasks for workers beside those of the product.


def confirm_hold(hold: str, customer: str) -> None:
    """As the API does."""
    from bookings.services import bookings

    bookings.confirm_hold(hold_id=UUID(hold), customer_id=UUID(customer))


def confirm_and_tell_later(subject: str) -> None:
    """The event is not in the transaction of what it tells of."""
    with transaction.atomic():
        leave_effect(subject)
        after_commit("recovery.deliver_events", subscriber="tester")
    with transaction.atomic():
        outbox.publish(CONFIRMED, subject="booking", facts={subject: {}})


def insist_on_effect(subject: str) -> None:
    """Without a row and its lease: what failed is done again."""
    for _ in range(2):
        with suppress(OperationalError), transaction.atomic():
            leave_effect(subject)
            failpoint("effect.left")
            return


def expire_and_pass_on_later() -> None:
    """What ran out is passed on in a transaction of its own."""
    from bookings import locks
    from bookings.services import claims, holds, line

    kept: list[UUID] = []
    claims.pass_on = lambda _, *, ended, **__: kept.extend(ended) or 0
    holds.expire_due_holds(limit=10)
    with transaction.atomic():
        line.pass_on(locks.lock_line_behind(kept))


def receive_webhook(body: str, headers: dict[str, str]) -> None:
    """As the web process does."""
    answer = post_webhook(body, headers)
    assert answer.status_code == 200, answer.content


def post_webhook(body: str, headers: dict[str, str]) -> Any:
    """The view's answer."""
    return Client(SERVER_NAME="localhost").post(
        "/webhooks/stripe/", body, "application/json", headers=headers
    )


def deliver_without_lease_check(subscriber: str) -> None:
    """Record whatever comes out, whoever has the lease meanwhile."""
    rowqueue.give_back_lease = lambda row, values: (
        row.rows()
        .filter(pk=row.pk)
        .update(lease_token=None, lease_until=None, **values)
    )
    deliver_events(subscriber=subscriber)


def put_aside_and_tell_later() -> None:
    """That a mail is not sent is committed before anybody is told of it."""
    from notifications.services import sending

    told = sending.tell_otherwise
    later: list[Any] = []
    sending.tell_otherwise = lambda mail, **more: later.append((mail, more))
    settings.FAILPOINTS = "email.settled=kill"
    sending.send_due()
    for mail, more in later:
        told(mail, **more)


# The time that passes meanwhile.


def end_leases() -> None:
    """So much time has passed that no lease is valid any more."""
    for model in due_models():
        model.rows().filter(lease_token__isnull=False).update(lease_until=Now())


def due_models() -> list[type[DueRow]]:
    """Every table of due rows."""
    return DueRow.__subclasses__()


def is_settled() -> bool:
    """Whether nothing is due, now or again, and nobody has a lease.

    What nobody has tried since it is for another day, such as a reminder, is not owed.
    """
    for_later = Q(attempts=0, last_error="", next_run_at__gt=Now())
    return not any(
        model.rows()
        .exclude(next_run_at=None, lease_token=None)
        .exclude(for_later)
        .exists()
        for model in due_models()
    )


def delivery_to(subscriber: str) -> dict[str, Any]:
    """The columns of the one delivery to a subscriber."""
    return EventDelivery.objects.filter(subscriber=subscriber).values().get()
