"""F88, S28: coaches write notes, and customers read what was accepted, at the API."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from bookings.models import Booking, Resource, SessionFeedback
from bookings.models.feedback import LONGEST_NOTES
from bookings.states import BookingStatus, EnhancementStatus
from notifications.models import Notification
from recovery.models import AuditEntry
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import Now
from tests.bookings.document import check_against_document
from tests.bookings.refusals import refused
from tests.bookings.routes import client_of
from tests.bookings.sessions import (
    NOTES,
    begin,
    give_up,
    make_drill,
    make_feedback,
    make_session,
    make_skill,
)
from tests.factories import make_booking, make_customer, make_resource, make_venue

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
CARD = "4242 4242 4242 4242"


@pytest.fixture
def jo(db: None) -> User:
    return make_customer("Jo Jensen")


@pytest.fixture
def session(jo: User, alice: User) -> Booking:
    """Alice's hour with Jo, which began two hours ago."""
    return make_session(coach=jo, customer=alice)


@pytest.fixture
def coach(jo: User) -> APIClient:
    return client_of(jo)


def at(booking: Booking, command: str = "") -> str:
    return f"/api/v1/bookings/{booking.pk}/feedback/{command}"


def write(api: APIClient, booking: Booking, notes: Any = NOTES, **more: Any) -> Any:
    return api.post(at(booking), {"notes": notes}, "json", **more)


def accept(api: APIClient, booking: Booking, **wish: Any) -> Any:
    version = SessionFeedback.objects.values_list("version", flat=True)
    wish = {"version": version.filter(booking=booking).first() or 1, **wish}
    return api.post(at(booking, "accept/"), wish, "json")


def read(api: APIClient, booking: Booking) -> dict[str, Any]:
    answer = api.get(at(booking))
    assert answer.status_code == 200, answer.content
    check_against_document(answer)
    shown: dict[str, Any] = answer.json()
    return shown


def mails(template: str = "feedback_ready") -> int:
    return Notification.objects.filter(template=template, channel="EMAIL").count()


# --- Writing ------------------------------------------------------------------


def test_notes_are_kept_at_once_and_shown_as_they_are(
    coach: APIClient, session: Booking
) -> None:
    """F88: whatever becomes of the enhancement."""
    answer = write(coach, session)

    assert answer.status_code == 201
    check_against_document(answer)
    row = SessionFeedback.objects.get()
    assert answer.json() == {
        "id": str(row.pk),
        "booking": str(session.pk),
        "notes": NOTES,
        "enhancement": {
            "status": "PENDING",
            "enhanced": False,
            "text": NOTES,
            "skills": [],
            "drills": [],
            "fallback_reason": None,
        },
        "accepted": None,
        "version": row.version,
    }
    assert read(coach, session) == answer.json()


def test_the_same_notes_again_are_the_same_feedback(
    coach: APIClient, session: Booking
) -> None:
    first = write(coach, session)
    again = write(coach, session)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert SessionFeedback.objects.count() == 1


