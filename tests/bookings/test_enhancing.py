"""F88: whatever OpenAI does, notes are kept, and what became of them is told."""

from copy import copy
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db.models import F

from bookings.api.feedback_shapes import show_feedback
from bookings.models import Booking, BookingHold, SessionFeedback, TokenBudget
from bookings.services import enhancing, feedback, token_budget
from bookings.services.bookings import make_reference
from bookings.tasks import enhance_feedback
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import Venue
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.ids import uuid7
from slotbase.providers.breaker import Breaker
from slotbase.providers.openai import client, wire
from tests.bookings.notes import (
    behave,
    calls,
    enhance,
    fault,
    make_due,
    moves,
    now_of,
)
from tests.bookings.sessions import (
    NOTES,
    make_drill,
    make_feedback,
    make_session,
    make_skill,
)
from tests.concurrency.race import at_once
from tests.conftest import Sandbox
from tests.factories import make_customer, make_venue

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai", 5, 60, 120))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for half a minute."""
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.5)


def seconds_until_due(row: SessionFeedback) -> float:
    due = now_of(row).next_run_at
    assert due is not None
    return (due - read_clock()).total_seconds()


def state(row: SessionFeedback) -> tuple[str, str]:
    now = now_of(row)
    return now.status, now.fallback_reason


def taken() -> int:
    return sum(TokenBudget.objects.values_list("taken", flat=True))


# --- When OpenAI answers ------------------------------------------------------


def test_notes_are_enhanced_and_stay_as_they_were(sandbox: Sandbox) -> None:
    venue = make_venue()
    skill, drill = make_skill(venue), make_drill(venue)
    notes = "Backhand better.\nServe targets next time."
    row = make_feedback(venue=venue, notes=notes)

    assert [enhance(), enhance()] == [1, 0]

    now = now_of(row)
    assert (now.status, now.fallback_reason, now.notes) == ("DONE", "", notes)
    assert now.enhanced_text.startswith("Thank you for today.")
    assert (now.skills, now.drills) == ([skill.pk], [drill.pk])
    assert now.version == row.version + 1
    assert moves(row) == ["PENDING", "RUNNING", "DONE"]
    assert calls(sandbox) == 1


def test_a_row_is_enhanced_by_its_wake_up(sandbox: Sandbox) -> None:
    one, other = make_feedback(), make_feedback(notes="other words")

    enhance_feedback(id=str(one.pk))

    assert [state(one), state(other)] == [("DONE", ""), ("PENDING", "")]


