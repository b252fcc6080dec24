"""How many requests there were this minute: counted in Redis, and in this process.

DRF's own throttle reads and then writes, so parallel requests slip through (DRF #8127),
and it answers 500 when the cache is down. This one counts with INCR. Each process
counts beside it, and believes itself when Redis is dead, frozen, or knows of fewer
requests than this process alone has had: then it was flushed. So each keeps the limit.
"""

import threading
import time
from collections import Counter
from typing import Any

import structlog
from django_redis import get_redis_connection
from redis.exceptions import RedisError

WINDOW_SECONDS = 60
AVOID_REDIS_SECONDS = 5

log = structlog.get_logger(__name__)


class _LocalCounts:
    """Counts of this process for the present window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = 0
        self._counts: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()

    def begin(self, name: str, window: int) -> tuple[int, int]:
        """The number of this request, and how many before it are not in Redis yet."""
        with self._lock:
            if window != self._window:
                self._window, self._counts = window, Counter()
            self._counts[name] += 1
            self._under_way[name] += 1
            return self._counts[name], self._under_way[name] - 1

    def end(self, name: str) -> None:
        """It is in Redis, or never will be."""
        with self._lock:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]

    def forget(self) -> None:
        with self._lock:
            self._counts = Counter()


_local_counts = _LocalCounts()
_redis_avoided_until = 0.0


def forget() -> None:
    """Count as a process that has just started."""
    global _redis_avoided_until  # noqa: PLW0603 - one switch per process, by intent
    _redis_avoided_until = 0.0
    _local_counts.forget()


def is_within(limit: int, scope: str, identity: Any) -> bool:
    """Count one more request and say whether so many a minute are allowed."""
    window = int(time.time()) // WINDOW_SECONDS
    return count_request(f"{scope}:{identity}", window) <= limit


def seconds_left() -> float:
    """Until the next minute begins, and everybody may come again."""
    return WINDOW_SECONDS - time.time() % WINDOW_SECONDS


def count_request(name: str, window: int) -> int:
    """Count one more request under this name and return how many the window has."""
    global _redis_avoided_until  # noqa: PLW0603 - one switch per process, by intent
    own, under_way = _local_counts.begin(name, window)
    try:
        if time.monotonic() < _redis_avoided_until:
            return own
        shared = _increment_in_redis(f"throttle:{name}:{window}")
    except (RedisError, OSError) as error:
        _redis_avoided_until = time.monotonic() + AVOID_REDIS_SECONDS
        log.warning("throttle_without_redis", error=type(error).__name__)
        return own
    finally:
        _local_counts.end(name)
    has_forgotten = shared < own - under_way
    return own if has_forgotten else shared


def _increment_in_redis(key: str) -> int:
    # Two commands, since a pipeline costs more than it saves here; a key whose EXPIRE
    # gets lost counts a minute that is over and is evicted one day.
    redis = get_redis_connection("default")
    count: int = redis.incr(key)
    if count == 1:
        redis.expire(key, 2 * WINDOW_SECONDS)
    return count