def test_a_repeated_key_answers_with_what_it_did(
    coach: APIClient, session: Booking
) -> None:
    key = {"Idempotency-Key": "notes-1"}
    first, again = (write(coach, session, headers=key) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    other = partial(write, coach, session, "other notes", headers=key)
    refused(other, 422, "idempotency_key_reused")


def test_other_notes_are_refused_and_the_first_stay(
    coach: APIClient, session: Booking
) -> None:
    write(coach, session)

    answer = refused(partial(write, coach, session, "other"), 409, "invalid_state")

    assert "accept" in answer.json()["detail"].lower()
    assert SessionFeedback.objects.get().notes == NOTES


BAD_NOTES = {
    "empty": "",
    "blanks": " \n\t ",
    "a letter too many": "x" * (LONGEST_NOTES + 1),
    "a card number": f"paid with {CARD}",
    "a number": 1,
    "null": None,
    "a list": ["fine"],
    "an object": {"text": "fine"},
    "true": True,
}


@pytest.mark.parametrize("notes", BAD_NOTES.values(), ids=BAD_NOTES)
def test_notes_that_cannot_be_kept_are_refused_by_name(
    coach: APIClient, session: Booking, notes: Any
) -> None:
    answer = refused(
        partial(write, coach, session, notes), 400, "validation_error", "notes"
    )

    assert CARD not in answer.content.decode()
    assert not SessionFeedback.objects.exists()


def test_a_nul_is_refused_in_whatever_is_written(
    coach: APIClient, session: Booking
) -> None:
    refused(partial(write, coach, session, "fine\0"), 400, "validation_error")
    write(coach, session)
    refused(partial(accept, coach, session, text="a\0"), 400, "validation_error")


def test_the_longest_notes_are_kept(coach: APIClient, session: Booking) -> None:
    assert write(coach, session, "ü" * LONGEST_NOTES).status_code == 201


@pytest.mark.parametrize("body", [{}, {"notes": "fine", "coach": "1"}])
def test_missing_notes_and_unknown_fields_are_refused(
    coach: APIClient, session: Booking, body: dict[str, Any]
) -> None:
    refused(partial(coach.post, at(session), body, "json"), 400, "validation_error")


# --- Who, and when ------------------------------------------------------------


def everybody_else(session: Booking) -> list[APIClient]:
    """Another coach of the venue, a stranger, and whoever booked it."""
    other = make_customer("Kim Koch")
    make_resource(venue=session.resource.venue, kind="COACH", coach=other)
    people = [other, make_customer("Charlie"), session.customer]
    return [client_of(each) for each in people]


def test_nobody_but_its_coach_writes_accepts_or_asks(session: Booking) -> None:
    make_feedback(session)
    for api in everybody_else(session):
        for send in (
            partial(write, api, session),
            partial(accept, api, session),
            partial(api.post, at(session, "enhance/"), {}, "json"),
        ):
            refused(send, 404, "not_found")


def test_nobody_but_its_coach_reads_it_before_it_is_accepted(session: Booking) -> None:
    make_feedback(session)

    for api in everybody_else(session):
        answer = refused(partial(api.get, at(session)), 404, "not_found")
        assert "toss" not in answer.content.decode()


def test_a_booking_of_nobody_looks_the_same(coach: APIClient, session: Booking) -> None:
    other = make_session()
    address = at(session).replace(str(session.pk), str(uuid4()))

    answers = [
        refused(partial(coach.post, each, {"notes": "x"}, "json"), 404, "not_found")
        for each in (at(other), address)
    ]

    first, second = ({**each.json(), "request_id": ""} for each in answers)
    assert first == second


def test_a_session_without_feedback_has_none_to_read(
    coach: APIClient, session: Booking
) -> None:
    refused(partial(coach.get, at(session)), 404, "not_found")


@pytest.mark.parametrize(
    "status", [BookingStatus.CANCELLED, BookingStatus.CANCELLING, BookingStatus.NO_SHOW]
)
@pytest.mark.breaks_invariants
def test_of_what_did_not_take_place_there_are_no_notes(
    coach: APIClient, session: Booking, status: str
) -> None:
    is_over = status == BookingStatus.CANCELLED
    Booking.objects.update(status=status, cancelled_at=Now() if is_over else None)

    refused(partial(write, coach, session), 409, "invalid_state")


def test_before_it_begins_there_are_no_notes(coach: APIClient, jo: User) -> None:
    booking = make_booking(resource=make_resource(kind="COACH", coach=jo))
    refused(partial(write, coach, booking), 409, "invalid_state")

    begin(booking, ago=timedelta(seconds=1))
    assert write(coach, booking).status_code == 201


def test_of_a_court_nobody_is_the_coach(api: APIClient, alice: User) -> None:
    booking = make_booking(customer=alice)
    begin(booking, ago=timedelta(hours=1))

    refused(partial(write, api, booking), 404, "not_found")


@pytest.mark.parametrize(
    "status", [BookingStatus.CANCELLED, BookingStatus.CANCELLING, BookingStatus.NO_SHOW]
)
@pytest.mark.breaks_invariants
def test_what_did_not_take_place_after_all_is_neither_accepted_nor_asked_for(
    coach: APIClient, api: APIClient, session: Booking, status: str
) -> None:
    """What the customer could read before stays."""
    write(coach, session)
    accept(coach, session, text="First")
    is_over = status == BookingStatus.CANCELLED
    Booking.objects.update(status=status, cancelled_at=Now() if is_over else None)
    ask = partial(coach.post, at(session, "enhance/"), {}, "json")

    refused(partial(accept, coach, session, text="Second"), 409, "invalid_state")
    refused(ask, 409, "invalid_state")
    give_up(SessionFeedback.objects.get())
    refused(ask, 409, "invalid_state")

    assert read(api, session)["accepted"]["text"] == "First"


def test_nobody_is_the_coach_of_what_they_booked_themselves(
    coach: APIClient, api: APIClient, session: Booking, alice: User
) -> None:
    """S28: a customer who becomes the coach sees what was accepted, and no notes."""
    write(coach, session)
    other = make_session(resource=session.resource, customer=alice, ago=DAY)
    Resource.objects.update(coach=alice)
    refused(partial(api.get, at(session)), 404, "not_found")

    for send in (
        partial(write, api, other),
        partial(accept, api, session),
        partial(api.post, at(session, "enhance/"), {}, "json"),
    ):
        refused(send, 404, "not_found")
    Resource.objects.update(coach=session.resource.coach)
    accept(coach, session, text="Well done!")
    Resource.objects.update(coach=alice)

    assert read(api, session).keys() == {"id", "booking", "accepted"}


def test_whoever_is_the_coach_now_reads_the_notes_and_accepts(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    write(coach, session)
    kim = make_customer("Kim Koch")
    Resource.objects.update(coach=kim)

    assert read(client_of(kim), session)["notes"] == NOTES
    assert accept(client_of(kim), session, text="Of Kim").status_code == 200
    refused(partial(accept, coach, session, text="Of Jo"), 404, "not_found")
    assert SessionFeedback.objects.get().accepted_by == kim


# --- What can be seen ---------------------------------------------------------

UNSEEN = {
    "a space without width": "\u200b",
    "controls of direction": "\u202e\u2066\u2069",
    "a joiner of nothing": "\u200d",
    "an empty letter": "\u3164",
    "an empty pattern": "\u2800",
    "an accent on nothing": " \u0301\ufe0f",
}


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_what_nobody_can_see_is_neither_kept_nor_published(
    coach: APIClient, session: Booking, text: str
) -> None:
    """F89: a text that looks like none."""
    send = partial(write, coach, session, text)
    refused(send, 400, "validation_error", "notes")
    write(coach, session)

    send = partial(accept, coach, session, text=text)
    refused(send, 400, "validation_error", "text")


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("Good\u202e job\u202c \u2066now\u2069\u200b", "Good job now"),
        ("One\r\ntwo\rthree", "One\ntwo\nthree"),
        ("Top 👩🏽\u200d🦰 🏌️\u200d♀️\u200d", "Top 👩🏽\u200d🦰 🏌️\u200d♀️"),
    ],
)
def test_what_is_accepted_is_what_it_looks_like(
    coach: APIClient, api: APIClient, session: Booking, text: str, read_as: str
) -> None:
    write(coach, session)

    assert accept(coach, session, text=text).status_code == 200
    assert read(api, session)["accepted"]["text"] == read_as


