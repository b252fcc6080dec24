"""Dead letters: tasks that failed and have no row of their own; none is lost.

Whoever runs tasks tells here what failed, died or could not even begin
(`slotbase/worker.py`), and what succeeded. One row for each task with its arguments
counts the failures. It is due like any other row: tried again a few times, farther and
farther apart, and then a case. The first success ends it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Greatest, Least

from recovery import audit, cases, retries, rowqueue
from recovery.locks import lock_dead_letter, lock_dead_letter_of
from recovery.models import DeadLetter
from recovery.states import DEAD_LETTER_MOVES, DeadLetterStatus
from recovery.work import Work
from slotbase.lib import request_id
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.states import require_move

SUBJECT = DeadLetter.subject()
ENGINE = audit.Actor.system("dead_letters")
#: Older than this, it is no longer for machines alone.
REVIEW_AFTER = timedelta(hours=24)
#: What fails again so soon is the same trouble: one row, not one for each second.
REOPENS_WITHIN = timedelta(hours=1)
HEALED = "It succeeded."


# --- What became of it --------------------------------------------------------


@retry_on_conflict
def record_failure(work: Work, error: Exception, *, is_permanent: bool = False) -> None:
    """Some work failed; `is_permanent` if it would fail again however often.

    Raises:
        OperationalError: the database is away.
    """
    why = rowqueue.describe(error).error
    _count(work, last_error=why, is_permanent=is_permanent)


@retry_on_conflict
def record_death(work: Work) -> DeadLetter:
    """A worker died over some work; returns its letter, which counts that.

    After the third time it stands in a case within seconds.

    Raises:
        OperationalError: the database is away.
    """
    letter = _count(work, last_error="Its worker died.")
    letter.deaths += 1
    values: dict[str, Any] = {"deaths": letter.deaths}
    if letter.deaths == rowqueue.MAX_DEATHS:
        values["next_run_at"] = Now()
    DeadLetter.objects.filter(pk=letter.pk).update(**values)
    return letter


@transaction_required
def _count(work: Work, **values: Any) -> DeadLetter:
    """The open letter of some work, locked, with one more failure."""
    letter = lock_dead_letter_of(work.key)
    if letter is None or not _goes_on(letter):
        new = _new_letter(work, values)
        # Of two at once one inserts; the other waits for it and then finds its letter.
        DeadLetter.objects.bulk_create([new], ignore_conflicts=True)
        letter = lock_dead_letter_of(work.key)
        assert letter is not None, "just inserted, by us or by another"  # noqa: S101
        if letter.pk == new.pk:
            _tell(letter.pk, "opened", ("", DeadLetterStatus.OPEN), ENGINE)
            return letter
    if letter.status != DeadLetterStatus.OPEN:
        _open_again(letter)
    DeadLetter.objects.filter(pk=letter.pk).update(
        failures=F("failures") + 1, last_failed_at=Now(), **values
    )
    return letter


def _goes_on(letter: DeadLetter) -> bool:
    if letter.ended_at is None:
        return True
    is_healed = letter.status == DeadLetterStatus.RESOLVED
    return is_healed and letter.ended_at > read_clock() - REOPENS_WITHIN


def _new_letter(work: Work, values: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        key=work.key,
        task=work.task,
        kwargs=dict(work.kwargs),
        queue=work.queue,
        request_id=request_id.current() or work.message_id,
        next_run_at=Now() + rowqueue.with_jitter(_waits()[0]),
        **values,
    )


@transaction_required
def _open_again(letter: DeadLetter) -> None:
    """It has all its attempts again, but no new day: it may fail and heal for weeks.

    Each time is in the history, which would be no chain without one of them.
    """
    require_move(DEAD_LETTER_MOVES, letter.status, DeadLetterStatus.OPEN)
    DeadLetter.objects.filter(pk=letter.pk).update(
        status=DeadLetterStatus.OPEN,
        ended_at=None,
        ended_because="",
        # Not in the past: nobody is late with it yet.
        next_run_at=Greatest(Now(), _before_its_day_ends(_waits()[0])),
        attempts=0,
        deaths=0,
    )
    _tell(letter.pk, "reopened", (letter.status, DeadLetterStatus.OPEN), ENGINE)
    letter.deaths = 0


def find_open(work: Work) -> DeadLetter | None:
    """The open letter of some work, if it failed lately."""
    return DeadLetter.objects.filter(key=work.key, status=DeadLetterStatus.OPEN).first()


def is_quarantined(letter: DeadLetter) -> bool:
    """Whether it killed so many workers that a person must look first."""
    return letter.deaths >= rowqueue.MAX_DEATHS


@retry_on_conflict
def record_success(letter_id: UUID) -> None:
    """The work succeeded after all: the letter ends, and its case with it.

    Raises:
        NotFound: there is no such letter.
    """
    _end(letter_id, DeadLetterStatus.RESOLVED, HEALED, ENGINE)


@transaction_required
def _end(letter_id: UUID, to: str, why: str, actor: audit.Actor) -> bool:
    """Says whether it was open. A worker that is at it now records too late.

    Whoever opens or closes the case of a letter locks the letter first, so that no
    case is opened about one that just ended.
    """
    letter = lock_dead_letter(letter_id)
    if letter.status != DeadLetterStatus.OPEN:
        return False
    require_move(DEAD_LETTER_MOVES, letter.status, to)
    cases.close_by_itself(_fingerprint_of(letter_id), why)
    DeadLetter.objects.filter(pk=letter_id).update(
        status=to,
        ended_at=Now(),
        ended_because=why[:200],
        next_run_at=None,
        lease_token=None,
        lease_until=None,
    )
    _tell(letter_id, to.lower(), (letter.status, to), actor)
    return True


@transaction_required
def _tell(
    letter_id: UUID, verb: str, move: tuple[str, str], actor: audit.Actor
) -> None:
    audit.record(
        actor=actor,
        action=f"dead_letter.{verb}",
        subject=SUBJECT,
        ids=[letter_id],
        move=move,
    )


# --- Try again ----------------------------------------------------------------

Runner = Callable[[str, Mapping[str, Any]], None]


class NotRepeatable(Exception):
    """What the task needs was not written down, or nobody here can run tasks."""


def _refuse(_task: str, _kwargs: Mapping[str, Any]) -> None:
    raise NotRepeatable


_runner: list[Runner] = [_refuse]


def run_tasks_with(runner: Runner) -> None:
    """Say how a task is run: in this process, at once, raising what it raises."""
    _runner[0] = runner


def retry_due(**only: Any) -> int:
    """Try again what is due; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


