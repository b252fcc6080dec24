"""Every kind of message: what it is about, by which channels, and what its text needs.

A kind is the name of its templates (`notifications.rendering`). What it needs are ids,
titles, moments and amounts, never what identifies a person. What it may have as well:
`venue_address`, for the foot of mails; `booking_id` and `sequence`, for calendar files;
`was_closed` of an offer that lapsed, `was_local` of a confirmation that says a move
too, `by_venue` of a cancellation, `is_settled` of
a refund that was paid in another way. `method` is CARD or how it was paid by hand,
`tax_rate` percent as text (`19.00`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import TextChoices

from notifications.errors import UnknownTemplate
from notifications.states import Channel

_SLOT = frozenset({"title", "venue_name", "time_zone", "start_time", "end_time"})
# What goes back, by card or at the venue, and what is kept or still to be paid.
_FEE = frozenset({"fee_kept_minor", "fee_due_minor"})
_MONEY_BACK = _FEE | {"currency", "refund_minor", "payout_minor"}
_SOLD = _SLOT | {"reference", "currency"}
# What a calendar file does with an appointment (RFC 5546).
PUBLISH, CANCEL = "PUBLISH", "CANCEL"
BOTH = (Channel.EMAIL, Channel.PUSH)


class Topic(TextChoices):
    """What customers may choose to hear of, by each channel."""

    BOOKINGS = "BOOKINGS", "Bookings"
    REMINDERS = "REMINDERS", "Reminders"
    WAITLIST = "WAITLIST", "Waitlist"
    MONEY = "MONEY", "Money"
    CANCELLATIONS = "CANCELLATIONS", "Cancellations"


#: Of these everybody is told.
ALWAYS = frozenset({Topic.MONEY, Topic.CANCELLATIONS})


class Urgency:
    """Which goes out first when there are more than may go at once; a lower number."""

    NOW = 1  # it is pointless in minutes
    SOON = 2
    LATER = 3


@dataclass(frozen=True)
class Kind:
    """What a message is made of; a new version for a new meaning of its context.

    `must_arrive`: a person tells the customer if no channel could. `calendar`: what its
    calendar file does with the appointment, if it has one.
    """

    topic: Topic
    needs: frozenset[str]
    version: int = 1
    channels: tuple[Channel, ...] = BOTH
    urgency: int = Urgency.SOON
    must_arrive: bool = True
    calendar: str = ""

    @property
    def is_optional(self) -> bool:
        """Whether customers may choose not to hear of it."""
        return self.topic not in ALWAYS


KINDS: Mapping[str, Kind] = {
    "hold_expiring": Kind(
        Topic.REMINDERS,
        _SLOT | {"currency", "price_minor", "expires_at"},
        # By mail as well if it was offered: nobody asked for it just now.
        channels=BOTH,
        urgency=Urgency.NOW,
        must_arrive=False,
    ),
    "booking_confirmed": Kind(
        Topic.BOOKINGS, _SOLD | {"price_minor"}, calendar=PUBLISH
    ),
    "booking_moved": Kind(Topic.BOOKINGS, _SOLD | {"was_local"}, calendar=PUBLISH),
    "booking_reminder": Kind(
        Topic.REMINDERS,
        _SOLD | {"due_minor"},
        urgency=Urgency.LATER,
        must_arrive=False,
    ),
    "booking_cancelled": Kind(
        Topic.CANCELLATIONS,
        _SLOT | _MONEY_BACK | {"reference", "in_dispute_minor"},
        version=2,
        calendar=CANCEL,
    ),
    "venue_closed": Kind(Topic.CANCELLATIONS, _SOLD),
    "venue_open_again": Kind(Topic.CANCELLATIONS, _SOLD),
    "no_show_fee": Kind(Topic.MONEY, _SOLD | _FEE),
    "receipt": Kind(
        Topic.MONEY,
        _SOLD | {"number", "method", "paid_minor", "tax_minor", "tax_rate", "paid_at"},
        channels=(Channel.EMAIL,),
        urgency=Urgency.LATER,
        must_arrive=False,  # it says what the customer was told already
    ),
    "refund_promised": Kind(Topic.MONEY, _SLOT | _MONEY_BACK | {"reference"}),
    "refund_succeeded": Kind(Topic.MONEY, _SOLD | {"refund_minor"}),
    "refund_delayed": Kind(Topic.MONEY, _SOLD | {"refund_minor"}),
    "refund_elsewhere": Kind(Topic.MONEY, _SOLD | {"refund_minor"}),
    "late_payment_refunded": Kind(
        Topic.MONEY, _SLOT | _MONEY_BACK | {"is_all"}, version=2
    ),
    # What the coach wrote is in the app, and in no mail.
    "feedback_ready": Kind(
        Topic.BOOKINGS,
        _SLOT | {"reference"},
        urgency=Urgency.LATER,
        must_arrive=False,
    ),
    "waitlist_offered": Kind(
        Topic.WAITLIST,
        _SLOT | {"price_minor", "currency", "offered_until"},
        urgency=Urgency.NOW,
    ),
    "waitlist_lapsed": Kind(
        Topic.WAITLIST, _SLOT | {"currency"}, urgency=Urgency.LATER
    ),
}


def find_kind(name: str, context: Mapping[str, Any]) -> Kind:
    """The kind of this name, if the context has all that it needs.

    Raises:
        UnknownTemplate: there is none, or something is missing.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownTemplate(f"There is no template {name}.")
    if missing := kind.needs - context.keys():
        raise UnknownTemplate(f"{name} also needs: {', '.join(sorted(missing))}.")
    return kind
