"""Stripe's account as tests of the client see it: what happens there, and happened."""

from typing import Any

from tests.sandbox.client import SandboxClient


def fault(sandbox: SandboxClient, kind: str, operation: str, **options: Any) -> None:
    """The next call of this operation goes wrong."""
    told = {"provider": "stripe", "count": 1, **options}
    sandbox.fault(kind, operation, **told)


def tell(sandbox: SandboxClient, path: str, **told: Any) -> dict[str, Any]:
    """What customers, banks and people at the dashboard do."""
    answer = sandbox.post(f"/_sandbox/stripe/{path}", told)
    assert answer.ok, answer.text
    happened: dict[str, Any] = answer.json()
    return happened


def pay(sandbox: SandboxClient, intent_id: str, outcome: str = "succeed") -> None:
    tell(sandbox, "pay", payment_intent=intent_id, outcome=outcome)


def effects(sandbox: SandboxClient) -> list[str]:
    """The kinds of all that happened at Stripe."""
    found = sandbox.get("/_sandbox/effects?provider=stripe").json()["effects"]
    return [each["effect"]["kind"] for each in found]
