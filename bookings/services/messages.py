"""What customers are told about their bookings, with the transaction that did it."""

from typing import Any

from bookings.models import Booking, BookingHold, WaitlistEntry
from bookings.queries import is_inside_closure
from bookings.services import reminders
from bookings.services.wording import (
    about,
    appointment_of,
    back_of,
    fee_of,
    in_dispute_minor,
    key_of_cancelled,
    slot_of,
    sold_of,
)
from bookings.states import BookingStatus
from notifications.services.heard import last_heard, list_messages, unheard_since
from notifications.services.messages import (
    key_of_mail,
    queue_message,
    withdraw,
    withdraw_about,
)
from payments.locks import lock_payable
from payments.models import Payable, Refund
from payments.queries import list_refunds
from payments.states import RefundReason, RefundStatus
from slotbase.lib.db import transaction_required

CLOSED, OPEN_AGAIN = "venue_closed", "venue_open_again"
OF_MOVES = {"booking_confirmed", "booking_moved"}
#: What is no news any more where a booking moves or ends.
OF_ITS_TIME = OF_MOVES | {reminders.TEMPLATE, CLOSED, OPEN_AGAIN}


@transaction_required
def tell_confirmed(booking: Booking) -> None:
    """The slot is theirs."""
    queue_message(
        template="booking_confirmed",
        context={
            **sold_of(booking),
            **appointment_of(booking),
            "price_minor": booking.price_minor,
        },
        dedupe_key=f"booking_confirmed:{booking.pk}",
        not_after=booking.end_time,
        **about("booking", booking),
    )
    reminders.remind(booking)


@transaction_required
def tell_moved(booking: Booking, *, was_local: str) -> None:
    """It is at another time or place, or the clocks there show another time.

    `was_local` is when it was to start, by the clocks of its venue at that time. Who
    never heard that it is booked is told that, and when it was to start.
    """
    if booking.payable_id:
        lock_payable(booking.payable_id)  # before any message (lock order)
    withdraw_what_was_said(booking)
    template, was_local = _news_of_move(booking, was_local)
    queue_message(
        template=template,
        context={
            **sold_of(booking),
            **appointment_of(booking),
            "price_minor": booking.price_minor,
            "was_local": was_local,
        },
        dedupe_key=_key_of_move(template, booking),
        not_after=booking.end_time,
        **about("booking", booking),
    )
    reminders.remind(booking)


def _key_of_move(template: str, booking: Booking) -> str:
    return f"{template}:{booking.pk}:{booking.version}"


@transaction_required
def _news_of_move(booking: Booking, was_local: str) -> tuple[str, str]:
    """What to say, and when it was to start as far as its customer knows.

    Who never heard that it is booked hears that first, and of no move in between.
    """
    said = list_messages(**_meaning(booking), templates=OF_MOVES)
    unheard = unheard_since(said)
    known = [each.context.get("was_local") for each in unheard]
    is_new = bool(said) and unheard == said
    template = "booking_confirmed" if is_new else "booking_moved"
    return template, next(filter(None, known), was_local)


def is_told_of_move(booking: Booking) -> bool:
    """Whether its customer hears of its last move; some choose not to."""
    keys = {_key_of_move(template, booking) for template in OF_MOVES}
    queued = list_messages(**_meaning(booking), templates=OF_MOVES)
    return any(key_of_mail(each.dedupe_key) in keys for each in queued)


@transaction_required
def withdraw_what_was_said(booking: Booking) -> None:
    """When and where it takes place is news no more, and nobody is reminded of it."""
    _withdraw(booking, OF_ITS_TIME)


@transaction_required
def tell_cancelled(booking: Booking) -> None:
    """It is cancelled, and what goes back; that it was booked is no news any more."""
    # Locked: what else is promised from now on has a mail of its own.
    payable = lock_payable(booking.payable_id) if booking.payable_id else None
    withdraw_what_was_said(booking)
    queue_message(
        template="booking_cancelled",
        context={
            **sold_of(booking),
            **appointment_of(booking),
            "by_venue": booking.cancelled_by_id != booking.customer_id,
            **back_of(_promised_by_cancelling(payable)),
            **fee_of(payable),
            "in_dispute_minor": in_dispute_minor(payable),
        },
        dedupe_key=key_of_cancelled(booking),
        **about("booking", booking),
    )


