"""S32: what was written of a session goes out with whom it is about, and goes."""

from functools import partial

import pytest
from django.db import IntegrityError

from bookings.models import Resource, SessionFeedback
from bookings.services import feedback, personal_data
from recovery.personal import Traces
from slotbase.accounts.models import User
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import ValidationFailed
from slotbase.providers.openai import client
from tests.bookings.notes import calls, enhance
from tests.bookings.sessions import (
    NOTES,
    make_feedback,
    make_feedback_rows,
    make_session,
)
from tests.conftest import Sandbox
from tests.factories import make_customer, make_venue

pytestmark = pytest.mark.django_db(transaction=True)


def erase(user: User) -> None:
    retry_on_conflict(personal_data._erase)(Traces(user.pk))


def exported(user: User, section: str) -> list[dict[str, object]]:
    return [*personal_data._export(Traces(user.pk))[section]]


def test_a_customer_gets_what_was_accepted_and_the_coach_what_they_wrote() -> None:
    row = make_feedback_rows(make_venue())
    [mine] = exported(row.booking.customer, "feedback")
    [theirs] = exported(row.coach, "feedback_written")

    [accepted] = exported(row.coach, "feedback_accepted")

    assert mine["accepted_text"] == accepted["accepted_text"] == "Well done!"
    assert "notes" not in mine
    assert theirs["notes"] == NOTES
    assert exported(row.coach, "feedback") == []
    assert exported(make_customer(), "feedback_written") == []


def test_exports_name_skills_and_drills_as_the_app_does() -> None:
    row = make_feedback_rows(make_venue())
    SessionFeedback.objects.update(
        skills=row.accepted_skills, drills=row.accepted_drills
    )
    [mine] = exported(row.booking.customer, "feedback")
    [accepted] = exported(row.coach, "feedback_accepted")
    [written] = exported(row.coach, "feedback_written")

    for shown in (mine, accepted):
        assert shown["accepted_skills"] == ["Backhand"]
        assert shown["accepted_drills"] == ["Serve targets"]
    assert (written["skills"], written["drills"]) == (["Backhand"], ["Serve targets"])


def accepted_by_the_next_coach() -> tuple[SessionFeedback, User]:
    """Jo wrote notes; Kim has the sessions now, and accepted a text of their own."""
    row, kim = make_feedback(), make_customer("Kim Koch")
    Resource.objects.filter(pk=row.booking.resource_id).update(coach=kim)
    row = feedback.accept_feedback(
        booking_id=row.booking_id,
        coach_id=kim.pk,
        version=row.version,
        text="Words of Kim",
    )
    return row, kim


def test_the_words_of_the_next_coach_are_theirs() -> None:
    """S32: nobody's export holds what another one wrote."""
    row, kim = accepted_by_the_next_coach()
    [by_jo] = exported(row.coach, "feedback_written")
    [by_kim] = exported(kim, "feedback_accepted")

    assert "Words of Kim" not in str(by_jo)
    assert by_jo["notes"] == NOTES
    assert exported(row.coach, "feedback_accepted") == []
    assert by_kim["accepted_text"] == "Words of Kim"
    assert NOTES not in str(by_kim)
    assert exported(kim, "feedback_written") == []


def test_erasing_either_coach_keeps_what_the_next_one_accepted() -> None:
    row, kim = accepted_by_the_next_coach()

    erase(kim)
    row.refresh_from_db()
    assert (row.notes, row.accepted_text) == (NOTES, "Words of Kim")
    erase(row.coach)
    row.refresh_from_db()
    assert (row.notes, row.accepted_text) == ("", "Words of Kim")


def test_when_notes_are_gone_the_next_coach_must_say_something() -> None:
    row, kim = accepted_by_the_next_coach()
    erase(row.coach)
    accept = partial(
        feedback.accept_feedback,
        booking_id=row.booking_id,
        coach_id=kim.pk,
        version=row.version,
    )

    with pytest.raises(ValidationFailed):
        accept()
    assert accept(text="More").accepted_text == "More"


def test_what_is_accepted_has_somebody_who_accepted_it() -> None:
    row = make_feedback_rows(make_venue())

    with pytest.raises(IntegrityError, match="bookings_feedback_accepted"):
        SessionFeedback.objects.filter(pk=row.pk).update(accepted_by=None)


def test_before_it_is_accepted_a_customer_gets_nothing() -> None:
    assert exported(make_feedback().booking.customer, "feedback") == []


@pytest.mark.parametrize("who", ["customer", "coach"])
def test_whoever_is_erased_leaves_no_feedback(who: str) -> None:
    row, of_others = make_feedback(), make_feedback()

    erase(row.coach if who == "coach" else row.booking.customer)

    assert [*SessionFeedback.objects.all()] == [of_others]


def test_a_customer_keeps_what_an_erased_coach_gave_them(sandbox: Sandbox) -> None:
    row = make_feedback_rows(make_venue())
    erase(row.coach)
    enhance()

    row.refresh_from_db()
    assert (row.notes, row.accepted_text) == ("", "Well done!")
    assert (row.status, calls(sandbox)) == ("SKIPPED", 0)


def test_an_answer_that_comes_after_the_erasure_is_dropped(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    row = make_feedback(make_session())
    ask = client.enhance

    def erase_and_ask(**wish: object) -> object:
        erase(row.booking.customer)
        return ask(**wish)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "enhance", erase_and_ask)

    assert enhance() == 1
    assert not SessionFeedback.objects.exists()
