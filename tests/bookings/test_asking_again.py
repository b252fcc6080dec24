"""F88: to ask again costs nobody what was good, nor a turn while nothing is sent."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import SessionFeedback
from bookings.services import feedback
from recovery.models import AuditEntry
from slotbase.accounts.models import User, Venue
from slotbase.lib.errors import InvalidState
from slotbase.providers.breaker import Breaker
from slotbase.providers.openai import client
from tests.bookings.notes import (
    behave,
    calls,
    enhance,
    fault,
    make_due,
    moves,
    now_of,
)
from tests.bookings.refusals import refused
from tests.bookings.sessions import make_feedback, make_skill
from tests.conftest import Sandbox
from tests.factories import make_venue

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai", failures=100))


@pytest.fixture
def done(sandbox: Sandbox) -> SessionFeedback:
    """Notes that were enhanced well."""
    venue = make_venue()
    make_skill(venue)
    row = make_feedback(venue=venue, notes="backhand")
    enhance()
    row = now_of(row)
    assert (row.status, len(row.skills), calls(sandbox)) == ("DONE", 1, 1)
    return row


def ask(row: SessionFeedback) -> None:
    feedback.ask_again(booking_id=row.booking_id, coach_id=row.coach_id)


def kept(row: SessionFeedback) -> dict[str, Any]:
    """All that the coach may see of what was made."""
    fields = ("status", "fallback_reason", "enhanced_text", "skills", "made_from")
    now = now_of(row)
    return {each: getattr(now, each) for each in (*fields, "enhanced_at")}


# --- What fails ---------------------------------------------------------------

Break = Callable[[Sandbox, Any, SessionFeedback], None]


def opt_out(_: Sandbox, __: Any, row: SessionFeedback) -> None:
    Venue.objects.filter(pk=row.booking.resource.venue_id).update(enhances_notes=False)


def forget_the_name(_: Sandbox, __: Any, row: SessionFeedback) -> None:
    User.objects.filter(pk=row.coach_id).update(name="")


WAYS: dict[str, tuple[Break, str, int]] = {
    "refused": (lambda box, *_: behave(box, "refusal"), "refused", 1),
    "cut off": (lambda box, *_: behave(box, "length"), "truncated", 1),
    "ours": (lambda box, *_: fault(box, "4xx", status=400), "unavailable", 1),
    "down": (lambda box, *_: fault(box, "5xx"), "unavailable", 5),
    "budget": (
        lambda _, settings, __: setattr(settings, "AI_DAILY_TOKENS", 0),
        "budget",
        0,
    ),
    "off": (
        lambda _, settings, __: setattr(settings, "AI_ENABLED", False),
        "disabled",
        0,
    ),
    "opted out": (opt_out, "disabled", 0),
    "nameless": (forget_the_name, "disabled", 0),
}


@pytest.mark.parametrize(("break_it", "why", "times"), WAYS.values(), ids=WAYS)
def test_what_was_good_stays_when_the_next_one_fails(
    sandbox: Sandbox,
    settings: Any,
    done: SessionFeedback,
    break_it: Break,
    why: str,
    times: int,
) -> None:
    before = kept(done)
    ask(done)
    break_it(sandbox, settings, done)

    for _ in range(max(times, 1)):
        make_due()
        enhance()

    assert kept(done) == before
    assert (calls(sandbox), now_of(done).next_run_at) == (1 + times, None)
    entry = AuditEntry.objects.filter(subject_id=str(done.pk)).latest("id")
    assert entry.action == "sessionfeedback.kept_former"
    assert (entry.to_state, entry.reason) == ("DONE", why)
    assert now_of(done).version > done.version
    shown = feedback.accept_feedback(
        booking_id=done.booking_id,
        coach_id=done.coach_id,
        version=now_of(done).version,
    )
    assert shown.accepted_text == before["enhanced_text"]


def test_what_was_never_good_is_given_up_as_before(sandbox: Sandbox) -> None:
    """The control: it is the former text that makes it done."""
    row = make_feedback()
    behave(sandbox, "refusal")
    enhance()
    ask(row)
    enhance()

    assert kept(row)["status"] == "DEGRADED"
    assert moves(row)[-1] == "DEGRADED"


def test_a_new_one_that_succeeds_takes_the_place_of_the_former(
    sandbox: Sandbox, done: SessionFeedback
) -> None:
    ask(done)
    enhance()

    now = now_of(done)
    assert (now.status, calls(sandbox)) == ("DONE", 2)
    assert now.enhanced_at > done.enhanced_at  # type: ignore[operator]
    entry = AuditEntry.objects.filter(subject_id=str(done.pk)).latest("id")
    assert (entry.action, entry.reason) == ("sessionfeedback.done", "")


# --- While nothing is sent ----------------------------------------------------


def switch_off(settings: Any, row: SessionFeedback, how: str) -> None:
    if how == "venue":
        opt_out(None, None, row)  # type: ignore[arg-type]
    elif how == "key":
        settings.OPENAI_API_KEY = ""
    else:
        settings.AI_ENABLED = False


@pytest.mark.parametrize("how", ["all", "key", "venue"])
def test_while_it_is_off_asking_again_is_refused_and_costs_no_turn(
    settings: Any, api_of: Callable[[User], APIClient], done: SessionFeedback, how: str
) -> None:
    was = settings.OPENAI_API_KEY
    api = api_of(done.coach)
    address = f"/api/v1/bookings/{done.booking_id}/feedback/enhance/"
    send = partial(api.post, address, {}, "json")
    before = kept(done)
    switch_off(settings, done, how)

    for _ in range(6):
        answer = refused(send, 409, "invalid_state")

    assert "enhanced" in answer.json()["detail"]
    assert (kept(done), now_of(done).version) == (before, done.version)
    settings.AI_ENABLED, settings.OPENAI_API_KEY = True, was
    Venue.objects.update(enhances_notes=True)
    assert send().json()["enhancement"]["status"] == "PENDING"


def test_staff_are_told_the_same(settings: Any, done: SessionFeedback) -> None:
    settings.AI_ENABLED = False

    with pytest.raises(InvalidState, match="not enhanced"):
        feedback.ask_again_as_staff(feedback_id=done.pk, staff_id=done.coach_id)
