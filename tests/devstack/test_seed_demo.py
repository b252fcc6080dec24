"""The demo's data: made once, and its staff can sign in."""

import json
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command

from bookings.models import Drill, SessionFeedback, Skill
from bookings.services.feedback import get_feedback
from notifications.models import Notification
from recovery import invariants
from slotbase.accounts.models import SecondFactor, User
from slotbase.accounts.services import second_factors
from slotbase.devstack.codes import current_code
from slotbase.devstack.management.commands.seed_demo import Command

pytestmark = pytest.mark.django_db


def seed() -> str:
    said = StringIO()
    call_command(Command(), "--json", stdout=said)
    return said.getvalue()


def test_run_again_it_changes_nothing() -> None:
    before = seed()
    factors = list(SecondFactor.objects.order_by("pk").values())

    assert seed() == before
    assert SessionFeedback.objects.count() == 1
    assert list(SecondFactor.objects.order_by("pk").values()) == factors


def test_its_staff_show_the_code_that_is_printed() -> None:
    logins = [each["username"] for each in json.loads(seed())["staff"]]
    assert len(logins) == 6

    for login in logins:
        user = User.objects.get(username=login)
        assert second_factors.verify(user_id=user.pk, code=current_code())


def test_staff_of_a_demo_without_factors_get_theirs() -> None:
    seed()
    SecondFactor.objects.all().delete()

    seed()

    assert SecondFactor.objects.count() == 6


def test_its_coach_has_notes_on_a_session_that_is_over_and_nobody_is_told() -> None:
    made = json.loads(seed())
    (session,), (coach,) = made["sessions"], made["coaches"]

    jo = User.objects.get(clerk_id=coach["clerk_id"])
    found = get_feedback(booking_id=UUID(session["booking"]), user_id=jo.pk)
    assert found.booking.status == "COMPLETED"
    assert "toss drifts left" in found.notes
    for taught in (Skill, Drill):
        assert {*taught.objects.values_list("venue__slug", flat=True)} == {
            *("berlin", "new-york")
        }
    assert not Notification.objects.exists()
    assert invariants.find_violations(full=True) == []
