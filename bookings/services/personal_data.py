"""What bookings keeps of a person: what they booked, and what was typed about it."""

from collections.abc import Iterator
from uuid import UUID

from bookings.models import Booking, BookingHold, Resource, WaitlistEntry
from bookings.states import OPEN_ENTRIES, BookingStatus, HoldStatus
from recovery.personal import Traces
from slotbase.accounts.services.personal_data import Part, Sections, register
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required

NOT_OVER = (BookingStatus.CONFIRMED, BookingStatus.CHECKED_IN, BookingStatus.CANCELLING)
_SLOT = ("resource__name", "start_time", "end_time", "units", "status")


def _export(traces: Traces) -> Sections:
    mine = {"customer": traces.user_id}
    bookings = Booking.objects.filter(**mine).order_by("pk")
    holds = BookingHold.objects.filter(**mine).order_by("pk")
    waits = WaitlistEntry.objects.filter(**mine).order_by("pk")
    priced = ("id", *_SLOT, "price_minor", "currency", "created_at")
    return {
        "bookings": bookings.values(
            *priced, "reference", "cancelled_at", "cancel_reason", "cancellation_terms"
        ),
        "holds": holds.values(*priced, "source", "expires_at", "released_at"),
        "waitlist": waits.values("id", *_SLOT, "joined_at", "ended_at", "end_reason"),
    }


@transaction_required
def _erase(traces: Traces) -> None:
    """What people typed; when what was booked is the business of the venue."""
    mine = {"customer": traces.user_id}
    Booking.objects.filter(**mine).exclude(cancel_reason="").update(cancel_reason="")
    WaitlistEntry.objects.filter(**mine).exclude(end_reason="").update(end_reason="")


def _open_business(user_id: UUID) -> Iterator[str]:
    bookings = Booking.objects.filter(customer=user_id, status__in=NOT_OVER)
    if bookings.exists():
        yield "A booking is not over yet: cancel it first."
    holds = BookingHold.objects.filter(customer=user_id, status=HoldStatus.ACTIVE)
    if holds.filter(expires_at__gt=Now()).exists():
        yield "A slot is being held: release it first."
    waits = WaitlistEntry.objects.filter(customer=user_id, status__in=OPEN_ENTRIES)
    if waits.exists():
        yield "There is a place on a waitlist: leave it first."
    if Resource.objects.filter(coach=user_id).exists():
        yield "They are the coach of something that can be booked: change that first."


register(
    Part(
        name="bookings",
        holds={
            "bookings.Booking": frozenset({"cancel_reason"}),
            "bookings.WaitlistEntry": frozenset({"end_reason"}),
        },
        export=_export,
        erase=_erase,
        open_business=_open_business,
    )
)