def _waits() -> Sequence[int]:
    waits: Sequence[int] = settings.DEAD_LETTER_RETRY_SECONDS
    return waits


def _call(letter: DeadLetter) -> None:
    if not letter.is_repeatable:
        raise NotRepeatable
    _runner[0](letter.task, letter.kwargs)


def _record(letter: DeadLetter, _: Any) -> Mapping[str, Any]:
    to = DeadLetterStatus.RESOLVED
    lock_dead_letter(letter.pk)  # before its case
    require_move(DEAD_LETTER_MOVES, letter.status, to)
    _tell(letter.pk, to.lower(), (letter.status, to), ENGINE)
    return {"status": to, "ended_at": Now(), "ended_because": HEALED}


def _fail(
    letter: DeadLetter,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    """Due again later, or a case and not due any more: in one transaction."""
    values: dict[str, Any] = {"failures": F("failures") + 1, "last_failed_at": Now()}
    if not letter.is_repeatable:
        values = {"last_error": letter.last_error}  # nothing was tried
    if not is_over and not letter.is_permanent and not _is_old(letter):
        wait = _retry_seconds(letter)[letter.attempts - 1]
        return {**values, "next_run_at": _before_its_day_ends(wait)}
    lock_dead_letter(letter.pk)  # before its case
    rowqueue.open_dead_letter(QUEUE, letter, failure, title=f"{letter.task} fails")
    return {**values, "next_run_at": None}


def _before_its_day_ends(wait: int) -> Least:
    """After a wait, or when it is old, whichever comes first."""
    usual = Now() + rowqueue.with_jitter(wait)
    return Least(usual, F("first_failed_at") + REVIEW_AFTER)


def _is_old(letter: DeadLetter) -> bool:
    return letter.first_failed_at <= read_clock() - REVIEW_AFTER


def _retry_seconds(_: DeadLetter) -> Sequence[int]:
    """Between attempts: the first wait was over when the first attempt was made."""
    return _waits()[1:]


QUEUE = rowqueue.RowQueue(
    name="dead_letter",
    model=DeadLetter,
    call=_call,
    record=_record,
    fail=_fail,
    retry_seconds=_retry_seconds,
)


def _fingerprint_of(letter_id: UUID) -> str:
    return f"dead_letter:{QUEUE.name}:{letter_id}"


# --- What people do -----------------------------------------------------------


def can_retry(letter: DeadLetter) -> bool:
    """Whether a person may let it be tried again."""
    return letter.status == DeadLetterStatus.OPEN and letter.is_repeatable


@retry_on_conflict
def retry(*, letter_id: UUID, staff_id: UUID) -> None:
    """A person lets it be tried again at once, with all its attempts.

    Raises:
        NotFound: there is none.
        InvalidState: it is over, cannot be repeated, or a worker is at it now.
    """
    letter = lock_dead_letter(letter_id)
    if not can_retry(letter):
        raise InvalidState("It is over, or its arguments were not kept.")
    if letter.lease_until is not None and letter.lease_until > read_clock():
        raise InvalidState("A worker is at it now. Try again in a moment.")
    _make_due([letter.pk], staff_id)


@retry_on_conflict
def retry_all(*, task: str, staff_id: UUID, limit: int) -> int:
    """A person lets the longest open letters of a task be tried; returns how many."""
    letters = DeadLetter.objects.filter(
        task=task, status=DeadLetterStatus.OPEN, lease_token=None
    ).order_by("first_failed_at")[:limit]
    ids = [letter.pk for letter in letters if letter.is_repeatable]
    _make_due(ids, staff_id)
    return len(ids)


@transaction_required
def _make_due(ids: Sequence[UUID], staff_id: UUID) -> None:
    DeadLetter.objects.filter(pk__in=ids, status=DeadLetterStatus.OPEN).update(
        next_run_at=Now(), attempts=0, deaths=0
    )
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="dead_letter.retried",
        subject=SUBJECT,
        ids=list(ids),
    )


