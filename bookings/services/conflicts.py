"""The cases of bookings that cannot take place as they were sold."""

from bookings.locks import lock_running_bookings
from bookings.models import Booking, DateException
from bookings.queries import list_closures_over
from bookings.services import messages
from recovery import cases
from recovery.states import CaseSeverity
from slotbase.lib.db import transaction_required

CLOSURE = "closure_conflict"


def closure_conflict_of(booking: Booking) -> str:
    """The fingerprint of the case about a booking inside closures."""
    return f"{CLOSURE}:{booking.pk}"


@transaction_required
def open_conflict(booking: Booking, closure: DateException) -> None:
    """A booking was sold for a time that is closed now."""
    cases.open_case(
        cases.Opening(
            kind=CLOSURE,
            fingerprint=closure_conflict_of(booking),
            title=f"Sold, and closed now: {booking.hold}",
            cause=f"It is closed on {closure.date:%Y-%m-%d}.",
            subject_type="booking",
            subject_id=str(booking.pk),
            venue_id=booking.resource.venue_id,
            customer_id=booking.customer_id,
            reference=booking.reference,
            amount_minor=booking.price_minor or None,
            currency=booking.currency,
        )
    )
    messages.tell_closed(booking)


@transaction_required
def report_conflict(booking: Booking) -> None:
    """A booking was made of a hold that was paid: staff see to it if it is closed."""
    for closure in list_closures_over(booking.resource, booking.slot)[:1]:
        open_conflict(booking, closure)


@transaction_required
def close_conflict(booking: Booking, reason: str) -> None:
    """The booking is inside of no closure any more, or is none any more."""
    cases.close_by_itself(closure_conflict_of(booking), reason)


@transaction_required
def open_again(booking: Booking, reason: str) -> None:
    """It can take place after all."""
    close_conflict(booking, reason)
    messages.tell_open_again(booking)


@transaction_required
def close_what_is_open(venue_id: int) -> None:
    """Close the cases of those bookings of a venue that are in no closure any more."""
    ids = cases.list_open_subjects(CLOSURE, venue_id=venue_id)
    for booking in lock_running_bookings(Booking.objects.filter(pk__in=ids)):
        if not list_closures_over(booking.resource, booking.slot):
            open_again(booking, "It is open then.")


cases.register(
    cases.Kind(
        CLOSURE,
        CaseSeverity.HIGH,
        "front_desk",
        "A booking was sold for a time that is closed now.",
        opened_when="a closure touches a sold booking, or a hold inside is paid",
        closes_itself_when="it is moved, cancelled or over, or it is open again",
        actions=("move", "cancel"),
    )
)
