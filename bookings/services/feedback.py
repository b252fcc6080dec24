"""Coaches write notes, accept what the customer may read, and have it made again.

What is written is kept in the transaction that answers, whatever OpenAI does (F88), and
never changed: what the customer reads is a text of its own.
"""

from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from bookings.errors import BookingHasChanged, BookingNotFound
from bookings.locks import lock_feedback
from bookings.models import Booking, Drill, SessionFeedback, Skill
from bookings.services.plain import to_plain
from bookings.services.proposal import propose_text
from bookings.services.sending import why_not_sent
from bookings.services.wording import about, slot_of
from bookings.states import ENHANCEMENT_MOVES, BookingStatus, EnhancementStatus
from notifications.services.messages import queue_message
from recovery import audit, idempotency
from recovery.models import AuditEntry
from slotbase.accounts.locks import lock_user
from slotbase.accounts.queries import is_to_be_forgotten
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import InvalidState, TooMany, ValidationFailed
from slotbase.lib.states import require_move

SUBJECT = SessionFeedback.subject()
ASKED_AGAIN = f"{SUBJECT}.asked_again"
ASKED_AGAIN_A_DAY = 5
READY = "feedback_ready"  # the message
ENHANCE = "bookings.enhance_feedback"  # the task (bookings/tasks.py)
TOOK_PLACE = frozenset(
    {BookingStatus.CONFIRMED, BookingStatus.CHECKED_IN, BookingStatus.COMPLETED}
)
GOING_ON = frozenset({EnhancementStatus.PENDING, EnhancementStatus.RUNNING})


def get_feedback(*, booking_id: UUID, user_id: UUID) -> SessionFeedback:
    """What a coach wrote; for the customer, once it is accepted.

    Raises:
        BookingNotFound: there is none for this person.
    """
    rows = SessionFeedback.objects.select_related(
        "booking__resource", "booking__customer", "coach"
    )
    row = rows.filter(booking=booking_id).first()
    if row is None or not _may_read(row, user_id):
        raise BookingNotFound
    return row


def _may_read(row: SessionFeedback, user_id: UUID) -> bool:
    is_theirs = row.booking.customer_id == user_id and row.accepted_at is not None
    return is_theirs or is_coach_of(row.booking, user_id)


def is_coach_of(booking: Booking, user_id: UUID) -> bool:
    """Whether they are the coach now. Nobody is, of what they booked themselves."""
    is_own = booking.customer_id == user_id
    return booking.resource.coach_id == user_id and not is_own


# --- Writing ------------------------------------------------------------------


@retry_on_conflict
def write_feedback(
    *,
    booking_id: UUID,
    coach_id: UUID,
    notes: str,
    once: idempotency.Once | None = None,
) -> tuple[SessionFeedback, bool]:
    """Keep a coach's notes; says whether they are new or were there already.

    Raises:
        BookingNotFound: it is not a session of this coach.
        InvalidState: it has not begun, or did not take place, or has other notes, or
            its customer is erased.
    """
    idempotency.begin(once, status=201, object_id=booking_id)
    found = Booking.objects.select_related("resource").filter(pk=booking_id)
    booking = found.first()
    if booking is None or not is_coach_of(booking, coach_id):
        raise BookingNotFound
    row = SessionFeedback(booking=booking, coach_id=coach_id, notes=notes)
    is_new = not SessionFeedback.objects.filter(booking=booking).exists()
    if is_new:
        _require_session(booking)
        _require_customer(booking.customer_id)
        # Of two devices at once, the second waits here and finds the first one's.
        SessionFeedback.objects.bulk_create([row], ignore_conflicts=True)
    kept = _lock(booking_id=booking_id)
    if kept.pk == row.pk:
        _record(kept, "written", audit.Actor.customer(coach_id), ("", kept.status))
        after_commit(ENHANCE, id=kept.pk)
        return kept, True
    if kept.notes != notes:
        raise InvalidState(
            "There are other notes already, which stay as they were written. Edit the"
            " text that the customer reads when you accept it."
        )
    idempotency.correct(once, status=200, object_id=booking_id)
    return kept, False


def _require_session(booking: Booking) -> None:
    _require_took_place(booking)
    if booking.start_time > read_clock():
        raise InvalidState("The session has not begun.")


@transaction_required
def _require_customer(customer_id: UUID) -> None:
    """An erasure takes turns with this: it finds the notes, or they find it."""
    lock_user(customer_id)
    if is_to_be_forgotten(customer_id):
        raise InvalidState("The customer is erased: nothing more is kept of them.")


def _require_took_place(booking: Booking) -> None:
    """Also later: nobody may have come, or it was cancelled after the notes."""
    if booking.status not in TOOK_PLACE:
        raise InvalidState(f"The booking is {booking.status}: there was no session.")


# --- Accepting ----------------------------------------------------------------


@dataclass(frozen=True)
class Wish:
    """What the customer may read; None is what was proposed."""

    version: int
    text: str | None = None
    skills: list[int] | None = None
    drills: list[int] | None = None


def accept_feedback(
    *,
    booking_id: UUID,
    coach_id: UUID,
    once: idempotency.Once | None = None,
    **wish: Any,
) -> SessionFeedback:
    """Let the customer read it, from now on this; the first time they are told.

    Takes what a `Wish` has.

    Raises:
        BookingNotFound: it is not a session of this coach, or has no notes.
        InvalidState: the session did not take place after all.
        BookingHasChanged: it is not the version any more that they looked at.
        ValidationFailed: a skill or a drill is not of the venue's catalogue, or there
            is neither a text nor anything that was proposed.
    """
    return _accept(booking_id, coach_id, Wish(**wish), once)


