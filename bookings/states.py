"""The states of holds, bookings, the waitlist and feedback, and their legal moves."""

from django.db.models import TextChoices


class HoldStatus(TextChoices):
    ACTIVE = "ACTIVE"
    CONFIRMED = "CONFIRMED"
    EXPIRED = "EXPIRED"
    RELEASED = "RELEASED"


HOLD_MOVES: dict[str, frozenset[str]] = {
    HoldStatus.ACTIVE: frozenset(
        {HoldStatus.CONFIRMED, HoldStatus.EXPIRED, HoldStatus.RELEASED}
    ),
    HoldStatus.CONFIRMED: frozenset(),
    HoldStatus.EXPIRED: frozenset(),
    HoldStatus.RELEASED: frozenset(),
}


class BookingStatus(TextChoices):
    CONFIRMED = "CONFIRMED"
    CHECKED_IN = "CHECKED_IN"
    COMPLETED = "COMPLETED"
    NO_SHOW = "NO_SHOW"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


BOOKING_MOVES: dict[str, frozenset[str]] = {
    BookingStatus.CONFIRMED: frozenset(
        {
            BookingStatus.CHECKED_IN,
            BookingStatus.COMPLETED,
            BookingStatus.NO_SHOW,
            BookingStatus.CANCELLING,
        }
    ),
    # Back to CONFIRMED or CHECKED_IN: staff undo on the same day, with a reason.
    BookingStatus.CHECKED_IN: frozenset(
        {BookingStatus.COMPLETED, BookingStatus.CONFIRMED}
    ),
    BookingStatus.NO_SHOW: frozenset({BookingStatus.CHECKED_IN}),
    BookingStatus.COMPLETED: frozenset(),
    BookingStatus.CANCELLING: frozenset({BookingStatus.CANCELLED}),
    BookingStatus.CANCELLED: frozenset(),
}


class WaitlistStatus(TextChoices):
    WAITING = "WAITING"
    OFFERED = "OFFERED"
    CLAIMED = "CLAIMED"
    LEFT = "LEFT"
    LAPSED = "LAPSED"


# An end is final: who wants on joins anew, at the end of the line (ADR 0025).
WAITLIST_MOVES: dict[str, frozenset[str]] = {
    # LAPSED: its time came without an offer.
    WaitlistStatus.WAITING: frozenset(
        {WaitlistStatus.OFFERED, WaitlistStatus.LEFT, WaitlistStatus.LAPSED}
    ),
    # LEFT: declined, left or released. LAPSED: the offer ran out.
    WaitlistStatus.OFFERED: frozenset(
        {WaitlistStatus.CLAIMED, WaitlistStatus.LEFT, WaitlistStatus.LAPSED}
    ),
    WaitlistStatus.CLAIMED: frozenset(),
    WaitlistStatus.LEFT: frozenset(),
    WaitlistStatus.LAPSED: frozenset(),
}
OPEN_ENTRIES = (WaitlistStatus.WAITING, WaitlistStatus.OFFERED)


class HoldSource(TextChoices):
    CUSTOMER = "CUSTOMER"
    STAFF = "STAFF"
    WAITLIST = "WAITLIST"
    MOVE = "MOVE"
    LATE_PAYMENT = "LATE_PAYMENT"


class ResourceKind(TextChoices):
    COURT = "COURT"
    COACH = "COACH"
    ROOM = "ROOM"
    CLASS = "CLASS"
    OTHER = "OTHER"


class PaymentMode(TextChoices):
    FREE = "FREE"
    ONLINE = "ONLINE"
    AT_VENUE = "AT_VENUE"
    EITHER = "EITHER"


class ExceptionKind(TextChoices):
    HOURS = "HOURS", "Special hours instead of the weekly ones"
    CLOSED = "CLOSED", "Closed"


class EnhancementStatus(TextChoices):
    PENDING = "PENDING", "Waiting"
    RUNNING = "RUNNING", "Being written"
    DONE = "DONE", "Done"
    DEGRADED = "DEGRADED", "Given up: the notes stand as they are"
    SKIPPED = "SKIPPED", "Not asked for"
    FAILED = "FAILED", "Failed by a fault of ours"


# In order: the picture of the moves is drawn in it.
_ENHANCED_OR_NOT = (
    EnhancementStatus.DONE,
    EnhancementStatus.DEGRADED,
    EnhancementStatus.SKIPPED,
    EnhancementStatus.FAILED,
)
ENHANCEMENT_MOVES: dict[str, frozenset[str]] = {
    # Without a call: done before with the same words, switched off, or too late. DONE
    # also with the text of the last time, if asking again fails.
    EnhancementStatus.PENDING: frozenset(
        {EnhancementStatus.RUNNING, *_ENHANCED_OR_NOT}
    ),
    # PENDING: to be tried again later.
    EnhancementStatus.RUNNING: frozenset(
        {EnhancementStatus.PENDING, *_ENHANCED_OR_NOT}
    ),
    # The coach asks again.
    **dict.fromkeys(_ENHANCED_OR_NOT, frozenset({EnhancementStatus.PENDING})),
}


class FallbackReason(TextChoices):
    """Why feedback is not enhanced, in our words: never in those of the provider."""

    TIMEOUT = "TIMEOUT", "No answer in time"
    RATE_LIMITED = "RATE_LIMITED", "Too many requests"
    UNAVAILABLE = "UNAVAILABLE", "Could not be reached, or failed"
    REFUSED = "REFUSED", "The model refused"
    TRUNCATED = "TRUNCATED", "The answer was cut off"
    INVALID_OUTPUT = "INVALID_OUTPUT", "The answer had another form"
    DISABLED = "DISABLED", "Switched off"
    BUDGET = "BUDGET", "The budget of the day is used up"
