"""Notes of coaches are enhanced from their row: OpenAI may fail, the notes stay (F88).

Nobody waits for it: the row is made with the notes, and a worker does what is due. What
the model wrote is kept beside the notes until the coach accepts it (ADR 0044).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from bookings.locks import lock_feedback
from bookings.models import Drill, SessionFeedback, Skill
from bookings.services import token_budget
from bookings.services.plain import shows_something, to_plain
from bookings.services.prompt import Prompt, write_prompt
from bookings.services.pseudonyms import can_hide
from bookings.services.sending import why_not_sent
from bookings.states import ENHANCEMENT_MOVES, EnhancementStatus, FallbackReason
from recovery import audit, rowqueue
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.failpoints import failpoint
from slotbase.lib.states import require_move
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.openai import client

BY = audit.Actor.system("ai")
SUBJECT = SessionFeedback.subject()
PATIENCE = timedelta(days=3)  # then the notes stay as they are
NAMELESS_SECONDS = 300  # Clerk may tell meanwhile who they are
HOUR_SECONDS = 3600  # over which notes that waited for a new day are spread
REASONS = {
    "timeout": FallbackReason.TIMEOUT,
    "rate_limited": FallbackReason.RATE_LIMITED,
    "refused": FallbackReason.REFUSED,
    "truncated": FallbackReason.TRUNCATED,
    "invalid_output": FallbackReason.INVALID_OUTPUT,
}
GOING_ON = {EnhancementStatus.PENDING, EnhancementStatus.RUNNING}
#: Nobody was asked, or refused before anything was written: it costs nothing.
UNPAID = {Outcome.NOT_EXECUTED, Outcome.CONFIGURATION}


@dataclass(frozen=True)
class Made:
    """What is to be kept: ids of what the venue teaches, and plain text."""

    text: str
    skills: list[int]
    drills: list[int]
    made_from: str


@dataclass(frozen=True)
class Known(rowqueue.NotCalled):
    """The same was asked before: it is not paid for twice."""

    made: Made


@dataclass(frozen=True)
class Unmade(rowqueue.NotCalled):
    """Why OpenAI was not even asked; it is asked when this is due, if it is."""

    to: EnhancementStatus
    reason: FallbackReason
    due: datetime | None = None


_NOT_SENT = Unmade(EnhancementStatus.SKIPPED, FallbackReason.DISABLED)


@dataclass(frozen=True)
class _Plan:
    """A call that may be made now, and what was taken of the budget for it."""

    prompt: Prompt
    day: Any
    taken: int


def enhance_due(**only: Any) -> int:
    """Enhance what is due; returns how many rows were tried."""
    return rowqueue.run_due(QUEUE, **only)


def _call(row: SessionFeedback) -> Made | Known | Unmade:
    plan = _prepare(row)
    if not isinstance(plan, _Plan):
        return plan
    failpoint("ai.prepared")
    answer = _ask(plan)
    return Made(
        text=_plain(answer.text),
        skills=_ids(answer.skills),
        drills=_ids(answer.drills),
        made_from=plan.prompt.made_from,
    )


def _ask(plan: _Plan) -> client.Answer:
    prompt, used = plan.prompt, plan.taken
    try:
        answer = client.enhance(
            instructions=prompt.instructions,
            notes=prompt.notes,
            skills=prompt.skills,
            drills=prompt.drills,
        )
        used = answer.tokens
    except ProviderError as error:
        used = 0 if error.outcome in UNPAID or error.code == "rejected" else used
        raise
    finally:
        token_budget.correct(plan.day, taken=plan.taken, used=used)
    return answer


def _plain(text: str) -> str:
    """Without what no reader sees; lines stay.

    Raises:
        ProviderError: nothing is left.
    """
    plain = to_plain(text)[: client.LONGEST_TEXT]
    if not shows_something(plain):
        raise ProviderError(Outcome.REFUSED, provider="openai", code="invalid_output")
    return plain


def _ids(codes: tuple[str, ...]) -> list[int]:
    return [int(code[1:]) for code in dict.fromkeys(codes)]


# --- Before the call ----------------------------------------------------------


@retry_on_conflict
def _prepare(row: SessionFeedback) -> _Plan | Known | Unmade:
    """Commit that OpenAI is asked from now on, or say why not."""
    feedback = _lock_leased(row)
    if why_not_sent(feedback):
        return _NOT_SENT
    if not _has_names(feedback):
        return _without_names(feedback)
    prompt = write_prompt(feedback)
    if known := _find_known(feedback, prompt.made_from):
        return Known(known)
    # Before anything is written: while OpenAI is away, rows stay as they are.
    client.require_ready()
    if (day := token_budget.take(prompt.most_tokens)) is None:
        return _without_budget(feedback)
    _record_move(feedback, EnhancementStatus.RUNNING)
    running = SessionFeedback.objects.filter(pk=feedback.pk)
    running.update(status=EnhancementStatus.RUNNING)
    return _Plan(prompt, day, prompt.most_tokens)


def _has_names(row: SessionFeedback) -> bool:
    """Nobody can be hidden who is not known: neither is anything sent."""
    return can_hide(row.booking.customer.name) and can_hide(row.coach.name)


def _find_known(row: SessionFeedback, made_from: str) -> Made | None:
    """An answer to just this; but whoever has it already wants another one."""
    if row.enhanced_text and row.made_from == made_from:
        return None
    same = SessionFeedback.objects.filter(
        made_from=made_from, status=EnhancementStatus.DONE
    )
    known = same.exclude(pk=row.pk).order_by("-id").first()
    if known is None:
        return None
    return Made(known.enhanced_text, known.skills, known.drills, made_from)


def _without_names(row: SessionFeedback) -> Unmade:
    due = read_clock() + rowqueue.with_jitter(NAMELESS_SECONDS)
    return _wait(row, FallbackReason.UNAVAILABLE, due) or _NOT_SENT


def _without_budget(row: SessionFeedback) -> Unmade:
    end = Unmade(EnhancementStatus.DEGRADED, FallbackReason.BUDGET)
    return _wait(row, FallbackReason.BUDGET, _next_day(read_clock())) or end


def _wait(row: SessionFeedback, why: FallbackReason, due: datetime) -> Unmade | None:
    """It costs no attempt to wait, but has an end; an enhanced text need not wait."""
    is_over = read_clock() - row.asked_at >= PATIENCE or row.enhanced_text
    return None if is_over else Unmade(EnhancementStatus.PENDING, why, due)


# --- What came of it ----------------------------------------------------------


def _record(row: SessionFeedback, answer: Made | Known | Unmade) -> Mapping[str, Any]:
    feedback = _lock_leased(row)
    if isinstance(answer, Unmade):
        return _put_aside(feedback, answer)
    made = answer.made if isinstance(answer, Known) else answer
    venue_id = feedback.booking.resource.venue_id
    return {
        **_move(feedback, EnhancementStatus.DONE),
        "enhanced_text": made.text,
        "skills": Skill.of_these(made.skills, venue_id),
        "drills": Drill.of_these(made.drills, venue_id),
        "made_from": made.made_from,
        "enhanced_at": Now(),
    }


@transaction_required
def _put_aside(row: SessionFeedback, unmade: Unmade) -> Mapping[str, Any]:
    """It was not tried, so the attempt does not count."""
    values = _move(row, unmade.to, unmade.reason)
    return {**values, "next_run_at": unmade.due, "attempts": row.attempts - 1}


def _next_day(now: datetime) -> datetime:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    spread = rowqueue.with_jitter(HOUR_SECONDS) - timedelta(minutes=48)  # none at least
    return midnight + timedelta(days=1) + spread


def _fail(
    row: SessionFeedback,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    feedback = _lock_leased(row)
    reason = REASONS.get(failure.code, FallbackReason.UNAVAILABLE)
    if not is_over:
        return _move(feedback, EnhancementStatus.PENDING, reason)
    is_ours = failure.outcome is None or failure.code == "rejected"
    ended = EnhancementStatus.FAILED if is_ours else EnhancementStatus.DEGRADED
    return _move(feedback, ended, reason)


@transaction_required
def _move(
    row: SessionFeedback, to: EnhancementStatus, reason: str = ""
) -> dict[str, Any]:
    """What changes with a move; an end is a new version of what the coach sees.

    An enhanced text is not lost because the next one failed: the row is done with the
    former one, and its history says why.
    """
    if to in GOING_ON:
        _record_move(row, to, reason)
        return {"status": to, "fallback_reason": reason}
    ended = EnhancementStatus.DONE if row.enhanced_text else to
    _record_move(row, ended, reason)
    shown = "" if ended == EnhancementStatus.DONE else reason
    return {"status": ended, "fallback_reason": shown, "version": row.version + 1}


@transaction_required
def _record_move(row: SessionFeedback, to: EnhancementStatus, reason: str = "") -> None:
    if row.status == to:
        return
    require_move(ENHANCEMENT_MOVES, row.status, to)
    is_former = to == EnhancementStatus.DONE and reason
    audit.record(
        actor=BY,
        action=f"{SUBJECT}.{'kept_former' if is_former else to.lower()}",
        subject=SUBJECT,
        ids=[row.pk],
        move=(row.status, to),
        reason=reason.lower(),
    )


@transaction_required
def _lock_leased(row: SessionFeedback) -> SessionFeedback:
    """Raises LateRecord: somebody else has it now, or it was erased."""
    found = lock_feedback(pk=row.pk, lease_token=row.lease_token)
    if found is None:
        raise rowqueue.LateRecord
    return found


QUEUE = rowqueue.RowQueue(
    name="ai",
    model=SessionFeedback,
    call=_call,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: settings.AI_RETRY_SECONDS,
    provider="openai",
)
