"""A coach writes rough notes, OpenAI enhances them, and the customer reads them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.services import enhancing
from notifications.models import Notification
from notifications.services import sending
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.providers.breaker import Breaker
from slotbase.providers.openai import client
from tests.bookings.sessions import NOTES, make_drill, make_session, make_skill
from tests.conftest import Sandbox
from tests.factories import make_customer

pytestmark = pytest.mark.django_db(transaction=True)

Api = Callable[[User], APIClient]


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai"))


def asked(sandbox: Sandbox) -> int:
    """How often OpenAI was asked."""
    return len(sandbox.get("/_sandbox/calls", provider="openai")["calls"])


def mails(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What arrived at Resend of what is due now."""
    Notification.objects.filter(next_run_at__isnull=False).update(next_run_at=Now())
    sending.send_due()
    effects = sandbox.get("/_sandbox/effects", provider="resend")["effects"]
    return [each["effect"] for each in effects if each["effect"]]


def test_from_rough_notes_to_what_the_customer_reads(
    api_of: Api, sandbox: Sandbox
) -> None:
    """F88: the request asks nobody; a worker does, and nothing is shown unaccepted."""
    jo, alice = make_customer("Jo Jensen"), make_customer(email="alice@example.com")
    session = make_session(coach=jo, customer=alice, ago=timedelta(hours=1))
    skill = make_skill(session.resource.venue)
    make_drill(session.resource.venue)
    coach, customer = api_of(jo), api_of(alice)
    address = f"/api/v1/bookings/{session.pk}/feedback/"

    written = coach.post(address, {"notes": NOTES}, "json")
    assert (written.status_code, asked(sandbox)) == (201, 0)
    assert written.json()["enhancement"]["status"] == "PENDING"
    assert customer.get(address).status_code == 404

    assert (enhancing.enhance_due(), asked(sandbox)) == (1, 1)
    seen = coach.get(address).json()
    made = seen["enhancement"]
    assert (made["status"], made["enhanced"]) == ("DONE", True)
    assert made["text"] not in {"", NOTES}
    assert (seen["notes"], seen["accepted"]) == (NOTES, None)
    assert customer.get(address).status_code == 404

    wish = {"version": seen["version"], "text": "Well done!", "skills": [skill.pk]}
    accepted = coach.post(f"{address}accept/", wish, "json")
    assert accepted.status_code == 200, accepted.content
    read = customer.get(address).json()
    assert read.keys() == {"id", "booking", "accepted"}
    assert read["accepted"]["text"] == "Well done!"
    assert read["accepted"]["skills"] == [{"id": skill.pk, "name": "Backhand"}]
    assert read["accepted"]["drills"] == made["drills"]

    told = [each for each in mails(sandbox) if "feedback" in each["subject"].lower()]
    assert len(told) == 1
    assert "Well done!" not in str(told)


def test_while_openai_is_away_the_coach_accepts_all_the_same(
    api_of: Api, sandbox: Sandbox
) -> None:
    """F88: nothing waits for it, and nothing is lost once it is back."""
    away = {"provider": "openai", "operation": "chat.completions", "fault": "5xx"}
    sandbox.post("/_sandbox/faults", {**away, "status": 503})
    session = make_session()
    coach = api_of(session.resource.coach)  # type: ignore[arg-type]
    address = f"/api/v1/bookings/{session.pk}/feedback/"

    coach.post(address, {"notes": NOTES}, "json")
    enhancing.enhance_due()
    seen = coach.get(address).json()

    assert seen["enhancement"] == {
        "status": "PENDING",
        "enhanced": False,
        "text": NOTES,
        "skills": [],
        "drills": [],
        "fallback_reason": "UNAVAILABLE",
    }
    wish = {"version": seen["version"]}
    assert coach.post(f"{address}accept/", wish, "json").status_code == 200
    read = api_of(session.customer).get(address).json()
    assert read["accepted"]["text"] == NOTES
