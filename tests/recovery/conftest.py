"""Fixtures of the tests of recovery."""

from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.recovery.alarm import Sink


@pytest.fixture
def sink(sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Sink:
    """Alerts are told by the webhook alone."""
    settings.ALERT_WEBHOOK_URL = f"{sandbox.url}/alerts/notices"
    settings.ALERT_EMAIL_TO = []
    return Sink(sandbox, monkeypatch)


@pytest.fixture
def both(sink: Sink, settings: Any) -> Sink:
    """Alerts are told by the webhook and by mail."""
    settings.ALERT_EMAIL_TO = ["ops@slotbase.example", "lead@slotbase.example"]
    return sink
