"""Posting notices of alerts: done, or an error of a known kind within five seconds."""

import time
from typing import Any

import pytest

from slotbase.providers.alerts import client
from slotbase.providers.alerts.client import post_notice
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import BREAKER_OPEN, Outcome, ProviderError
from tests.sandbox.client import SandboxClient, free_port

NOTICE = {
    "id": "0192f0c1-0000-7000-8000-000000000001",
    "text": "[critical] I1 is broken",
    "severity": "critical",
    "at": "2026-01-01T12:00:00Z",
    "number": 1,
    "by_category": {"invariant_violation": 1},
    "alerts": [{"title": "I1 is broken"}],
}


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("alerts"))


@pytest.fixture(autouse=True)
def _to_the_sandbox(sandbox: SandboxClient, settings: Any) -> None:
    settings.ALERT_WEBHOOK_URL = f"{sandbox.url}/alerts/notices"


def failure() -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        post_notice(NOTICE)
    return caught.value


def taken(sandbox: SandboxClient) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def test_a_notice_arrives_as_it_is_and_once(sandbox: SandboxClient) -> None:
    post_notice(NOTICE)
    post_notice(NOTICE)

    assert taken(sandbox) == [NOTICE]


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "effects"),
    [
        ("hang", {}, Outcome.UNKNOWN, 0),
        ("accept_then_hang", {}, Outcome.UNKNOWN, 1),
        ("reset_after_effect", {}, Outcome.UNKNOWN, 1),
        ("5xx", {"status": 503}, Outcome.NOT_EXECUTED, 0),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED, 0),
        ("4xx", {"status": 401}, Outcome.CONFIGURATION, 0),
        ("4xx", {"status": 404}, Outcome.CONFIGURATION, 0),
        ("4xx", {"status": 410}, Outcome.CONFIGURATION, 0),
        ("4xx", {"status": 400}, Outcome.REFUSED, 0),
    ],
)
def test_failures_are_told_apart_in_time(
    sandbox: SandboxClient,
    kind: str,
    options: dict[str, int],
    outcome: Outcome,
    effects: int,
) -> None:
    sandbox.fault(kind, "notice", provider="alerts", **options)
    began = time.monotonic()

    error = failure()

    assert (error.outcome, error.http_status) == (outcome, options.get("status"))
    assert time.monotonic() - began < 6
    assert len(taken(sandbox)) == effects


def test_nobody_there_is_known_as_not_reached(settings: Any) -> None:
    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{free_port()}/"

    assert failure().code == "not_reached"


def test_no_address_at_all_is_for_a_person_to_mend(settings: Any) -> None:
    settings.ALERT_WEBHOOK_URL = "ops.example.com"

    assert failure().outcome == Outcome.CONFIGURATION


def test_the_address_is_in_no_error(settings: Any) -> None:
    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{free_port()}/hunter2"

    error = failure()

    assert "hunter2" not in str(error)
    assert error.__cause__ is None


def test_a_receiver_that_keeps_failing_is_left_alone(sandbox: SandboxClient) -> None:
    sandbox.fault("5xx", "notice", provider="alerts")
    for _ in range(5):
        failure()

    assert failure().code == BREAKER_OPEN
