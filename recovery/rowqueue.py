"""The row queue: everything that is owed is a row, and this does what is due.

Claim, call, record. A worker claims a row under a lease with a token of its own, makes
the call outside of any transaction, and records the result in one transaction that ends
by giving the lease back. If the token is no longer there, somebody took over: the late
record is rolled back and audited. A worker that dies leaves its lease; the next sweep
after the lease takes the row over (docs/explanation/how-slotbase-recovers.md).
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from django.db import InterfaceError, InternalError, OperationalError

from recovery import audit, cases, senders
from recovery.locks import claim_due_row
from recovery.models import DueRow
from recovery.states import CaseSeverity
from slotbase.lib import request_id
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.failpoints import failpoint
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.reports import EXPENDABLE

Row = TypeVar("Row", bound=DueRow)

LEASE_SECONDS = 150  # longer than any task may run (CELERY_TASK_TIME_LIMIT)
SWEEP_SECONDS = 10  # then other sweeps get their turn; the next one goes on
MAX_DEATHS = DueRow.MAX_DEATHS
MAX_RETRY_AFTER_SECONDS = 3600  # whatever a provider asks for
PAUSE_SECONDS = 60  # after a provider refused our credentials: one try a minute

OLDEST, NEWEST = "next_run_at ASC", "next_run_at DESC"

log = structlog.get_logger(__name__)
_jitter = random.SystemRandom()


class LateRecord(Exception):
    """Somebody else has the lease now: what we found out must not be recorded."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt did not succeed, in our own words, and what that means."""

    error: str
    is_final: bool = False
    was_tried: bool = True
    retry_after: int | None = None
    misconfigured: str = ""  # the provider that refused our credentials
    outcome: Outcome | None = None  # of the provider; None: it was another error
    code: str = ""  # the provider's, if it is one
    is_stored: bool = False  # the provider will answer the same key the same way


class NotCalled:
    """What `call` returns (a subclass) if it found that nobody had to be called.

    Then the success says nothing of the provider, and its case stays open.
    """


def both_ends(turn: int) -> str:
    """Which row comes next: the longest due and the latest due take turns."""
    return NEWEST if turn % 2 else OLDEST


@dataclass(frozen=True)
class RowQueue(Generic[Row]):
    """What to do with the due rows of a table.

    `call(row)` talks to the outside and returns what it learned; a queue without one
    only works in the database. `record(row, answer)` runs in the transaction that
    settles the row and returns the columns to write into it. `fail(row, failure,
    is_over)` returns them after a failed attempt; `is_over` says that it was the last.
    What they return wins, such as `next_run_at` for a row that is not done with.
    """

    name: str
    model: type[Row]
    record: Callable[[Row, Any], Mapping[str, Any]]
    fail: Callable[[Row, Failure, bool], Mapping[str, Any]]
    retry_seconds: Callable[[Row], Sequence[int]]
    call: Callable[[Row], Any] = lambda _: None
    claimed: Mapping[str, Any] = field(default_factory=dict)
    provider: str = ""
    #: Whether its calls have effects there, beside answers: see `recovery.senders`.
    sends: bool = False
    #: Longer than its call may take; whoever dies is taken over after it.
    lease_seconds: int = LEASE_SECONDS
    #: The order in which the row of a turn is looked for; an index serves each.
    order: Callable[[int], str] = both_ends
    #: SQL that holds for a row whose turn has come; none: every due row.
    only_if: str = ""
    #: Whether there is room for one more call; if not, what is due stays due.
    has_room: Callable[[], bool] = lambda: True


def run_due(queue: RowQueue[Row], **only: Any) -> int:
    """Do once what is due now; returns how many were tried.

    The longest due and the latest due take turns (unless the queue says otherwise), so
    that neither a backlog nor what comes new waits for the other. Stops early when the
    provider cannot be called at all or its budget is used up, or after SWEEP_SECONDS.
    `only` narrows the choice, such as to one id.
    """
    if queue.sends and not senders.has_looked_at(queue.provider):
        return 0
    started_at, stop_at = read_clock(), time.monotonic() + SWEEP_SECONDS
    for tried in count():
        is_late = time.monotonic() > stop_at
        if is_late or _is_paused(queue) or not queue.has_room():
            return tried
        row = _claim(queue, only, due_before=started_at, order=queue.order(tried))
        if row is None:
            return tried
        failure = _run(queue, row)
        # Rows of a queue without a provider may need different ones.
        if failure and not failure.was_tried and queue.provider:
            return tried + 1
    raise AssertionError("counting does not end")


