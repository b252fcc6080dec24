"""What the simulated account holds: objects by kind, and the events they made."""

import json
import secrets
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from slotbase.sandbox.stripe.errors import missing_object
from slotbase.sandbox.webhooks import Channel

# The version that stripe-python 16.1 pins.
API_VERSION = "2026-10-28.endive"

INTENTS = "payment_intents"
CHARGES = "charges"
REFUNDS = "refunds"
DISPUTES = "disputes"
EVENTS = "events"
_TABLES = (INTENTS, CHARGES, REFUNDS, DISPUTES, EVENTS)
_LETTERS = string.ascii_letters + string.digits

Object = dict[str, Any]


def new_id(prefix: str) -> str:
    """An id in Stripe's form."""
    return prefix + "_" + "".join(secrets.choice(_LETTERS) for _ in range(24))


def now() -> int:
    """The present second, as `created` has it."""
    return int(time.time())


@dataclass(frozen=True)
class Caller:
    """The API request that is being served; neither for what people do elsewhere."""

    request_id: str | None = None
    key: str | None = None


class Account:
    """Everything that Stripe knows of one account, in test mode."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._tables: dict[str, dict[str, Object]] = {table: {} for table in _TABLES}
        self._caller = Caller()
        self._is_silent = False

    @contextmanager
    def silently(self) -> Iterator[None]:
        """While it lasts, nothing makes an event: rare at Stripe, and it happens."""
        self._is_silent = True
        try:
            yield
        finally:
            self._is_silent = False

    @contextmanager
    def serving(self, caller: Caller) -> Iterator[None]:
        """While it lasts, events name this caller as their cause."""
        self._caller = caller
        try:
            yield
        finally:
            self._caller = Caller()

    def add(self, table: str, new: Object) -> Object:
        """Keep a new object."""
        self._tables[table][new["id"]] = new
        return new

    def get(self, table: str, id_: str, param: str) -> Object:
        """The object with this id; `param` is where the id was given.

        Raises:
            Refused: there is none.
        """
        found = self._tables[table].get(id_)
        if found is None:
            raise missing_object(table.removesuffix("s"), id_, param)
        return found

    def find(self, id_: str) -> Object | None:
        """The object with this id, of whatever kind."""
        tables = self._tables.values()
        return next((table[id_] for table in tables if id_ in table), None)

    def newest_first(
        self, table: str, matches: Callable[[Object], bool] = lambda _: True
    ) -> list[Object]:
        """The objects that match, the latest first."""
        objects = reversed(self._tables[table].values())
        return [each for each in objects if matches(each)]

    def emit(self, kind: str, about: Object, previous: Object | None = None) -> None:
        """Make an event of this kind, with the object as it is now, and send it."""
        if self._is_silent:
            return
        data: Object = {"object": deepcopy(about)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.add(
            EVENTS,
            {
                "id": new_id("evt"),
                "object": "event",
                "api_version": API_VERSION,
                "created": now(),
                "data": data,
                "livemode": False,
                "pending_webhooks": self._channel.count_endpoints(),
                "request": {
                    "id": self._caller.request_id,
                    "idempotency_key": self._caller.key,
                },
                "type": kind,
            },
        )
        # With indents, as Stripe does: who signs what json.dumps made again, fails.
        body = json.dumps(event, indent=2, ensure_ascii=False).encode()
        self._channel.post(event["id"], kind, body)

    def with_pending_webhooks(self, event: Object) -> Object:
        """The event, and how many endpoints have not taken it by now."""
        return {**event, "pending_webhooks": self._channel.count_owed(event["id"])}
