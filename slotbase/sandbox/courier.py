"""Carries webhooks: one thread, one delivery at a time, repeated until it is taken."""

import heapq
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5
IDLE_SECONDS = 1


@dataclass(frozen=True)
class Attempt:
    """How one delivery ended: with a status, or with an error before there was one."""

    at: float
    url: str
    status: int | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it: any 2xx; redirects are not followed."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Delivery:
    """One message on its way to one address.

    `prepare` makes the headers anew for each attempt, or None to call it off; `told`
    hears how each attempt ended; `pauses` are seconds before the next ones.
    """

    url: str
    body: bytes
    pauses: tuple[float, ...]
    prepare: Callable[[], Mapping[str, str] | None]
    told: Callable[[Attempt], None]


@dataclass(order=True)
class _Job:
    due: float
    number: int
    delivery: Delivery = field(compare=False)
    pauses: tuple[float, ...] = field(compare=False)


class Courier:
    """Delivers in the order given; what failed waits its pause and lets others pass."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._numbers = count()
        self._in_hand: _Job | None = None
        threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    def send(self, delivery: Delivery) -> None:
        """Deliver it as soon as what was given before has been tried."""
        self._push(delivery, delivery.pauses, after=0)

    def wait_until_idle(self) -> None:
        """Wait for the attempt that has begun, if any, for at most a second."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_hand is None, IDLE_SECONDS)

    def _push(
        self, delivery: Delivery, pauses: tuple[float, ...], *, after: float
    ) -> None:
        with self._changed:
            job = _Job(time.monotonic() + after, next(self._numbers), delivery, pauses)
            heapq.heappush(self._jobs, job)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            self._carry(self._take())

    def _take(self) -> _Job:
        with self._changed:
            while not self._jobs or self._jobs[0].due > time.monotonic():
                self._changed.wait(self._seconds_to_next())
            self._in_hand = heapq.heappop(self._jobs)
            return self._in_hand

    def _seconds_to_next(self) -> float | None:
        if not self._jobs:
            return None
        return max(0.0, self._jobs[0].due - time.monotonic())

    def _carry(self, job: _Job) -> None:
        is_over = _try(job.delivery)
        with self._changed:
            if job.pauses and not is_over:
                self._push(job.delivery, job.pauses[1:], after=job.pauses[0])
            self._in_hand = None
            self._changed.notify_all()


def _try(delivery: Delivery) -> bool:
    headers = delivery.prepare()
    if headers is None:
        return True
    attempt = _post(delivery, headers)
    delivery.told(attempt)
    return attempt.is_success


def _post(delivery: Delivery, headers: Mapping[str, str]) -> Attempt:
    parts = urlsplit(delivery.url)
    # http.client knows nothing of proxies: the receiver is on this computer.
    connection = HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    at = time.time()
    try:
        target = parts._replace(scheme="", netloc="").geturl() or "/"
        connection.request("POST", target, delivery.body, dict(headers))
        return Attempt(at, delivery.url, status=connection.getresponse().status)
    except (OSError, HTTPException) as error:
        return Attempt(at, delivery.url, error=type(error).__name__)
    finally:
        connection.close()
