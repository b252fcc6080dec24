"""A pytest plugin: alerts, and where they are told: the sink of the sandbox."""

from typing import Any

import pytest
import requests

from recovery import alerts, lookout, notices
from recovery.alerts import Report
from recovery.models import Alert, NoticeDelivery
from slotbase.lib.clock import Now
from slotbase.providers.alerts import client
from slotbase.providers.breaker import Breaker
from slotbase.providers.resend import client as resend_client
from tests.conftest import Sandbox

CATEGORIES = {
    "critical": "payment_mismatch",
    "high": "provider_down",
    "medium": "database_contention",
    "low": "analytics_behind",
}


class Sink:
    """The receiver of notices, and who can take it away."""

    def __init__(self, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
        self.url = sandbox.url
        self._sandbox, self._patch = sandbox, patch
        self.trust()

    def trust(self) -> None:
        """So much time has passed that our breakers let calls through."""
        self._patch.setattr(client, "breaker", Breaker("alerts"))
        self._patch.setattr(resend_client, "breaker", Breaker("resend"))

    def fails(self, fault: str, provider: str = "alerts", **options: Any) -> None:
        """The next call goes wrong; `count=None`: all of them."""
        one = {"provider": provider, "operation": "*", "fault": fault, "count": 1}
        wish = {**one, **options}
        wish = {name: value for name, value in wish.items() if value is not None}
        self._sandbox.post("/_sandbox/faults", wish)

    def works(self) -> None:
        """Whatever was wrong is mended, and our breakers see that."""
        assert requests.delete(f"{self.url}/_sandbox/faults", timeout=5).ok
        self.trust()

    def taken(self, provider: str = "alerts") -> list[dict[str, Any]]:
        """What really arrived, in order."""
        found = self._sandbox.get("/_sandbox/effects", provider=provider)["effects"]
        return [each["effect"] for each in found if each["effect"]]

    def calls(self, provider: str = "alerts") -> int:
        """How often it was called."""
        return len(self._sandbox.get("/_sandbox/calls", provider=provider)["calls"])

    def titles(self) -> list[str]:
        """What it was told."""
        return [each["text"] for each in self.taken()]


def report(number: int = 1, severity: str = "critical", **over: Any) -> Report:
    """Trouble of some severity."""
    category = CATEGORIES[severity]
    fields = {"fingerprint": f"{category}:{number}", "title": f"Trouble {number}"}
    return Report(**{"category": category, **fields, **over})


def sound(number: int = 1, severity: str = "critical", **over: Any) -> Alert:
    """An alert that is open, or seen again."""
    wanted = report(number, severity, **over)
    alerts.raise_alerts([wanted])
    found = Alert.objects.filter(fingerprint=wanted.fingerprint)
    return found.latest("first_seen_at")


def tell() -> int:
    """What beat asks for every few seconds; returns how many notices were written."""
    written = notices.write_notices()
    for each in lookout.TELL.values():
        each()
    return written


def make_due() -> None:
    """What waits for its next attempt need not wait any longer."""
    pending = NoticeDelivery.objects.filter(next_run_at__isnull=False)
    pending.update(next_run_at=Now())


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
