"""F88, S28: nothing is sent of people who cannot be hidden, or are to be forgotten."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bookings.models import Booking, SessionFeedback
from bookings.services import endings, enhancing, feedback
from recovery import audit
from slotbase.accounts.models import User
from slotbase.accounts.services.erasing import erase_people, request_erasure
from slotbase.lib.clock import read_clock
from slotbase.lib.errors import InvalidState
from slotbase.providers.breaker import Breaker
from slotbase.providers.openai import client
from tests.bookings.notes import calls, enhance, make_due, moves, now_of, requests_of
from tests.bookings.refusals import refused
from tests.bookings.sessions import NOTES, make_feedback, make_session
from tests.conftest import Sandbox
from tests.factories import make_customer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai"))


def state(row: SessionFeedback) -> tuple[str, str]:
    now = now_of(row)
    return now.status, now.fallback_reason


# --- Names that are not known yet ---------------------------------------------


@pytest.mark.parametrize("name", ["", " ", "A.", "\u200b"])
@pytest.mark.parametrize("who", ["customer", "coach"])
def test_until_a_name_is_known_nothing_is_sent(
    sandbox: Sandbox, who: str, name: str
) -> None:
    """The profile may come from Clerk after the notes: then the name is hidden."""
    nameless = make_customer(name)
    row = make_feedback(make_session(**{who: nameless}), notes="Alice Adler: fine")

    assert [enhance(), enhance()] == [1, 0]

    assert (state(row), calls(sandbox)) == (("PENDING", "UNAVAILABLE"), 0)
    now = now_of(row)
    assert now.next_run_at is not None
    wait = (now.next_run_at - read_clock()).total_seconds()
    assert (now.attempts, 200 < wait < 400) == (0, True)
    User.objects.filter(pk=nameless.pk).update(name="Alice Adler")
    make_due()
    enhance()
    assert state(row) == ("DONE", "")
    assert "Adler" not in str(requests_of(sandbox))


def test_without_the_wait_the_name_would_be_sent(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """The control."""
    monkeypatch.setattr(enhancing, "can_hide", lambda _: True)
    make_feedback(customer=make_customer(""), notes="Alice Adler: fine")

    enhance()

    assert "Adler" in str(requests_of(sandbox))


def test_whose_name_is_never_known_has_notes_that_stay_as_they_are(
    sandbox: Sandbox,
) -> None:
    """Such as a walk-in who did not say it."""
    walk_in = make_customer("", clerk_id=None)
    row = make_feedback(customer=walk_in)
    SessionFeedback.objects.update(asked_at=read_clock() - timedelta(days=3))

    enhance()

    assert (state(row), calls(sandbox)) == (("SKIPPED", "DISABLED"), 0)
    assert now_of(row).next_run_at is None
    assert moves(row) == ["PENDING", "SKIPPED"]


# --- Customers who are forgotten ----------------------------------------------


@pytest.fixture
def session(db: None) -> Booking:
    """A session that is over, so that its customer may be erased."""
    session = make_session(ago=timedelta(days=3))
    endings.complete_ended_bookings(limit=10)
    return Booking.objects.select_related("resource__coach").get(pk=session.pk)


def ask_to_be_forgotten(person: User) -> None:
    request_erasure(user_id=person.pk, actor=audit.Actor.customer(person.pk))


@pytest.mark.parametrize("is_erased", [False, True])
def test_of_who_is_to_be_forgotten_no_notes_are_kept(
    api_of: Any, session: Booking, *, is_erased: bool
) -> None:
    ask_to_be_forgotten(session.customer)
    if is_erased:
        assert erase_people() == 1
    coach = api_of(session.resource.coach)
    address = f"/api/v1/bookings/{session.pk}/feedback/"

    send = partial(coach.post, address, {"notes": f"Alice Adler: {NOTES}"}, "json")
    answer = refused(send, 409, "invalid_state")

    assert "erased" in answer.json()["detail"]
    assert not SessionFeedback.objects.exists()


def test_of_who_is_erased_by_hand_no_notes_are_kept(session: Booking) -> None:
    User.objects.filter(pk=session.customer_id).update(erased_at=read_clock())

    with pytest.raises(InvalidState, match="erased"):
        make_feedback(session)


def test_notes_on_who_is_to_be_forgotten_are_not_sent(
    sandbox: Sandbox, session: Booking
) -> None:
    row = make_feedback(session)
    ask_to_be_forgotten(session.customer)

    enhance()

    assert (state(row), calls(sandbox)) == (("SKIPPED", "DISABLED"), 0)
    with pytest.raises(InvalidState, match="erased"):
        feedback.ask_again(booking_id=session.pk, coach_id=row.coach_id)