def test_what_is_retired_meanwhile_is_not_named(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    venue = make_venue()
    skill = make_skill(venue)
    row = make_feedback(venue=venue, notes="backhand")
    ask = client.enhance

    def retire_and_ask(**wish: Any) -> Any:
        skill.retired_at = read_clock()
        skill.save()
        return ask(**wish)

    monkeypatch.setattr(client, "enhance", retire_and_ask)
    enhance()

    assert (state(row), now_of(row).skills) == (("DONE", ""), [])


# --- F88 ----------------------------------------------------------------------

LATER = {
    "hang": ({"fault": "hang"}, "TIMEOUT"),
    "slow": ({"fault": "slow", "seconds": 5}, "TIMEOUT"),
    "500": ({"fault": "5xx"}, "UNAVAILABLE"),
    "503": ({"fault": "5xx", "status": 503}, "UNAVAILABLE"),
    "reset": ({"fault": "reset_after_effect"}, "UNAVAILABLE"),
    "429": ({"mode": "rate_limit", "retry_after": 5}, "RATE_LIMITED"),
}
AT_ONCE = {
    "refusal": ({"mode": "refusal"}, "DEGRADED", "REFUSED"),
    "filtered": ({"mode": "content_filter"}, "DEGRADED", "REFUSED"),
    "cut off": ({"mode": "length"}, "DEGRADED", "TRUNCATED"),
    "junk": ({"mode": "junk"}, "DEGRADED", "INVALID_OUTPUT"),
    "half": ({"mode": "half_json"}, "DEGRADED", "INVALID_OUTPUT"),
    "schema": ({"mode": "wrong_schema"}, "DEGRADED", "INVALID_OUTPUT"),
    "codes": ({"mode": "unknown_codes"}, "DEGRADED", "INVALID_OUTPUT"),
    "flood": ({"mode": "flood"}, "DEGRADED", "INVALID_OUTPUT"),
    "400": ({"fault": "4xx", "status": 400}, "FAILED", "UNAVAILABLE"),
    "422": ({"fault": "4xx", "status": 422}, "FAILED", "UNAVAILABLE"),
}


def break_openai(sandbox: Sandbox, how: dict[str, Any]) -> None:
    wish = dict(how)
    if "mode" in wish:
        behave(sandbox, wish.pop("mode"), **wish)
    else:
        fault(sandbox, wish.pop("fault"), **wish)


def shown(api_of: Any, row: SessionFeedback) -> dict[str, Any]:
    answer = api_of(row.coach).get(f"/api/v1/bookings/{row.booking_id}/feedback/")
    assert answer.status_code == 200, answer.content
    return dict(answer.json()["enhancement"])


def require_fallback(api_of: Any, row: SessionFeedback, status: str, why: str) -> None:
    """Just the shape that is specified, and not a word of the provider."""
    assert shown(api_of, row) == {
        "status": status,
        "enhanced": False,
        "text": NOTES,
        "skills": [],
        "drills": [],
        "fallback_reason": why,
    }
    now, entries = now_of(row), AuditEntry.objects.values_list("reason", flat=True)
    assert now.notes == NOTES
    assert now.last_error.startswith("openai: ")
    for words in (now.last_error, *entries):
        assert not any(each in words for each in ("Sure!", "sorry", "Thank you", "bh"))


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("how", "why"), LATER.values(), ids=LATER)
def test_what_may_pass_is_tried_again_and_heals(
    sandbox: Sandbox, api_of: Any, how: dict[str, Any], why: str
) -> None:
    row = make_feedback()
    break_openai(sandbox, how)

    enhance()

    require_fallback(api_of, row, "PENDING", why)
    assert 3 < seconds_until_due(row) < 7
    sandbox.post("/_sandbox/reset", {})
    make_due()
    enhance()
    assert state(row) == ("DONE", "")
    assert now_of(row).last_error == ""
    assert Case.objects.count() == 0


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("how", "to", "why"), AT_ONCE.values(), ids=AT_ONCE)
def test_what_will_not_pass_leaves_the_notes_at_once(
    sandbox: Sandbox, api_of: Any, how: dict[str, Any], to: str, why: str
) -> None:
    row = make_feedback()
    break_openai(sandbox, how)

    enhance()

    require_fallback(api_of, row, to, why)
    assert (now_of(row).next_run_at, calls(sandbox)) == (None, 1)
    assert Case.objects.count() == 0


def test_after_the_last_attempt_the_notes_stand_as_they_are(
    settings: Any, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, api_of: Any
) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai", failures=100))
    row = make_feedback()
    fault(sandbox, "5xx")
    waits = []
    for _ in settings.AI_RETRY_SECONDS:
        make_due()
        enhance()
        waits.append(seconds_until_due(row))

    make_due()
    enhance()

    for wait, usual in zip(waits, settings.AI_RETRY_SECONDS, strict=True):
        assert usual * 0.7 < wait < usual * 1.3
    require_fallback(api_of, row, "DEGRADED", "UNAVAILABLE")
    assert calls(sandbox) == len(settings.AI_RETRY_SECONDS) + 1


def test_a_rate_limit_says_when_to_come_again(sandbox: Sandbox) -> None:
    row = make_feedback()
    behave(sandbox, "rate_limit", retry_after=900)

    enhance()

    assert 890 < seconds_until_due(row) < 1100
    assert taken() == 0


def test_refused_credentials_open_a_case_and_no_note_is_lost(sandbox: Sandbox) -> None:
    row = make_feedback()
    behave(sandbox, "insufficient_quota")

    assert [enhance(), enhance()] == [1, 0]

    assert state(row) == ("PENDING", "UNAVAILABLE")
    assert now_of(row).attempts == 0
    case = Case.objects.get()
    assert (case.fingerprint, case.severity) == ("provider_configuration:openai", "low")