def run_claimed(queue: RowQueue[Row], row: Row) -> None:
    """Do a row once whose lease is the caller's: one that was made with a lease."""
    _run(queue, row)


@retry_on_conflict
def _claim(
    queue: RowQueue[Row],
    only: Mapping[str, Any],
    *,
    due_before: datetime,
    order: str = OLDEST,
) -> Row | None:
    return claim_due_row(
        queue.model,
        due_before=due_before,
        order=order,
        lease=timedelta(seconds=queue.lease_seconds),
        changes=queue.claimed,
        conditions=only,
        only_if=queue.only_if,
    )


def _is_paused(queue: RowQueue[Row]) -> bool:
    return bool(queue.provider) and cases.was_seen_within(
        fingerprint_of(queue.provider),
        timedelta(seconds=PAUSE_SECONDS),
        or_is_open=senders.RESTORED if queue.sends else "",
    )


def _run(queue: RowQueue[Row], row: Row) -> Failure | None:
    """One attempt, for the request that the row came of; returns why it failed."""
    with request_id.resumed(_request_of(row)):
        return _attempt(queue, row)


def _request_of(row: DueRow) -> str:
    """Rows that have no column for it have a history, which begins with a request."""
    known: str | None = getattr(row, "request_id", None)
    return audit.request_of(row.subject(), row.pk) if known is None else known


def _attempt(queue: RowQueue[Row], row: Row) -> Failure | None:
    failpoint(f"{queue.name}.claimed")
    if row.deaths >= MAX_DEATHS:
        failure = Failure("Its worker died three times.", is_final=True)
        return _settle_failure(queue, row, failure)
    try:
        answer = queue.call(row)
        failpoint(f"{queue.name}.called")
        return _settle(queue, row, None, answer)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the row's failure
        return _settle_failure(queue, row, describe(error))


def _settle_failure(queue: RowQueue[Row], row: Row, failure: Failure) -> Failure | None:
    """Even a failure that cannot be recorded does not stop the rows behind it."""
    try:
        return _settle(queue, row, failure)
    except (OperationalError, InterfaceError, InternalError):
        raise  # the database is away, or only reads; the lease will run out
    except Exception as error:  # noqa: BLE001 - the lease runs out, others go on
        log.error(  # noqa: TRY400 - its text may hold personal data
            "failure_not_recorded",
            queue=queue.name,
            id=str(row.pk),
            why=describe(error).error,
        )
        return failure


def _settle(
    queue: RowQueue[Row], row: Row, failure: Failure | None, answer: Any = None
) -> Failure | None:
    try:
        if failure is None:
            _record(queue, row, answer)
        else:
            _record_failure(queue, row, failure)
    except LateRecord:
        _audit_late_record(queue, row)
        return failure
    failpoint(f"{queue.name}.settled")
    return failure


@retry_on_conflict
def _record(queue: RowQueue[Row], row: Row, answer: Any) -> None:
    """The attempt's effect and the end of the obligation: one transaction."""
    values = queue.record(row, answer)
    failpoint(f"{queue.name}.recorded")
    give_back_lease(row, {"next_run_at": None, "last_error": "", **values})
    if row.last_error:
        cases.close_by_itself(_dead_letter_of(queue, row), "It succeeded.")
    if isinstance(answer, NotCalled):
        return
    if provider := queue.provider or _who_refused_us(row.last_error):
        cases.close_by_itself(fingerprint_of(provider), "It works again.")


@retry_on_conflict
def _record_failure(queue: RowQueue[Row], row: Row, failure: Failure) -> None:
    """Due again later, or over; an attempt that reached nobody does not count."""
    log.warning("attempt_failed", queue=queue.name, id=str(row.pk), why=failure.error)
    waits = queue.retry_seconds(row)
    is_over = failure.is_final or (failure.was_tried and row.attempts > len(waits))
    values: dict[str, Any] = {"last_error": failure.error, "next_run_at": None}
    if not is_over:
        usual = waits[row.attempts - 1] if failure.was_tried else PAUSE_SECONDS
        values["next_run_at"] = Now() + _wait_after(failure, usual)
    if not failure.was_tried:
        values["attempts"] = row.attempts - 1
    values |= queue.fail(row, failure, is_over)
    failpoint(f"{queue.name}.failed")
    give_back_lease(row, values)
    if failure.misconfigured:
        _open_configuration_case(failure)


