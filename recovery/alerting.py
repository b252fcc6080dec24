"""Reports of trouble from anywhere, kept in memory until a thread has written them.

Whoever reports is not slowed and never fails: it may be inside a transaction that will
be rolled back, in a request, or without a database. What cannot be written is tried
again; what is too much for the memory is counted, and an alert tells of it.
"""

import atexit
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice

import structlog
from django.db import InterfaceError, OperationalError, connections

from recovery import alerts, counts
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import Unavailable

CAPACITY = 1000  # different reports; the same one again is only counted
PAUSE_SECONDS = 1  # after each writing: what comes meanwhile is written at once
LOG_SECONDS = 10

log = structlog.get_logger(__name__)

#: An alert to raise, or the name of something to count.
Key = tuple[str, str, str] | str


def raise_alert(category: str, *, fingerprint: str, title: str) -> None:
    """Let an alert be opened, or counted where it is open. Raises nothing, at once.

    For trouble that only its own code sees as it happens, in any process: a category
    of `severities.CONDITIONS`. What a look at the database finds is for
    `recovery.conditions`; what a person must do is for a case, which has its alert.

    It is over by itself when it has not been raised for the `quiet` time of its
    category (recovery/severities.py). Titles are our own words, without personal data.
    """
    _reporter.add((category, fingerprint[:200], title))


def count(name: str) -> None:
    """Let something be counted, for `recovery.conditions`. Raises nothing, at once."""
    _reporter.add(name)


def flush(seconds: int) -> bool:
    """Wait until all is written, but not longer; returns whether it is."""
    return _reporter.flush(seconds)


class Reporter:
    """The reports of this process that wait to be written, and the thread that does."""

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget everything: in a forked child it is the parent's, without a thread."""
        self._waiting = OrderedDict[Key, int]()
        self._changed = threading.Condition()
        self._thread = threading.Thread()
        self._lost, self._quiet_until = 0, time.monotonic()
        self._is_writing = False

    def add(self, key: Key) -> None:
        """Count it once more, unless too many others wait."""
        with self._changed:
            if len(self._waiting) >= CAPACITY and key not in self._waiting:
                self._lost += 1
            else:
                self._waiting[key] = self._waiting.get(key, 0) + 1
            self._wake()

    def flush(self, seconds: int) -> bool:
        """Wait until nothing waits; returns whether it was so in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._is_writing, seconds
            )

    def _wake(self) -> None:
        if not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
            self.write_once()
            time.sleep(PAUSE_SECONDS)

    def write_once(self) -> None:
        """Write a batch of what waits; what could not be written waits on."""
        batch = self._take()
        try:
            write(batch)
        except (OperationalError, InterfaceError, Unavailable) as error:
            self._put_back(batch)
            self._complain(type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the thread
            self._lose(len(batch))
            self._complain(type(error).__name__)
        finally:
            # Reports are rare: no process keeps a connection for them.
            connections.close_all()
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()

    def _take(self) -> dict[Key, int]:
        with self._changed:
            if self._lost:
                self._waiting["alerts_lost"] = self._lost
                self._lost = 0
            names = list(islice(self._waiting, alerts.BATCH))
            self._is_writing = True
            return {name: self._waiting.pop(name) for name in names}

    def _put_back(self, batch: Mapping[Key, int]) -> None:
        with self._changed:
            for key, times in batch.items():
                self._waiting[key] = self._waiting.get(key, 0) + times
                self._waiting.move_to_end(key, last=False)

    def _lose(self, number: int) -> None:
        with self._changed:
            self._lost += number

    def _complain(self, reason: str) -> None:
        if time.monotonic() < self._quiet_until:
            return
        self._quiet_until = time.monotonic() + LOG_SECONDS
        log.warning("reports_not_written", reason=reason, waiting=len(self._waiting))


@retry_on_conflict
def write(batch: Mapping[Key, int]) -> None:
    """Write reports: alerts are raised, the rest is counted."""
    counts.add({key: n for key, n in batch.items() if isinstance(key, str)})
    alerts.raise_these(
        [
            alerts.Report(*key, times=n)
            for key, n in batch.items()
            if not isinstance(key, str)
        ]
    )


_reporter = Reporter()
os.register_at_fork(after_in_child=_reporter.start_afresh)
# For a command that ends right after its report.
atexit.register(_reporter.flush, PAUSE_SECONDS)
