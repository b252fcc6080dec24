"""Stripe as tests of its client see it: calls of ours, and what happens there."""

import itertools
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client, transport
from slotbase.providers.stripe.client import Intent, Patience, RefundFact
from tests.sandbox.client import SandboxClient

_numbers = itertools.count()


@pytest.fixture
def stripe_account(
    sandbox: SandboxClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SandboxClient]:
    """The sandbox's Stripe, empty; our client is impatient and trusts it again."""
    monkeypatch.setattr(client, "breaker", Breaker("stripe"))
    # No connection, nor the way of making them, of an earlier test.
    monkeypatch.setattr(transport, "_thread", threading.local())
    settings.PROVIDER_CONNECT_SECONDS = 0.5
    settings.PROVIDER_TIMEOUT_SECONDS = 0.5
    settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 0.5
    yield sandbox
    sandbox.delete("/_sandbox/webhooks/endpoints?provider=stripe")


def new_key() -> str:
    return f"sb:test:{next(_numbers)}"


def new_intent(**changes: Any) -> Intent:
    wish: dict[str, Any] = {
        "amount_minor": 5000,
        "currency": "EUR",
        "metadata": {"payment_id": "p1"},
        "description": "Court 1",
        "idempotency_key": new_key(),
        "patience": Patience.REQUEST,
    }
    return client.create_intent(**{**wish, **changes})


def refund(intent: Intent, amount_minor: int = 1000, **changes: Any) -> RefundFact:
    wish: dict[str, Any] = {
        "payment_intent_id": intent.id,
        "amount_minor": amount_minor,
        "currency": intent.currency,
        "metadata": {"refund_id": "r1"},
        "idempotency_key": new_key(),
    }
    return client.create_refund(**{**wish, **changes})


def fault(sandbox: SandboxClient, kind: str, operation: str, **options: Any) -> None:
    """The next call of this operation goes wrong."""
    sandbox.fault(kind, operation, **{"provider": "stripe", "count": 1, **options})


def tell(sandbox: SandboxClient, path: str, **told: Any) -> dict[str, Any]:
    """What customers, banks and people at the dashboard do."""
    answer = sandbox.post(f"/_sandbox/stripe/{path}", told)
    assert answer.ok, answer.text
    happened: dict[str, Any] = answer.json() if answer.content else {}
    return happened


def pay(sandbox: SandboxClient, intent: Intent, outcome: str = "succeed") -> None:
    tell(sandbox, "pay", payment_intent=intent.id, outcome=outcome)


def paid_intent(sandbox: SandboxClient, **changes: Any) -> Intent:
    intent = new_intent(**changes)
    pay(sandbox, intent)
    return client.retrieve_intent(intent.id)


def effects(sandbox: SandboxClient, kind: str) -> list[dict[str, Any]]:
    """What really happened at Stripe, of this kind."""
    found = sandbox.get("/_sandbox/effects?provider=stripe").json()["effects"]
    happened = [each["effect"] for each in found]
    return [each for each in happened if each["kind"] == kind]


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def summary(error: ProviderError) -> tuple[str, str, int | None]:
    return error.outcome, error.code, error.http_status