@pytest.mark.usefixtures("hurried")
def test_a_request_waits_for_no_provider(sandbox: Sandbox, api_of: Any) -> None:
    booking = make_session()
    fault(sandbox, "hang")
    address = f"/api/v1/bookings/{booking.pk}/feedback/"

    answer = api_of(booking.resource.coach).post(address, {"notes": NOTES}, "json")

    assert answer.status_code == 201
    assert answer.json()["enhancement"]["status"] == "PENDING"
    # The positive control: it is the worker who asks.
    assert calls(sandbox) == 0
    enhance()
    assert calls(sandbox) == 1


# --- Switched off -------------------------------------------------------------


def test_without_ai_all_else_works(
    settings: Any, sandbox: Sandbox, api_of: Any
) -> None:
    settings.AI_ENABLED = False
    row = make_feedback()

    enhance()

    assert state(row) == ("SKIPPED", "DISABLED")
    done = feedback.accept_feedback(
        booking_id=row.booking_id, coach_id=row.coach_id, version=now_of(row).version
    )
    assert done.accepted_text == NOTES
    assert calls(sandbox) == 0


def test_without_a_key_nothing_is_asked(settings: Any, sandbox: Sandbox) -> None:
    settings.OPENAI_API_KEY = ""
    row = make_feedback()

    enhance()

    assert (state(row), calls(sandbox)) == (("SKIPPED", "DISABLED"), 0)


def test_a_venue_may_say_no_and_then_yes(sandbox: Sandbox) -> None:
    venue = make_venue()
    Venue.objects.filter(pk=venue.pk).update(enhances_notes=False)
    row, of_others = make_feedback(venue=venue), make_feedback(notes="other words")

    assert enhance() == 2

    assert (state(row), state(of_others)) == (("SKIPPED", "DISABLED"), ("DONE", ""))
    Venue.objects.filter(pk=venue.pk).update(enhances_notes=True)
    feedback.ask_again(booking_id=row.booking_id, coach_id=row.coach_id)
    enhance()
    assert state(row) == ("DONE", "")


# --- Whom it speaks of --------------------------------------------------------


