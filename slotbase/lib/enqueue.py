"""Wake-ups for workers, sent after the commit by one thread of each process.

The row is the queue (ADR 0006): a wake-up only saves the wait for the next sweep. So
nobody waits for the broker, and what cannot be sent is dropped.
"""

import atexit
import os
import threading
import time
from collections import OrderedDict
from uuid import UUID

import structlog
from celery import Celery
from django.db import transaction
from kombu import Producer

CAPACITY = 1000
# Nobody needs a wake-up later than this: the sweeps came by long ago.
EXPIRES_SECONDS = 60
FLUSH_SECONDS = 1
LOG_SECONDS = 10
# The next wake-up is worth more than this one, so give up sooner than a worker would.
IMPATIENT = {"socket_timeout": 2, "max_retries": 0}

Wakeup = tuple[str, tuple[tuple[str, int | str], ...]]

log = structlog.get_logger(__name__)


def after_commit(task: str, /, **ids: int | str | UUID) -> None:
    """Ask a worker to run a task for these ids once the transaction has committed.

    Returns at once and raises nothing, whatever state the broker is in: a wake-up is
    dropped, and logged, when the broker does not take it or too many wait for it. The
    sweep finds the row. One that waits already is not added again.
    """
    plain = (
        (name, str(each) if isinstance(each, UUID) else each)
        for name, each in sorted(ids.items())
    )
    wakeup = (task, tuple(plain))
    # Not a partial: Django 5.2 fails to log the failure of one.
    transaction.on_commit(lambda: _publisher.add(wakeup), robust=True)


class Publisher:
    """The wake-ups of this process that wait to be sent, and the thread that sends."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything; in a child, it is the parent's and its thread is gone."""
        self._waiting = OrderedDict[Wakeup, None]()
        self._changed = threading.Condition()
        self._thread = threading.Thread()
        self._is_sending = False
        self._dropped, self._quiet_until = 0, 0.0

    def add(self, wakeup: Wakeup) -> None:
        """Let the thread send it, unless too many wait."""
        with self._changed:
            is_full = len(self._waiting) >= CAPACITY and wakeup not in self._waiting
            if not is_full:
                self._waiting[wakeup] = None
            if not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if is_full:
            self._drop("queue full")

    def flush(self, seconds: float) -> bool:
        """Wait until all is sent or dropped; returns whether it was so in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._is_sending, seconds
            )

    def _run(self) -> None:
        # Web processes have no Celery application, and one connection is enough: that
        # of a pool could be shared with the parent or be in the middle of something.
        app = Celery("slotbase", set_as_current=False, fixups=[])
        app.config_from_object("django.conf:settings", namespace="CELERY")
        with app.connection_for_write(transport_options=IMPATIENT) as connection:
            producer = app.amqp.Producer(connection)
            while True:
                self._send(app, producer, self._take())

    def _take(self) -> Wakeup:
        with self._changed:
            self._is_sending = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting)
            self._is_sending = True
            return self._waiting.popitem(last=False)[0]

    def _send(self, app: Celery, producer: Producer, wakeup: Wakeup) -> None:
        task, ids = wakeup
        options = {"ignore_result": True, "expires": EXPIRES_SECONDS, "retry": False}
        try:
            app.send_task(task, kwargs=dict(ids), producer=producer, **options)
        except Exception as error:  # noqa: BLE001 - the sweep does without it
            self._drop(type(error.__cause__ or error).__name__)

    def _drop(self, reason: str) -> None:
        with self._changed:
            self._dropped += 1
            if time.monotonic() < self._quiet_until:
                return
            self._quiet_until = time.monotonic() + LOG_SECONDS
            count, self._dropped = self._dropped, 0
        log.warning("wakeups_dropped", reason=reason, count=count)


_publisher = Publisher()
os.register_at_fork(after_in_child=_publisher.start_afresh)
# For a command that ends right after its commit.
atexit.register(_publisher.flush, FLUSH_SECONDS)
