"""A breaker leaves a failing provider alone for a while; each process has its own."""

import threading
import time
from collections import deque
from contextlib import ContextDecorator
from math import ceil
from typing import Literal

from slotbase.lib import tally
from slotbase.providers import reports
from slotbase.providers.errors import BREAKER_OPEN, Outcome, ProviderError

FAILURES = {Outcome.NOT_EXECUTED, Outcome.UNKNOWN}


class Breaker(ContextDecorator):
    """Put `with breaker:` around each call, or `@breaker` on the function that calls.

    So many failures within `window_seconds` open it: calls are refused at once with the
    code `breaker_open`. After `open_seconds` one call is on trial: a failure opens the
    breaker again, anything else closes it. `reports` tells what came of each call.
    """

    def __init__(
        self,
        name: str,
        failures: int = 5,
        window_seconds: float = 30,
        open_seconds: float = 15,
    ) -> None:
        self.name, self._window, self._pause = name, window_seconds, open_seconds
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._open_until: float | None = None
        self._trial: int | None = None  # the thread whose call is on trial
        self._lock = threading.Lock()

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        """Half open: a call is on trial, or the next one will be."""
        with self._lock:
            if self._open_until is None:
                return "closed"
            is_over = time.monotonic() >= self._open_until
            return "half_open" if is_over or self._trial else "open"

    def __enter__(self) -> None:
        with self._lock:
            now = time.monotonic()
            if self._open_until is None:
                return
            if now < self._open_until:
                raise ProviderError(
                    Outcome.NOT_EXECUTED,
                    provider=self.name,
                    code=BREAKER_OPEN,
                    retry_after=ceil(self._open_until - now),
                )
            # The others wait as long again, even if the trial never ends.
            self._open_until, self._trial = now + self._pause, threading.get_ident()

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        failed = isinstance(error, ProviderError) and error.outcome in FAILURES
        with self._lock:
            self._learn(time.monotonic(), failed=failed)
            pause = self._seconds_left(time.monotonic())
        # Of what is a bug, or was cut short, nobody knows whether it was an answer.
        if error is None or isinstance(error, ProviderError):
            reports.tell(reports.Report(self.name, error, pause))

    def _learn(self, now: float, *, failed: bool) -> None:
        if self._trial == threading.get_ident():
            self._trial = self._open_until = None
            if failed:
                self._open(now)
        elif failed and self._open_until is None:
            self._failed_at.append(now)
            if self._is_too_much(now):
                self._failed_at.clear()
                self._open(now)

    def _seconds_left(self, now: float) -> float | None:
        """For how long calls are refused; None if they are not."""
        return None if self._open_until is None else max(self._open_until - now, 0)

    def _open(self, now: float) -> None:
        self._open_until = now + self._pause
        tally.count(f"breaker_opened:{self.name}")

    def _is_too_much(self, now: float) -> bool:
        is_full = len(self._failed_at) == self._failed_at.maxlen
        return is_full and now - self._failed_at[0] <= self._window
