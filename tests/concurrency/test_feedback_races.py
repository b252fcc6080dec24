"""A coach with two devices, or two clicks: notes once, one acceptance a version."""

from functools import partial
from threading import Barrier, Event
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from bookings.errors import BookingHasChanged
from bookings.models import Booking, SessionFeedback
from bookings.services import feedback
from bookings.services.feedback import SUBJECT
from notifications.models import Notification
from recovery.models import AuditEntry
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import Erasure
from slotbase.lib.errors import InvalidState
from tests.bookings.sessions import make_feedback, make_session
from tests.concurrency.race import at_once, errors_in

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 8


def writing(session: Booking, notes: str) -> Any:
    coach_id = session.resource.coach_id
    assert coach_id is not None
    return partial(
        feedback.write_feedback, booking_id=session.pk, coach_id=coach_id, notes=notes
    )


def accepting(row: SessionFeedback, text: str) -> Any:
    return partial(
        feedback.accept_feedback,
        booking_id=row.booking_id,
        coach_id=row.coach_id,
        version=row.version,
        text=text,
    )


def entries(verb: str) -> int:
    return AuditEntry.objects.filter(action=f"{SUBJECT}.{verb}").count()


def test_the_same_notes_sent_twice_at_once_are_kept_once() -> None:
    outcomes = at_once([writing(make_session(), "fine")] * CROWD)

    assert errors_in(outcomes) == []
    assert sorted(is_new for _, is_new in outcomes) == [*[False] * (CROWD - 1), True]
    assert SessionFeedback.objects.count() == entries("written") == 1


def test_of_two_notes_at_once_one_is_kept_and_the_other_is_told() -> None:
    session = make_session()

    outcomes = at_once([writing(session, f"notes {n}") for n in range(CROWD)])

    errors = errors_in(outcomes)
    assert [type(each) for each in errors] == [InvalidState] * (CROWD - 1)
    (row,) = (each[0] for each in outcomes if not isinstance(each, Exception))
    assert SessionFeedback.objects.get().notes == row.notes
    assert entries("written") == 1


def test_of_two_acceptances_of_one_version_one_counts() -> None:
    row = make_feedback()

    outcomes = at_once([accepting(row, f"text {n}") for n in range(CROWD)])

    errors = errors_in(outcomes)
    assert [type(each) for each in errors] == [BookingHasChanged] * (CROWD - 1)
    assert entries("accepted") == 1
    told = Notification.objects.filter(template="feedback_ready", channel="EMAIL")
    assert told.count() == 1


def test_without_the_lock_several_would_count(monkeypatch: pytest.MonkeyPatch) -> None:
    row, have_looked = make_feedback(), Barrier(CROWD)

    def look(**which: UUID) -> SessionFeedback | None:
        rows = SessionFeedback.objects.select_related("booking__resource__venue")
        found = rows.filter(**which).first()
        have_looked.wait(20)
        return found

    monkeypatch.setattr(feedback, "lock_feedback", look)
    outcomes = at_once([accepting(row, f"text {n}") for n in range(CROWD)])

    assert errors_in(outcomes) == []
    assert entries("accepted") == CROWD


# --- An erasure at the same time ----------------------------------------------


def write_while_erasing(monkeypatch: pytest.MonkeyPatch, *, takes_turns: bool) -> Any:
    """Notes that are written when an erasure is asked for, and not committed yet."""
    session = make_session()
    asked, may_commit = Event(), Event()

    def lock(user_id: UUID) -> None:
        if takes_turns:
            may_commit.set()
            lock_user(user_id)

    def ask() -> None:
        with transaction.atomic():
            lock_user(session.customer_id)
            Erasure.objects.create(user_id=session.customer_id)
            asked.set()
            assert may_commit.wait(20)

    def write() -> Any:
        assert asked.wait(20)
        try:
            return writing(session, "Alice")()
        finally:
            may_commit.set()

    monkeypatch.setattr(feedback, "lock_user", lock)
    return at_once([ask, write])[1]


def test_notes_do_not_slip_in_while_an_erasure_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S32: what slips in behind an erasure would never be erased."""
    outcome = write_while_erasing(monkeypatch, takes_turns=True)

    assert isinstance(outcome, InvalidState)
    assert not SessionFeedback.objects.exists()


def test_without_taking_turns_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the erasure is not seen, since it is not committed."""
    outcome = write_while_erasing(monkeypatch, takes_turns=False)

    assert not isinstance(outcome, Exception)
    assert SessionFeedback.objects.exists()
