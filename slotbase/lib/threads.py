"""A web process keeps one thread free: to say that it lives, or that it is busy.

Whoever waits for a lock waits for seconds. If as many wait as there are threads, all
others would stand in line behind them without a word, and so would a health check.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from django.conf import settings

STUCK_SECONDS = 1


class Busy(Exception):
    """All threads but one are at work, and none of them has come or gone lately."""


class Threads:
    """The threads that are at work."""

    def __init__(self) -> None:
        self.limit = inf
        self._began: list[float] = []
        self._changed = threading.Condition()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be one of them, if need be after a moment.

        Raises:
            Busy: the others are stuck.
        """
        with self._changed:
            self._wait_for_a_place()
            began = time.monotonic()
            self._began.append(began)
        try:
            yield
        finally:
            with self._changed:
                self._began.remove(began)
                self._changed.notify()

    def _wait_for_a_place(self) -> None:
        if len(self._began) < self.limit:
            return
        patience = max(self._began) + STUCK_SECONDS - time.monotonic()
        if not self._changed.wait_for(
            lambda: len(self._began) < self.limit, max(0, patience)
        ):
            raise Busy


threads = Threads()


def keep_one_free() -> None:
    """Begin with it; called once by what the web server serves (`wsgi.py`)."""
    threads.limit = max(1, settings.WEB_THREADS - 1)