def test_names_come_back_where_it_is_shown_and_never_those_of_another(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S28: a kept answer is for the same notes, whoever they are about."""
    venue, jo = make_venue(), make_customer("Jo Jensen")
    alice, bob = (
        make_feedback(make_session(venue=venue, coach=jo, customer=make_customer(name)))
        for name in ("Alice Adler", "Bob Berg")
    )
    said = client.Answer("Well done, [player]! See you, [coach]", (), (), 9)
    monkeypatch.setattr(enhancing, "_ask", lambda _: said)

    assert enhance() == 2

    for row, name in ((alice, "Alice"), (bob, "Bob")):
        shown = show_feedback(now_of(row), user_id=jo.pk)
        text = f"Well done, {name}! See you, Jo"
        assert shown["enhancement"]["text"] == text
        done = feedback.accept_feedback(
            booking_id=row.booking_id, coach_id=jo.pk, version=shown["version"]
        )
        assert done.accepted_text == text
        assert "[player]" in done.enhanced_text


# --- What was asked before ----------------------------------------------------


def test_the_same_is_paid_for_once_and_asking_again_is_another_call(
    sandbox: Sandbox,
) -> None:
    venue = make_venue()
    one, other = make_feedback(venue=venue), make_feedback(venue=venue)

    assert enhance() == 2

    assert [state(one), state(other)] == [("DONE", "")] * 2
    assert now_of(one).enhanced_text == now_of(other).enhanced_text
    assert calls(sandbox) == 1
    feedback.ask_again(booking_id=one.booking_id, coach_id=one.coach_id)
    enhance()
    assert (state(one), calls(sandbox)) == (("DONE", ""), 2)


def test_another_catalogue_or_venue_is_another_question(sandbox: Sandbox) -> None:
    venue = make_venue()
    make_feedback(venue=venue)
    enhance()
    make_skill(venue)
    make_feedback(venue=venue)
    make_feedback()

    enhance()

    assert calls(sandbox) == 3


# --- The budget and the breaker -----------------------------------------------


def test_without_budget_notes_wait_for_the_next_day(
    settings: Any, sandbox: Sandbox
) -> None:
    settings.AI_DAILY_TOKENS = 100
    row = make_feedback()

    enhance()

    assert state(row) == ("PENDING", "BUDGET")
    due = now_of(row).next_run_at
    assert due is not None
    assert due.date() == read_clock().date() + timedelta(days=1)
    assert (now_of(row).attempts, calls(sandbox), taken()) == (0, 0, 0)
    settings.AI_DAILY_TOKENS = 100_000
    make_due()
    enhance()
    assert state(row) == ("DONE", "")


def test_after_three_days_without_budget_the_notes_stand_as_they_are(
    settings: Any,
) -> None:
    settings.AI_DAILY_TOKENS = 0
    row = make_feedback()
    SessionFeedback.objects.update(asked_at=read_clock() - timedelta(days=3))

    enhance()

    assert state(row) == ("DEGRADED", "BUDGET")


def test_what_was_taken_is_corrected_by_what_was_used(sandbox: Sandbox) -> None:
    make_feedback()

    enhance()

    [call] = sandbox.get("/_sandbox/effects", provider="openai")["effects"]
    assert taken() == call["effect"]["total_tokens"]


def test_of_many_workers_no_two_take_the_same_tokens(settings: Any) -> None:
    settings.AI_DAILY_TOKENS = 1000

    outcomes = at_once([lambda: retry_on_conflict(token_budget.take)(300)] * 8)

    assert len([day for day in outcomes if day is not None]) == 3
    assert taken() == 900


def look_then_take(tokens: int, all_looked: Barrier) -> bool:
    """As a budget would be that is asked first and taken from then."""
    has_room = taken() + tokens <= 1000
    all_looked.wait()
    day = read_clock().date()
    if has_room:
        TokenBudget.objects.get_or_create(day=day)
        TokenBudget.objects.filter(day=day).update(taken=F("taken") + tokens)
    return has_room


def test_without_the_one_statement_they_would(settings: Any) -> None:
    """The control: all see room for one more."""
    all_looked = Barrier(8)

    at_once([lambda: look_then_take(300, all_looked)] * 8)

    assert taken() == 2400


def make_many(number: int) -> None:
    """So many notes with all that belongs to them: copies of one that was written."""
    first = make_feedback(notes="note 0")
    rows = (first.booking.hold, first.booking, first)
    ids = [str(row.pk) for row in rows]
    entries = [*AuditEntry.objects.filter(subject_id__in=ids)]
    copies = [
        each
        for index in range(1, number)
        for each in copy_all(rows, entries, notes=f"note {index}")
    ]
    for model in (BookingHold, Booking, SessionFeedback, AuditEntry):
        model.objects.bulk_create([each for each in copies if type(each) is model])


def copy_all(rows: Any, entries: list[AuditEntry], *, notes: str) -> list[Any]:
    new = {str(row.pk): uuid7() for row in rows}
    hold, booking, written = map(copy, rows)
    hold.pk, booking.pk, written.pk = new.values()
    booking.hold_id, booking.reference = hold.pk, make_reference()
    written.booking_id, written.notes = booking.pk, notes
    told = [copy(each) for each in entries]
    for each in told:
        each.pk, each.subject_id = None, str(new[each.subject_id])
    return [hold, booking, written, *told]


@pytest.mark.no_cover  # it does much, often
def test_a_thousand_notes_stay_within_the_budget(
    settings: Any, sandbox: Sandbox
) -> None:
    settings.AI_DAILY_TOKENS = 20_000
    make_many(1000)

    while enhance():
        assert taken() <= settings.AI_DAILY_TOKENS

    rows = SessionFeedback.objects
    done = rows.filter(status="DONE").count()
    assert 1 < done == calls(sandbox) < 60
    waiting = rows.filter(status="PENDING", fallback_reason="BUDGET", attempts=0)
    assert waiting.count() == 1000 - done


def test_a_dead_provider_is_left_alone_by_a_thousand_notes(sandbox: Sandbox) -> None:
    fault(sandbox, "5xx")
    make_many(1000)

    for _ in range(3):
        while enhance() > 1:
            pass
        make_due()

    assert calls(sandbox) == 5
    rows = SessionFeedback.objects
    assert rows.filter(status="PENDING").count() == 1000
    assert {*rows.values_list("attempts", flat=True)} <= {0, 1, 2}