def test_notes_that_are_accepted_as_they_are_are_made_plain_too(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    write(coach, session, "toss\u202e drifts")
    accept(coach, session)

    assert read(api, session)["accepted"]["text"] == "toss drifts"
    assert read(coach, session)["notes"] == "toss\u202e drifts"


# --- Accepting ----------------------------------------------------------------


def test_the_customer_reads_what_was_accepted_and_nothing_else(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    venue = session.resource.venue
    skill, drill = make_skill(venue), make_drill(venue)
    write(coach, session)

    wish = {"text": "Well done!", "skills": [skill.pk], "drills": [drill.pk]}
    answer = accept(coach, session, **wish)

    assert answer.status_code == 200, answer.content
    check_against_document(answer)
    shown = read(api, session)
    assert shown.keys() == {"id", "booking", "accepted"}
    assert shown["accepted"] == answer.json()["accepted"]
    named = {"id": drill.pk, "name": "Serve targets", "description": "Two baskets."}
    assert shown["accepted"] == {
        "text": "Well done!",
        "skills": [{"id": skill.pk, "name": "Backhand"}],
        "drills": [named],
        "accepted_at": shown["accepted"]["accepted_at"],
    }
    assert NOTES not in str(shown)
    assert read(coach, session)["notes"] == NOTES


def test_without_a_text_the_notes_are_accepted_as_they_are(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    write(coach, session)

    assert accept(coach, session).status_code == 200
    accepted = read(api, session)["accepted"]
    assert (accepted["text"], accepted["skills"]) == (NOTES, [])


def test_it_can_be_edited_later_and_the_customer_hears_of_it_once(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    write(coach, session)
    assert mails() == 0

    accept(coach, session, text="First")
    accept(coach, session, text="Second")

    assert read(api, session)["accepted"]["text"] == "Second"
    assert mails() == 1
    context = Notification.objects.get(
        template="feedback_ready", channel="EMAIL"
    ).context
    assert not {"First", "Second", NOTES} & {str(each) for each in context.values()}


def test_an_old_version_is_refused(coach: APIClient, session: Booking) -> None:
    version = write(coach, session).json()["version"]
    accept(coach, session, text="First")

    send = partial(accept, coach, session, text="Second", version=version)
    refused(send, 409, "version_conflict")

    assert SessionFeedback.objects.get().accepted_text == "First"


@pytest.fixture
def elsewhere(db: None) -> Venue:
    return make_venue()


Wrong = Callable[[Booking, Venue], dict[str, Any]]
WRONG: dict[str, tuple[str, Wrong]] = {
    "an unknown skill": ("skills", lambda *_: {"skills": [10**9]}),
    "an unknown drill": ("drills", lambda *_: {"drills": [10**9]}),
    "a skill of another venue": (
        "skills",
        lambda _, venue: {"skills": [make_skill(venue).pk]},
    ),
    "a drill of another venue": (
        "drills",
        lambda _, venue: {"drills": [make_drill(venue).pk]},
    ),
    "a retired skill": (
        "skills",
        lambda session, _: {
            "skills": [make_skill(session.resource.venue, retired_at=Now()).pk]
        },
    ),
    "eleven skills": ("skills", lambda *_: {"skills": list(range(1, 12))}),
    "eleven drills": ("drills", lambda *_: {"drills": list(range(1, 12))}),
    "a name": ("skills", lambda *_: {"skills": ["Backhand"]}),
    "zero": ("skills", lambda *_: {"skills": [0]}),
    "true": ("drills", lambda *_: {"drills": [True]}),
    "a number beyond all ids": ("drills", lambda *_: {"drills": [2**63]}),
    "a fraction": ("drills", lambda *_: {"drills": [1.5]}),
    "a list in a list": ("drills", lambda *_: {"drills": [[1]]}),
    "no list": ("skills", lambda *_: {"skills": "1"}),
    "an object": ("skills", lambda *_: {"skills": {"id": 1}}),
    "null for a list": ("skills", lambda *_: {"skills": None}),
    "an empty text": ("text", lambda *_: {"text": " "}),
    "too long a text": ("text", lambda *_: {"text": "x" * (LONGEST_NOTES + 1)}),
    "a card number": ("text", lambda *_: {"text": CARD}),
    "null for a text": ("text", lambda *_: {"text": None}),
    "a version in words": ("version", lambda *_: {"version": "1"}),
    "version 0": ("version", lambda *_: {"version": 0}),
    "a version beyond all": ("version", lambda *_: {"version": 2**31}),
    "no version": ("version", lambda *_: {"version": None}),
    "an unknown field": ("notes", lambda *_: {"notes": "x"}),
}


@pytest.mark.parametrize(("field", "wish"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_accepted_is_refused_by_name(
    coach: APIClient, session: Booking, elsewhere: Venue, field: str, wish: Wrong
) -> None:
    write(coach, session)
    body = wish(session, elsewhere)

    refused(partial(accept, coach, session, **body), 400, "validation_error", field)

    assert SessionFeedback.objects.get().accepted_at is None
    assert mails() == 0


def test_a_version_must_be_given(coach: APIClient, session: Booking) -> None:
    write(coach, session)

    send = partial(coach.post, at(session, "accept/"), {"text": "x"}, "json")
    refused(send, 400, "validation_error", "version")


def test_what_was_accepted_keeps_a_skill_that_is_retired_later(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    skill = make_skill(session.resource.venue)
    write(coach, session)
    accept(coach, session, skills=[skill.pk])

    type(skill).objects.update(retired_at=Now())

    named = [{"id": skill.pk, "name": "Backhand"}]
    assert read(api, session)["accepted"]["skills"] == named


# --- Asking again -------------------------------------------------------------


def test_while_it_waits_asking_again_changes_nothing(
    coach: APIClient, session: Booking
) -> None:
    before = write(coach, session).json()
    entries = AuditEntry.objects.count()

    answer = coach.post(at(session, "enhance/"), {}, "json")

    assert (answer.status_code, answer.json()) == (200, before)
    assert AuditEntry.objects.count() == entries


def test_notes_that_are_not_there_are_not_enhanced(
    coach: APIClient, session: Booking
) -> None:
    refused(partial(coach.post, at(session, "enhance/"), {}, "json"), 404, "not_found")
    refused(partial(accept, coach, session, version=1), 404, "not_found")


def test_the_history_of_the_booking_tells_the_customer_no_words_of_it(
    coach: APIClient, api: APIClient, session: Booking
) -> None:
    write(coach, session)
    accept(coach, session, text="Secret words")

    history = api.get(f"/api/v1/bookings/{session.pk}/history/").content.decode()
    said = [*AuditEntry.objects.values_list("reason", flat=True), history]
    assert not [each for each in said if "Secret" in each or "toss" in each]


def test_states_have_a_form_each(coach: APIClient, session: Booking) -> None:
    """F88: not enhanced, in whatever state, looks the same."""
    write(coach, session)
    shown = read(coach, session)["enhancement"]

    assert shown["status"] in EnhancementStatus.values
    assert (shown["enhanced"], shown["text"]) == (False, NOTES)


@pytest.fixture
def given_up(coach: APIClient, session: Booking) -> SessionFeedback:
    """Notes that were tried often enough."""
    write(coach, session)
    row = SessionFeedback.objects.get()
    give_up(row)
    return row


def test_what_was_given_up_says_why_and_shows_the_notes(
    coach: APIClient, session: Booking, given_up: SessionFeedback
) -> None:
    """F88: exactly this form, and nothing of what the provider said."""
    assert read(coach, session)["enhancement"] == {
        "status": "DEGRADED",
        "enhanced": False,
        "text": NOTES,
        "skills": [],
        "drills": [],
        "fallback_reason": "TIMEOUT",
    }


def test_a_coach_asks_again_and_it_waits(
    coach: APIClient, session: Booking, given_up: SessionFeedback
) -> None:
    answer = coach.post(at(session, "enhance/"), {}, "json")

    assert answer.status_code == 200
    check_against_document(answer)
    assert answer.json()["enhancement"]["status"] == "PENDING"
    assert answer.json()["enhancement"]["fallback_reason"] is None
    given_up.refresh_from_db()
    assert (given_up.attempts, given_up.notes) == (0, NOTES)
    assert given_up.next_run_at is not None


def test_a_coach_asks_five_times_a_day_at_most(
    coach: APIClient, session: Booking, given_up: SessionFeedback
) -> None:
    ask = partial(coach.post, at(session, "enhance/"), {}, "json")
    for _ in range(5):
        assert ask().status_code == 200
        give_up(given_up)

    answer = ask()

    assert answer.status_code == 429
    assert "today" in answer.json()["detail"]
    assert accept(coach, session, text="Mine").status_code == 200
