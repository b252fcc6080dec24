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
# The sweeps came by long before; and more than the clocks of two computers differ.
EXPIRES_SECONDS = 600
FLUSH_SECONDS = 1
LOG_SECONDS = 10
# Sooner than a worker gives up: the next wake-up is worth more than this one.
IMPATIENT = {"socket_timeout": 2, "max_retries": 0}

Wakeup = tuple[str, tuple[tuple[str, int | str], ...]]

log = structlog.get_logger(__name__)


def after_commit(task: str, /, **ids: int | str | UUID) -> None:
    """Ask a worker to run a task for these ids once the transaction has committed.

    Returns at once and raises nothing, whatever state the broker is in: when it does
    not take the wake-up, or when too many wait for it, the wake-up is dropped and
    logged, and the sweep finds the row. The same one is not added while it waits.
    """
    wakeup = (task, tuple((name, _plain(ids[name])) for name in sorted(ids)))
    # Not a partial: Django 5.2 fails to log the failure of one.
    transaction.on_commit(lambda: _publisher.add(wakeup), robust=True)


def _plain(value: int | str | UUID) -> int | str:
    return str(value) if isinstance(value, UUID) else value


class Publisher:
    """The wake-ups of this process that wait to be sent, and the thread that sends."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything: in a forked child it is the parent's, without a thread."""
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
        # Web processes load no Celery application. A connection of its own, not one of
        # a pool, which a fork would share with the parent.
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
        try:
            app.send_task(
                task,
                kwargs=dict(ids),
                producer=producer,
                expires=EXPIRES_SECONDS,
                ignore_result=True,
                retry=False,
            )
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
