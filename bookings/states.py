"""The states of holds and bookings, and the only legal moves between them."""

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
