"""Buttons on the cases of bookings."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from bookings.admin.moving import MAY_MOVE, address_of_move
from bookings.errors import BookingNotFound
from bookings.locks import RUNNING
from bookings.models import Booking
from bookings.queries import list_closures_over, list_history
from bookings.services import moved_clocks
from bookings.services.cancelling import cancel_in_full
from bookings.services.moving import move_booking
from payments.admin.refunds import show_refund
from payments.queries import list_refunds
from recovery import cases
from recovery.admin.actions import (
    FOR_EVERY_CASE,
    MAY_CLOSE,
    actions_of_a_run,
    is_free_for,
    refused_while,
    register_actions,
)
from recovery.admin.cases import Background, register_background
from recovery.backoffice import RowAction, Wish
from recovery.models import AuditEntry, WorkflowRun
from recovery.proposals import show_proposals
from slotbase.lib.columns import format_link, format_slot, format_state
from slotbase.lib.money import format_money

MAY_CANCEL = "bookings.cancel_in_full"


def facts_of_cancellation(case: Any) -> Mapping[str, Any]:
    """How far the cancellation is: booking, refunds and steps."""
    run = WorkflowRun.objects.filter(pk=case.subject_id).first()
    if run is None:
        return {}
    booking = Booking.objects.select_related("payable").get(pk=run.subject_id)
    return {
        "Booking": format_link("bookings_booking", booking),
        "It is": format_state(booking.status),
        "Refunds": [show_refund(each) for each in list_refunds(booking.payable)],
        "Steps": [f"{each}: {each.status.lower()}" for each in run.timeline()],
        "All about the steps": format_link("recovery_workflowrun", run),
    }


register_background(Background(facts_of_cancellation), "cancellation_failed")
register_actions("cancellation_failed", **actions_of_a_run(MAY_CLOSE))


# --- Bookings that cannot take place as they were sold ------------------------------


def booking_of(case: Any) -> Booking | None:
    """The booking that a case is about, read once."""
    if not hasattr(case, "booking"):
        bookings = Booking.objects.select_related("resource__venue", "payable", "hold")
        case.booking = bookings.filter(pk=case.subject_id).first()
    booking: Booking | None = case.booking
    return booking


def _meant(case: Any) -> Booking:
    booking = booking_of(case)
    if booking is None:
        raise BookingNotFound
    return booking


def facts_of_booking(case: Any) -> Mapping[str, Any]:
    """What is true now of the booking: when, where, paid, and what closes it."""
    booking = booking_of(case)
    if booking is None:
        return {}
    zone = booking.resource.venue.zone
    paid = booking.payable.kept_minor if booking.payable else 0
    return {
        "Booking": format_link("bookings_booking", booking),
        "It is": format_state(booking.status),
        "What": booking.resource,
        "When": format_slot(booking.start_time, booking.end_time, zone),
        "Sold for": booking.local_start.replace("T", " "),
        "Paid": format_money(paid, booking.currency),
        "Closed": [
            format_link("bookings_dateexception", each)
            for each in list_closures_over(booking.resource, booking.slot)
        ],
        "Waits for a colleague": show_proposals("booking", booking.pk),
    }


def history_of_booking(case: Any) -> QuerySet[AuditEntry]:
    """That of the booking, its hold and its money."""
    booking = booking_of(case)
    return list_history(booking) if booking else AuditEntry.objects.none()


def _require_free(case: Any, wish: Wish) -> None:
    cases.require_free(case_id=case.pk, staff_id=wish.staff_id, version=wish.version)


def _cancel(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    reason = "The venue is closed then."
    cancel_in_full(
        booking_id=UUID(case.subject_id), staff_id=wish.staff_id, reason=reason
    )


def _keep(case: Any, wish: Wish, *, tell: bool = False) -> None:
    _require_free(case, wish)
    booking = _meant(case)
    moved_clocks.keep_instant(
        booking_id=booking.pk,
        staff_id=wish.staff_id,
        version=booking.version,
        tell=tell,
    )


def _tell(case: Any, wish: Wish) -> None:
    _keep(case, wish, tell=True)


def _move_back(case: Any, wish: Wish) -> None:
    _require_free(case, wish)
    booking = _meant(case)
    move_booking(
        booking_id=booking.pk,
        staff_id=wish.staff_id,
        version=booking.version,
        start_time=moved_clocks.sold_for(booking),
    )


def _is_to_come(case: Any, staff_id: UUID) -> bool:
    booking = booking_of(case)
    is_there = booking is not None and booking.status in RUNNING
    return is_there and is_free_for(case, staff_id)


def _is_elsewhere(case: Any) -> bool:
    booking = booking_of(case)
    if booking is None or booking.status not in RUNNING:
        return False
    return moved_clocks.local_time_of(booking) != booking.local_start


register_background(
    Background(facts_of_booking, history_of_booking),
    "closure_conflict",
    "time_zone_moved",
)
register_actions(
    "closure_conflict",
    move=RowAction(
        "Move the booking",
        "Asks where to: another time, or another resource, at the same price. The"
        " customer is told by mail, and the case closes itself.",
        "",
        MAY_MOVE,
        _require_free,
        _is_to_come,
        leads_to=lambda case: address_of_move(case.subject_id),
    ),
    cancel=RowAction(
        "Cancel with full refund",
        "Cancels the booking, whatever its terms say: all that was paid goes back, and"
        " the customer is told by mail. The case closes itself.",
        "The booking is cancelled, and its money goes back.",
        MAY_CANCEL,
        _cancel,
        _is_to_come,
        needs_step_up=True,
        takes_reason=True,
    ),
)
register_actions(
    "time_zone_moved",
    keep=RowAction(
        "Keep the instant",
        "Leaves the booking where it is: by the clocks of the venue it is at another"
        " time than it was sold for. The customer hears nothing.",
        "It stays where it is.",
        MAY_MOVE,
        _keep,
        _is_to_come,
    ),
    move=RowAction(
        "Move to the local time",
        "Moves the booking to the local time that it was sold for, if that is free. The"
        " customer is told by mail.",
        "It is at the local time that it was sold for.",
        MAY_MOVE,
        _move_back,
        _is_to_come,
        needs_step_up=True,
    ),
    tell=RowAction(
        "Keep it, and tell the customer",
        "Leaves the booking where it is, and tells the customer by mail which time the"
        " clocks of the venue show then.",
        "It stays where it is, and the customer is told unless they do not want to be.",
        MAY_MOVE,
        _tell,
        _is_to_come,
    ),
    **{
        name: refused_while(_is_elsewhere, FOR_EVERY_CASE[name])
        for name in ("resolve", "discard")
    },
)