@retry_on_conflict
def _accept(
    booking_id: UUID, coach_id: UUID, wish: Wish, once: idempotency.Once | None
) -> SessionFeedback:
    idempotency.begin(once, status=200, object_id=booking_id)
    row = _lock_of_coach(booking_id, coach_id)
    _require_took_place(row.booking)
    if row.version != wish.version:
        raise BookingHasChanged("It is not as you saw it any more: read it again.")
    is_first = row.accepted_at is None
    row.accepted_text = _text_of(wish, row)
    row.accepted_skills = _choose(Skill, "skills", wish.skills, row)
    row.accepted_drills = _choose(Drill, "drills", wish.drills, row)
    row.accepted_at, row.version = read_clock(), row.version + 1
    row.accepted_by_id = coach_id
    fields = ("text", "skills", "drills", "at", "by")
    row.save(update_fields=[*(f"accepted_{each}" for each in fields), "version"])
    _record(row, "accepted", audit.Actor.customer(coach_id))
    if is_first:
        _tell_customer(row)
    return row


def _text_of(wish: Wish, row: SessionFeedback) -> str:
    text = to_plain(wish.text or propose_text(row))
    if not text:  # the notes went with whoever wrote them
        raise ValidationFailed(text="Nothing is proposed: write what they may read.")
    return text


def _choose(
    of: type[Skill | Drill], name: str, ids: list[int] | None, row: SessionFeedback
) -> list[int]:
    """Those that were given, each once; else those proposed that are still taught."""
    wanted = getattr(row, name) if ids is None else ids
    taught = of.of_these(wanted, row.booking.resource.venue_id)
    if ids is not None and {*taught} != {*ids}:
        raise ValidationFailed(**{name: "Not all of these are taught at this venue."})
    return taught


@transaction_required
def _tell_customer(row: SessionFeedback) -> None:
    """That it is there: what it says stands in the app alone."""
    queue_message(
        template=READY,
        context={**slot_of(row.booking), "reference": row.booking.reference},
        dedupe_key=f"{READY}:{row.booking_id}",
        **about("booking", row.booking),
    )


# --- Asking again -------------------------------------------------------------


@retry_on_conflict
def ask_again(
    *, booking_id: UUID, coach_id: UUID, once: idempotency.Once | None = None
) -> SessionFeedback:
    """Have the notes enhanced once more; while that goes on, this changes nothing.

    Raises:
        BookingNotFound: it is not a session of this coach, or has no notes.
        InvalidState: notes are not sent, here or at all; or the session did not
            take place after all.
        TooMany: it was asked for five times on this day.
    """
    idempotency.begin(once, status=200, object_id=booking_id)
    row = _lock_of_coach(booking_id, coach_id)
    return _ask_again(row, audit.Actor.customer(coach_id))


@retry_on_conflict
def ask_again_as_staff(*, feedback_id: UUID, staff_id: UUID) -> SessionFeedback:
    """The same for staff, who see that it was given up.

    Raises:
        BookingNotFound: there is none.
        InvalidState: notes are not sent, here or at all; or the session did not
            take place after all.
        TooMany: it was asked for five times on this day.
    """
    return _ask_again(_lock(pk=feedback_id), audit.Actor.staff(staff_id))


@transaction_required
def _ask_again(row: SessionFeedback, actor: audit.Actor) -> SessionFeedback:
    _require_took_place(row.booking)
    if row.status in GOING_ON:
        return row
    if words := why_not_sent(row):
        raise InvalidState(words)
    _require_turns_left(row)
    was, to = row.status, EnhancementStatus.PENDING
    require_move(ENHANCEMENT_MOVES, was, to)
    SessionFeedback.objects.filter(pk=row.pk).update(
        status=to,
        fallback_reason="",
        attempts=0,
        deaths=0,
        last_error="",
        next_run_at=Now(),
        asked_at=Now(),
        version=row.version + 1,
    )
    _record(row, "asked_again", actor, (was, to))
    after_commit(ENHANCE, id=row.pk)
    return _lock(pk=row.pk)


def _require_turns_left(row: SessionFeedback) -> None:
    midnight = read_clock().astimezone(UTC).replace(hour=0, minute=0, second=0)
    asked = AuditEntry.objects.filter(
        subject_type=SUBJECT,
        subject_id=str(row.pk),
        action=ASKED_AGAIN,
        at__gte=midnight,
    )
    if asked.count() >= ASKED_AGAIN_A_DAY:
        raise TooMany(
            f"It was asked for again {ASKED_AGAIN_A_DAY} times today. Accept it with an"
            " edit of your own, or ask tomorrow."
        )


# --- Rows ---------------------------------------------------------------------


@transaction_required
def _lock_of_coach(booking_id: UUID, coach_id: UUID) -> SessionFeedback:
    row = _lock(booking_id=booking_id)
    if not is_coach_of(row.booking, coach_id):
        raise BookingNotFound
    return row


@transaction_required
def _lock(**which: UUID) -> SessionFeedback:
    row = lock_feedback(**which)
    if row is None:
        raise BookingNotFound
    return row


@transaction_required
def _record(
    row: SessionFeedback,
    verb: str,
    actor: audit.Actor,
    move: tuple[str, str] = ("", ""),
) -> None:
    audit.record(
        actor=actor,
        action=f"{SUBJECT}.{verb}",
        subject=SUBJECT,
        ids=[row.pk],
        move=move,
    )
