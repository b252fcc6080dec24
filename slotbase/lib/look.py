"""Looks at the database that keep nobody waiting, even if it never answers.

A frozen server acknowledges what it is sent: no time-out of its own, of the network or
of a statement ends the wait. So a look gives up on our side, and whoever wants to know
lets a thread look and does not wait for it.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import psycopg
import structlog
from django.db import connection

ANSWER_SECONDS = 1
CONNECT_SECONDS = 2  # the least that PostgreSQL's clients know
WAIT_SECONDS = 0.03  # a request may wait twice, and answers within 0.1 s

T = TypeVar("T")
Ask = Callable[..., list[tuple[Any, ...]]]

log = structlog.get_logger(__name__)


def ask(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement, by this thread's own connection."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class _Impatient(psycopg.Connection[Any]):
    """A connection that waits for an answer for a second."""

    def wait(
        self, gen: Any, interval: float = 0.1, timeout: float | None = ANSWER_SECONDS
    ) -> Any:
        """Wait as psycopg does, but not for ever."""
        return super().wait(gen, interval=interval, timeout=timeout or ANSWER_SECONDS)


class Probe:
    """Asks the database over a connection of its own; used by one thread at a time."""

    def __init__(self) -> None:
        self._connection: _Impatient | None = None

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, after some seconds at most.

        Raises:
            psycopg.Error: no answer, or not a good one.
        """
        if self._connection is not None:
            try:
                return self._ask(self._connection, sql, parameters)
            except psycopg.OperationalError:
                self.close()  # it may be the connection that is broken
        self._connection = self._connect()
        return self._ask(self._connection, sql, parameters)

    def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> _Impatient:
        options = {**connection.get_connection_params(), "autocommit": True}
        return _Impatient.connect(**{**options, "connect_timeout": CONNECT_SECONDS})

    def _ask(
        self, database: _Impatient, sql: Any, parameters: tuple[Any, ...]
    ) -> list[tuple[Any, ...]]:
        return database.execute(sql, parameters or None).fetchall()


class Lookout(Generic[T]):
    """A thread that looks when somebody asks, who does not wait for it to finish."""

    def __init__(self, name: str, look: Callable[[], T]) -> None:
        self._name, self._look = name, look
        self._changed = threading.Condition()
        self._thread = threading.Thread()
        self._found: T | None = None
        self._found_at = self._asked_at = float("-inf")
        self._looks_since: float | None = None

    def forget(self) -> None:
        """Know nothing, once a look that is under way has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked_at <= self._found_at)
            self._found, self._found_at = None, float("-inf")
            self._asked_at = float("-inf")

    def ask(self, *, fresh: float, stale: float) -> T | None:
        """What is seen now, or was seen less than `fresh` seconds ago.

        A look that does not end at once is not waited for: then what was seen less than
        `stale` seconds ago has to do, or nothing is known (None).
        """
        with self._changed:
            now = time.monotonic()
            if now - self._found_at >= fresh:
                self._begin(now)
                patience = WAIT_SECONDS - (now - (self._looks_since or now))
                self._changed.wait_for(lambda: self._found_at >= now, max(patience, 0))
            is_known = time.monotonic() - self._found_at < stale
            return self._found if is_known else None

    def _begin(self, now: float) -> None:
        self._asked_at = now
        if not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, name=self._name, daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked_at > self._found_at)
                self._looks_since = time.monotonic()
            try:
                found = self._look()
            except Exception as error:  # noqa: BLE001 - whoever asks learns nothing
                log.warning("look_failed", look=self._name, error=type(error).__name__)
                found = None
            with self._changed:
                self._found, self._found_at = found, time.monotonic()
                self._looks_since = None
                self._changed.notify_all()
