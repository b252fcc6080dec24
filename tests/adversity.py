"""A pytest plugin: a clock that tests move, and a Stripe that fails when told to."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from django.db import connection

from slotbase.lib.clock import read_clock
from slotbase.providers.breaker import Breaker
from slotbase.providers.resend import client as resend_client
from slotbase.providers.stripe import client as stripe_client
from tests.conftest import Sandbox

NOW = "clock_timestamp()"


class Clock:
    """The one clock, of every thread and process that uses the tests' database."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def move(self, **by: float) -> None:
        """Let time pass at once: `clock.move(minutes=5)`; from then on it goes on."""
        self._ahead += timedelta(**by)
        self._define(f"{NOW} + interval '{self._ahead.total_seconds()} seconds'")

    def stop_at(self, moment: datetime) -> None:
        """It is this moment, until it is another one."""
        self._define(f"'{moment.isoformat()}'::timestamptz")

    def go_on_at(self, moment: datetime) -> None:
        """It is this moment, and time passes."""
        self._ahead = timedelta()
        self._define(NOW)
        self.move(seconds=(moment - read_clock()).total_seconds())

    def reset(self) -> None:
        """It is as late as it is."""
        self._ahead = timedelta()
        self._define(NOW)

    @staticmethod
    def _define(body: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION slotbase_now() RETURNS timestamptz "
                f"LANGUAGE sql VOLATILE PARALLEL SAFE AS $$SELECT {body}$$"
            )


@pytest.fixture
def clock(transactional_db: None) -> Iterator[Clock]:
    """A clock to move; right again after the test."""
    clock = Clock()
    yield clock
    clock.reset()


class Stripe:
    """Stripe as its customers and saboteurs see it; our client is impatient."""

    def __init__(self, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
        self._sandbox, self._patch = sandbox, patch
        self.trust()

    def trust(self) -> None:
        """So much time has passed that our breaker lets calls through."""
        self._patch.setattr(stripe_client, "breaker", Breaker("stripe"))

    def fails(self, fault: str, operation: str = "*", **options: Any) -> None:
        """The next call of this operation goes wrong; `count=None`: all of them."""
        one = {"provider": "stripe", "operation": operation, "fault": fault}
        wish = {"count": 1, **one, **options}
        wish = {name: value for name, value in wish.items() if value is not None}
        self._sandbox.post("/_sandbox/faults", wish)

    def works(self) -> None:
        """Whatever was wrong with it is mended, and our breaker sees that."""
        answer = requests.delete(f"{self._sandbox.url}/_sandbox/faults", timeout=5)
        assert answer.ok, answer.text
        self.trust()

    def effects(self, kind: str) -> list[dict[str, Any]]:
        """What really happened there, of this kind, in order."""
        found = self._sandbox.get("/_sandbox/effects", provider="stripe")["effects"]
        happened = [each["effect"] for each in found]
        return [each for each in happened if each["kind"] == kind]

    def calls(self, operation: str) -> int:
        """How often it was asked for this."""
        calls = self._sandbox.get("/_sandbox/calls", provider="stripe")["calls"]
        return sum(call["operation"] == operation for call in calls)

    def tell(self, path: str, **told: Any) -> Any:
        """What customers, banks and people at the dashboard do."""
        return self._sandbox.post(f"/_sandbox/stripe/{path}", told)


@pytest.fixture
def stripe(sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Stripe:
    """The sandbox's Stripe, empty and well."""
    settings.PROVIDER_CONNECT_SECONDS = 1
    settings.PROVIDER_TIMEOUT_SECONDS = 1
    settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 1
    monkeypatch.setattr(resend_client, "breaker", Breaker("resend"))
    return Stripe(sandbox, monkeypatch)
