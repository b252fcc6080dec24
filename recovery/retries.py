"""How a person lets a row that gave up be tried again, whatever engine it is of.

Each app registers its own kinds of row; the buttons of `dead_letter` cases find them by
the subject of the case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from recovery import audit
from recovery.models import DueRow
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import InvalidState


@dataclass(frozen=True)
class Retry:
    """`can(id)` says whether a row waits for it; `run(id, staff_id)` does it.

    `run` is a transaction of its own and raises InvalidState if there is nothing to do.
    """

    can: Callable[[str], bool]
    run: Callable[[str, UUID], None]


_retries: dict[str, Retry] = {}


def register(subject: str, retry: Retry) -> None:
    """Make known how rows of a subject type are tried again."""
    _retries[subject] = retry


def can_retry(*, subject_type: str, subject_id: str) -> bool:
    """Whether there is something that can be tried again."""
    known = _retries.get(subject_type)
    return known is not None and known.can(subject_id)


def retry(*, subject_type: str, subject_id: str, staff_id: UUID) -> None:
    """A person lets it be tried again at once, with all its attempts.

    Raises:
        InvalidState: there is nothing to try again.
    """
    known = _retries.get(subject_type)
    if known is None:
        raise InvalidState("Work of this kind cannot be tried again from here.")
    known.run(subject_id, staff_id)


def of_rows(model: type[DueRow], **waiting: Any) -> Retry:
    """For due rows that need nothing but to be due again; `waiting` says which may."""

    def find(subject_id: str) -> QuerySet[Any]:
        return model.rows().filter(pk=subject_id, lease_token=None, **waiting)

    @retry_on_conflict
    def run(subject_id: str, staff_id: UUID) -> None:
        if not find(subject_id).update(next_run_at=Now(), attempts=0, deaths=0):
            raise InvalidState("It is done, or a worker is at it now.")
        audit.record(
            actor=audit.Actor.staff(staff_id),
            action=f"{model.subject()}.retried",
            subject=model.subject(),
            ids=[subject_id],
        )

    return Retry(lambda subject_id: bool(find(subject_id).exists()), run)