def _wait_after(failure: Failure, usual: int) -> timedelta:
    """Rows that failed part ways, and none comes before its provider wants it.

    Nor sooner than is usual, if it counts: a provider that says "in a second" each time
    would use up all attempts in a minute.
    """
    if not failure.retry_after:
        return with_jitter(usual)
    asked = min(failure.retry_after, MAX_RETRY_AFTER_SECONDS)
    if failure.was_tried:
        asked = max(asked, usual)
    return timedelta(milliseconds=_jitter.randint(asked * 1000, asked * 1200))


@transaction_required
def give_back_lease(row: DueRow, values: Mapping[str, Any]) -> None:
    """Write the outcome into the row if its lease is still ours.

    Raises:
        LateRecord: it is not; the transaction must be rolled back.
    """
    ours = row.rows().filter(pk=row.pk, lease_token=row.lease_token)
    if not ours.update(lease_token=None, lease_until=None, **values):
        raise LateRecord


@retry_on_conflict
def _audit_late_record(queue: RowQueue[Row], row: Row) -> None:
    audit.record(
        actor=audit.Actor.system(queue.name),
        action="late_record_refused",
        subject=queue.model.subject(),
        ids=[row.pk],
    )


def describe(error: Exception) -> Failure:
    """What an error means for its row. No text of others: it may hold personal data."""
    if isinstance(error, ProviderError):
        is_ours = error.outcome == Outcome.CONFIGURATION
        return Failure(
            f"{error.provider}: {error.outcome} ({error.code})",
            is_final=error.outcome == Outcome.REFUSED,
            was_tried=error.was_tried and not is_ours,
            retry_after=error.retry_after,
            misconfigured=error.provider if is_ours else "",
            outcome=error.outcome,
            code=error.code,
            is_stored=(error.http_status or 0) >= 500,
        )
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    module = where.tb_frame.f_globals.get("__name__", "") if where else ""
    line = where.tb_lineno if where else 0
    return Failure(f"{type(error).__name__} in {module}, line {line}"[:200])


def _who_refused_us(error: str) -> str:
    """The provider, if it is of wrong credentials that `describe` spoke."""
    provider, is_so, _ = error.partition(f": {Outcome.CONFIGURATION} (")
    return provider if is_so else ""


def with_jitter(seconds: int) -> timedelta:
    """A wait of so many seconds, a fifth more or less: rows that failed part ways."""
    return timedelta(milliseconds=_jitter.randint(seconds * 800, seconds * 1200))


def fingerprint_of(provider: str) -> str:
    """Of the case about a provider that refuses our credentials."""
    return f"provider_configuration:{provider}"


def _dead_letter_of(queue: RowQueue[Row], row: Row) -> str:
    return f"dead_letter:{queue.name}:{row.pk}"


@transaction_required
def open_dead_letter(
    queue: RowQueue[Row],
    row: Row,
    failure: Failure,
    *,
    title: str,
    customer_id: UUID | None = None,
) -> None:
    """The case of a row that gave up and has no kind of case of its own."""
    cases.open_case(
        cases.Opening(
            kind="dead_letter",
            fingerprint=_dead_letter_of(queue, row),
            title=title,
            subject_type=queue.model.subject(),
            subject_id=str(row.pk),
            cause=failure.error,
            details={"attempts": row.attempts, "deaths": row.deaths},
            customer_id=customer_id,
        )
    )


@transaction_required
def _open_configuration_case(failure: Failure) -> None:
    cases.open_case(
        cases.Opening(
            kind="provider_configuration",
            fingerprint=fingerprint_of(failure.misconfigured),
            title=f"{failure.misconfigured} refuses our credentials",
            subject_type="provider",
            subject_id=failure.misconfigured,
            cause=failure.error,
            severity=CaseSeverity.LOW if failure.misconfigured in EXPENDABLE else None,
        )
    )
