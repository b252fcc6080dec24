"""What bookings keeps of a person: what they booked, and what was typed about it."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db.models import Q

from bookings.models import (
    Booking,
    BookingHold,
    Drill,
    Resource,
    SessionFeedback,
    Skill,
    WaitlistEntry,
)
from bookings.states import OPEN_ENTRIES, BookingStatus, HoldStatus
from recovery.personal import Traces
from slotbase.accounts.services.personal_data import Part, Sections, register
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required

NOT_OVER = (BookingStatus.CONFIRMED, BookingStatus.CHECKED_IN, BookingStatus.CANCELLING)
_MADE, _TOLD = ("skills", "drills"), ("accepted_skills", "accepted_drills")
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
        **_feedback(traces),
    }


def _feedback(traces: Traces) -> Sections:
    """What a customer may read, what one coach wrote, and what one accepted.

    After a change of coach the last two may be different people.
    """
    rows = SessionFeedback.objects.order_by("pk")
    about_me = rows.filter(booking__customer=traces.user_id, accepted_at__isnull=False)
    by_me = rows.filter(coach=traces.user_id)
    accepted_by_me = rows.filter(accepted_by=traces.user_id)
    told = ("id", "booking", *_TOLD, "accepted_text", "accepted_at")
    made = ("id", "booking", *_MADE, "notes", "enhanced_text", "created_at")
    return {
        "feedback": _name_taught(about_me.values(*told), *_TOLD),
        "feedback_written": _name_taught(by_me.values(*made), *_MADE),
        "feedback_accepted": _name_taught(accepted_by_me.values(*told), *_TOLD),
    }


def _name_taught(
    rows: Iterable[dict[str, Any]], skills: str, drills: str
) -> Iterator[dict[str, Any]]:
    """With names in the place of ids, as the app shows them."""
    found = [*rows]
    for field, of in ((skills, Skill), (drills, Drill)):
        ids = {each for row in found for each in row[field]}
        names = {pk: each.name for pk, each in of._default_manager.in_bulk(ids).items()}  # noqa: SLF001 - the model is one of two
        for row in found:
            row[field] = [names[pk] for pk in row[field] if pk in names]
    yield from found


@transaction_required
def _erase(traces: Traces) -> None:
    """What people typed; when what was booked is the business of the venue."""
    mine = {"customer": traces.user_id}
    Booking.objects.filter(**mine).exclude(cancel_reason="").update(cancel_reason="")
    WaitlistEntry.objects.filter(**mine).exclude(end_reason="").update(end_reason="")
    # What a coach gave to a customer is the customer's; all else of a session goes.
    by_me = Q(coach=traces.user_id)
    nobodys = Q(booking__customer=traces.user_id) | by_me & Q(accepted_at=None)
    SessionFeedback.objects.filter(nobodys).delete()
    SessionFeedback.objects.filter(by_me).exclude(notes="").update(notes="")


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


def _ids(user_id: UUID) -> Iterator[str]:
    """Of all that approvals, cases and dead letters can be about."""
    whose = {"customer": user_id}
    for rows in (
        Booking.objects.filter(**whose),
        BookingHold.objects.filter(**whose),
        WaitlistEntry.objects.filter(**whose),
        SessionFeedback.objects.filter(booking__customer=user_id),
    ):
        yield from map(str, rows.order_by().values_list("pk", flat=True))


register(
    Part(
        name="bookings",
        holds={
            "bookings.Booking": frozenset({"cancel_reason"}),
            "bookings.WaitlistEntry": frozenset({"end_reason"}),
            "bookings.SessionFeedback": frozenset(
                {"notes", "enhanced_text", "accepted_text"}
            ),
        },
        export=_export,
        erase=_erase,
        open_business=_open_business,
        ids=_ids,
    )
)