@retry_on_conflict
def discard(*, letter_id: UUID, staff_id: UUID, reason: str) -> None:
    """A person gives some work up for good, which closes its case.

    Raises:
        NotFound: there is none.
        ValidationFailed: without a reason.
        InvalidState: it is over.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why: whoever reads this later was not here.")
    staff = audit.Actor.staff(staff_id)
    if not _end(letter_id, DeadLetterStatus.DISCARDED, reason, staff):
        raise InvalidState("It is over already.")


@retry_on_conflict
def purge_ended(*, limit: int) -> int:
    """Forget letters that ended DEAD_LETTER_RETENTION_DAYS ago; returns how many."""
    age = timedelta(days=settings.DEAD_LETTER_RETENTION_DAYS)
    old = DeadLetter.objects.filter(ended_at__lte=Now() - age)
    ids = list(old.order_by("ended_at").values_list("pk", flat=True)[:limit])
    return DeadLetter.objects.filter(pk__in=ids).delete()[0]


def _can_retry(letter_id: str) -> bool:
    letter = DeadLetter.objects.filter(pk=letter_id).first()
    return letter is not None and can_retry(letter)


retries.register(
    SUBJECT,
    retries.Retry(
        _can_retry,
        lambda letter_id, staff_id: retry(letter_id=UUID(letter_id), staff_id=staff_id),
    ),
)
