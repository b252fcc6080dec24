"""Idempotency keys as version 1 of Stripe's API has them.

The first answer is kept, a 500 as well, once execution has begun; what was refused
before (a wrong key, a misshapen parameter, too many requests) is not.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slotbase.sandbox.exchange import Reply, Request
from slotbase.sandbox.stripe import forms
from slotbase.sandbox.stripe.errors import Refused, key_in_use, key_used_otherwise

LONGEST = 255
REPLAYED = "Idempotent-Replayed"


@dataclass
class Kept:
    """The first request with a key, and what it was answered.

    `arrives_at` is when that answer is with the client (`time.monotonic()`).
    """

    path: str
    params: Mapping[str, Any]
    reply: Reply
    arrives_at: float = 0.0


def key_of(request: Request) -> str | None:
    """The request's key; only POST has one."""
    return request.headers.get("idempotency-key") if request.method == "POST" else None


class IdempotencyKeys:
    """The keys in use and their answers."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def find(self, request: Request) -> Reply | None:
        """The answer to give once more, or None if the key is new.

        Raises:
            Refused: the key belongs to another request, or its first is in flight.
        """
        key = key_of(request)
        if key is not None and len(key) > LONGEST:
            raise Refused(f"Idempotency keys can have up to {LONGEST} characters.")
        kept = self._kept.get(key or "")
        if key is None or kept is None:
            return None
        path = _path(request)
        if kept.path != path or kept.params != forms.parse(request):
            raise key_used_otherwise(key, kept.path, path)
        if time.monotonic() < kept.arrives_at:
            raise key_in_use(key)
        headers = {**kept.reply.headers, REPLAYED: "true"}
        return replace(kept.reply, headers=headers, effect=None)

    def keep(self, request: Request, reply: Reply) -> None:
        """Keep the answer for repeats of the request."""
        key = key_of(request)
        if key is not None:
            self._kept[key] = Kept(_path(request), forms.parse(request), reply)

    def keep_in_flight(self, request: Request, seconds: float) -> None:
        """The answer to this request, if it was kept, is under way for that long."""
        kept = self._kept.get(key_of(request) or "")
        if kept is not None:
            kept.arrives_at = time.monotonic() + seconds

    def expire(self, key: str | None) -> int:
        """Forget a key, or all, as Stripe does after a day; how many there were."""
        gone = list(self._kept) if key is None else [key]
        return sum(self._kept.pop(each, None) is not None for each in gone)


def _path(request: Request) -> str:
    return request.path.removeprefix("/stripe")
