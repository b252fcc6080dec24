"""Rows of feedback that no code of ours would write."""

from collections.abc import Callable
from datetime import timedelta

from bookings.models import SessionFeedback
from slotbase.lib.clock import read_clock
from tests.bookings.sessions import make_feedback, make_skill
from tests.factories import make_venue


def state_without_history() -> None:
    make_feedback()
    SessionFeedback.objects.update(status="RUNNING")


def skill_of_another_venue() -> None:
    make_feedback()
    SessionFeedback.objects.update(skills=[make_skill(make_venue()).pk])


def drill_that_nobody_teaches() -> None:
    row = make_feedback()
    SessionFeedback.objects.update(
        accepted_drills=[999_999],
        accepted_text="x",
        accepted_at=read_clock(),
        accepted_by=row.coach,
    )


def notes_not_tried() -> None:
    make_feedback()
    SessionFeedback.objects.update(next_run_at=read_clock() - timedelta(minutes=6))


BREAKS: list[tuple[str, Callable[[], None]]] = [
    ("I6.feedback", state_without_history),
    ("I7.feedback", skill_of_another_venue),
    ("I7.feedback", drill_that_nobody_teaches),
    ("I11.feedback", notes_not_tried),
]
