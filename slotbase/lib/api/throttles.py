"""Request limits: one atomic count per minute in Redis, per process without Redis.

DRF's own throttle reads and then writes, so parallel requests slip through (DRF #8127),
and it answers 500 when the cache is down. This one counts with INCR, and falls back to
a count of this process for a few seconds whenever Redis does not answer in time.
"""

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:  # DRF imports this module while it makes APIView
    from rest_framework.views import APIView

WINDOW_SECONDS = 60
AVOID_REDIS_SECONDS = 5

log = structlog.get_logger(__name__)


class _LocalCounts:
    """Counts of this process for the present window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = 0
        self._counts: Counter[str] = Counter()

    def increment(self, name: str, window: int) -> int:
        with self._lock:
            if window != self._window:
                self._window, self._counts = window, Counter()
            self._counts[name] += 1
            return self._counts[name]


_local_counts = _LocalCounts()
_redis_avoided_until = 0.0


def count_request(name: str, window: int) -> int:
    """Count one more request under this name and return how many the window has."""
    global _redis_avoided_until  # noqa: PLW0603 - one switch per process, by intent
    if time.monotonic() < _redis_avoided_until:
        return _local_counts.increment(name, window)
    try:
        return _increment_in_redis(f"throttle:{name}:{window}")
    except (RedisError, OSError) as error:
        _redis_avoided_until = time.monotonic() + AVOID_REDIS_SECONDS
        log.warning("throttle_without_redis", error=type(error).__name__)
        return _local_counts.increment(name, window)


def _increment_in_redis(key: str) -> int:
    # Two commands, since a pipeline costs more than it saves here; a key whose EXPIRE
    # gets lost counts a minute that is over and is evicted one day.
    redis = get_redis_connection("default")
    count: int = redis.incr(key)
    if count == 1:
        redis.expire(key, 2 * WINDOW_SECONDS)
    return count


class PerMinute(BaseThrottle):
    """At most `limit_setting` requests a minute for each `identity`."""

    scope: ClassVar[str]
    limit_setting: ClassVar[str]

    def allow_request(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002
        """Count this request and say whether it is within the limit."""
        identity = self.identity(request)
        return identity is None or self.is_within_limit(identity)

    def is_within_limit(self, identity: Any) -> bool:
        """Count one request more of this identity."""
        window = int(time.time()) // WINDOW_SECONDS
        limit: int = getattr(settings, self.limit_setting)
        return count_request(f"{self.scope}:{identity}", window) <= limit

    def wait(self) -> float:
        """Seconds until the next window."""
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS

    def identity(self, request: Request) -> Any:
        """Whose requests are counted together; None is never limited."""
        raise NotImplementedError


class UserThrottle(PerMinute):
    """Signed-in customers, each on their own."""

    scope, limit_setting = "user", "THROTTLE_USER_PER_MINUTE"

    def identity(self, request: Request) -> Any:
        """The user's id, None when nobody is signed in."""
        return getattr(request.user, "pk", None)


class AddressThrottle(PerMinute):
    """Requests without sign-in, by address; a venue's guests may share one."""

    scope, limit_setting = "address", "THROTTLE_ADDRESS_PER_MINUTE"

    def identity(self, request: Request) -> Any:
        """The client's address, None when somebody is signed in."""
        is_signed_in = getattr(request.user, "pk", None) is not None
        return None if is_signed_in else self.get_ident(request)


class HoldThrottle(UserThrottle):
    """New holds, which cost more than reads and block what others want."""

    scope, limit_setting = "holds", "THROTTLE_HOLDS_PER_MINUTE"


def throttle_refused_sign_in(request: Request) -> None:
    """Count a request without a good token by its address.

    DRF asks its throttles only after it knows who is asking, so these would escape.

    Raises:
        Throttled: the address has sent too many.
    """
    throttle = AddressThrottle()
    if not throttle.is_within_limit(throttle.get_ident(request)):
        raise Throttled(throttle.wait())