@transaction_required
def tell_closed(booking: Booking) -> None:
    """It was sold for a time that is closed now; once, however many closures do it.

    Nobody is reminded of what will probably not take place.
    """
    reminders.withdraw_reminder(booking)
    _withdraw(booking, {OPEN_AGAIN})
    if _said_of_closures(booking) != CLOSED:
        _tell_of_closures(booking, CLOSED)


@transaction_required
def tell_open_again(booking: Booking) -> None:
    """It can take place; whoever may have heard that it was closed hears of it."""
    if booking.payable_id:
        lock_payable(booking.payable_id)  # before any message (lock order)
    _withdraw(booking, {CLOSED})
    if booking.status == BookingStatus.CONFIRMED:
        reminders.remind_after_all(booking)
        if _said_of_closures(booking) == CLOSED:
            _tell_of_closures(booking, OPEN_AGAIN)


@transaction_required
def _tell_of_closures(booking: Booking, template: str) -> None:
    """With a key of its own each time: what came to be twice is said twice."""
    queued = list_messages(**_meaning(booking), templates={template})
    queue_message(
        template=template,
        context=sold_of(booking),
        dedupe_key=f"{template}:{booking.pk}:{len(queued)}",
        not_after=booking.end_time,
        **about("booking", booking),
    )


@transaction_required
def _said_of_closures(booking: Booking) -> str:
    """What its customer was told last of the time that it has now, if of closures."""
    of_closures = {CLOSED, OPEN_AGAIN}
    said = list_messages(**_meaning(booking), templates=of_closures | OF_MOVES)
    start = slot_of(booking)["start_time"]
    last = last_heard([each for each in said if each.context["start_time"] == start])
    return last.template if last and last.template in of_closures else ""


@transaction_required
def withdraw_warning(hold: BookingHold) -> None:
    """That it is about to run out is no news any more."""
    templates = {"hold_expiring"}
    withdraw_about(subject_type="hold", subject_id=hold.pk, templates=templates)


@transaction_required
def tell_offered(entry: WaitlistEntry, hold: BookingHold) -> None:
    """What they waited for is kept for them, for a while."""
    queue_message(
        template="waitlist_offered",
        context={
            **slot_of(entry),
            "price_minor": hold.price_minor,
            "currency": hold.currency,
            "offered_until": hold.expires_at.isoformat(),
        },
        dedupe_key=f"waitlist_offered:{entry.pk}",
        not_after=hold.expires_at,
        **about("waitlistentry", entry),
    )


@transaction_required
def withdraw_offer(entry: WaitlistEntry) -> None:
    """That there is an offer is no news any more."""
    withdraw(dedupe_key=f"waitlist_offered:{entry.pk}")


@transaction_required
def tell_lapsed(entry: WaitlistEntry) -> None:
    """Their offer ran out, and they do not wait any more."""
    queue_message(
        template="waitlist_lapsed",
        context={
            **slot_of(entry),
            "currency": entry.resource.venue.currency,
            # Then it was not theirs to confirm.
            "was_closed": entry.hold is not None and is_inside_closure(entry.hold),
        },
        dedupe_key=f"waitlist_lapsed:{entry.pk}",
        not_after=entry.start_time,
        **about("waitlistentry", entry),
    )


def _meaning(booking: Booking) -> dict[str, Any]:
    return {"subject_type": "booking", "subject_id": booking.pk}


@transaction_required
def _withdraw(booking: Booking, templates: set[str]) -> None:
    withdraw_about(**_meaning(booking), templates=templates)


def _promised_by_cancelling(payable: Payable | None) -> list[Refund]:
    """Not what staff gave back before, nor late money, which has a mail of its own."""
    return [
        refund
        for refund in list_refunds(payable)
        if refund.reason == RefundReason.CANCELLED
        # Taken back by us before it was sent; one that Stripe canceled is still owed.
        and (refund.status != RefundStatus.CANCELED or refund.provider_id)
    ]
