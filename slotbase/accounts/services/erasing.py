"""A person is forgotten: asked for at once, done by a due row, all or nothing.

What money did stays, and belongs to a row that names nobody (ADR 0042).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from recovery import audit, cases, personal, retries, rowqueue
from slotbase.accounts.errors import PersonNotFound, StillInBusiness
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import Erasure, User
from slotbase.accounts.services.personal_data import (
    list_open_business,
    parts,
    traces_of,
)
from slotbase.accounts.services.revocations import revoke_person, revoke_session
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import InvalidState
from slotbase.lib.failpoints import failpoint

ASKS_AGAIN_AFTER = timedelta(hours=1)
BY = audit.Actor.system("erasures")


@retry_on_conflict
def request_erasure(
    *,
    user_id: UUID,
    actor: audit.Actor,
    staff_id: UUID | None = None,
    session_id: str = "",
) -> None:
    """Forget a customer soon, and let them in no more from now on; again is harmless.

    `session_id` is the session in which they asked: it cannot make a new customer.

    Raises:
        PersonNotFound: there is none.
        InvalidState: staff are not erased.
        StillInBusiness: something must be over before; it says what.
    """
    user = _lock(user_id)
    if user.is_staff:
        raise InvalidState("Members of staff are not erased: disable their login.")
    if Erasure.objects.filter(user=user_id).exists():
        return
    if reasons := list_open_business(user_id):
        raise StillInBusiness(reasons)
    _let_in_no_more(user_id, session_id)
    erasure = Erasure.objects.create(user_id=user_id, requested_by_id=staff_id)
    _record(actor, "person.erasure_requested", user_id)
    after_commit("accounts.erase_people", id=erasure.pk)


@transaction_required
def _lock(user_id: UUID) -> User:
    """The person, and all that may keep them from being erased."""
    try:
        user = lock_user(user_id)
    except User.DoesNotExist:
        raise PersonNotFound from None
    for part in parts():
        part.lock(user_id)
    return user


@transaction_required
def _let_in_no_more(user_id: UUID, session_id: str) -> None:
    User.objects.filter(pk=user_id).update(is_active=False)
    if session_id:
        revoke_session(session_id)
    for part in parts():
        part.leave(user_id)


def erase_people(**only: Any) -> int:
    """Erase whoever is to be erased now; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


# --- One person -------------------------------------------------------------------


def _look(erasure: Erasure) -> personal.Found:
    """What takes long, before anything is locked."""
    return personal.look(traces_of(User.objects.get(pk=erasure.user_id)))


def _erase(erasure: Erasure, found: personal.Found) -> Mapping[str, Any]:
    """All parts in one transaction, unless something came between since it was asked.

    Whoever dies in it has changed nothing.
    """
    user = _lock(erasure.user_id)
    if user.erased_at is not None:
        return {"ended_at": Now()}
    if reasons := list_open_business(user.pk):
        return _wait(erasure, reasons)
    # As they are now: somebody may have corrected the name meanwhile.
    traces = traces_of(user)
    revoke_person(traces.account)
    for part in parts():
        part.erase(traces)
    failpoint("erasures.erasing")
    personal.erase(traces, found)
    _record(BY, "person.erased", user.pk)
    cases.close_by_itself(fingerprint_of(erasure), "The person is erased.")
    return {"ended_at": Now()}


@transaction_required
def _wait(erasure: Erasure, reasons: list[str]) -> Mapping[str, Any]:
    """Staff are told; it goes on by itself once that is over."""
    cases.open_case(
        cases.Opening(
            kind="dead_letter",
            fingerprint=fingerprint_of(erasure),
            title="A person cannot be erased yet",
            subject_type=Erasure.subject(),
            subject_id=str(erasure.pk),
            cause=" ".join(reasons)[:200],
            customer_id=erasure.user_id,
        )
    )
    return {"next_run_at": Now() + ASKS_AGAIN_AFTER, "attempts": 0}


def fingerprint_of(erasure: Erasure) -> str:
    """Of the case about somebody who cannot be erased yet."""
    return f"erasure:{erasure.pk}"


def _fail(
    erasure: Erasure,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    """Nobody is forgotten to be forgotten: it is tried on, with a case."""
    if not is_over:
        return {}
    title = "A person could not be erased"
    whose = erasure.user_id
    rowqueue.open_dead_letter(QUEUE, erasure, failure, title=title, customer_id=whose)
    return {"next_run_at": Now() + ASKS_AGAIN_AFTER, "attempts": 0, "deaths": 0}


@transaction_required
def _record(actor: audit.Actor, action: str, user_id: UUID) -> None:
    audit.record(actor=actor, action=action, subject="user", ids=[user_id])


QUEUE = rowqueue.RowQueue(
    name="erasures",
    model=Erasure,
    call=_look,
    record=_erase,
    fail=_fail,
    retry_seconds=lambda _: settings.ERASURE_RETRY_SECONDS,
)
retries.register(Erasure.subject(), retries.of_rows(Erasure, ended_at=None))
