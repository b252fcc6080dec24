"""What customers are told about their bookings, with the transaction that did it."""

from bookings.models import Booking, BookingHold, DateException, WaitlistEntry
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
from notifications.services.messages import (
    count_withdrawn,
    queue_message,
    withdraw,
    withdraw_about,
)
from payments.locks import lock_payable
from payments.models import Payable, Refund
from payments.queries import list_refunds
from payments.states import RefundReason, RefundStatus
from slotbase.lib.db import transaction_required

CLOSED = "venue_closed"


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

    `was_local` is when it was to start, by the clocks of its venue at that time.
    """
    if booking.payable_id:
        lock_payable(booking.payable_id)  # before any message (lock order)
    withdraw_what_was_said(booking)
    queue_message(
        template="booking_moved",
        context={
            **sold_of(booking),
            **appointment_of(booking),
            "was_local": was_local,
        },
        dedupe_key=f"booking_moved:{booking.pk}:{booking.version}",
        not_after=booking.end_time,
        **about("booking", booking),
    )
    reminders.remind(booking)


@transaction_required
def withdraw_what_was_said(booking: Booking) -> None:
    """When and where it takes place is news no more, and nobody is reminded of it."""
    templates = {"booking_confirmed", "booking_moved", reminders.TEMPLATE, CLOSED}
    withdraw_about(subject_type="booking", subject_id=booking.pk, templates=templates)


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
def tell_closed(booking: Booking, closure: DateException) -> None:
    """It was sold for a time that is closed now; once for each closure.

    Nobody is reminded of what will probably not take place.
    """
    reminders.withdraw_reminder(booking)
    # If it was withdrawn before it went out, it is said when it is closed once more.
    before = count_withdrawn(
        subject_type="booking", subject_id=booking.pk, template=CLOSED
    )
    queue_message(
        template=CLOSED,
        context=sold_of(booking),
        dedupe_key=f"{CLOSED}:{booking.pk}:{closure.pk}:{before}",
        not_after=booking.end_time,
        **about("booking", booking),
    )


@transaction_required
def tell_open_again(booking: Booking) -> None:
    """It can take place: that it was closed is no news any more."""
    if booking.status == BookingStatus.CONFIRMED:
        reminders.remind_after_all(booking)
    withdraw_about(subject_type="booking", subject_id=booking.pk, templates={CLOSED})


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


def _promised_by_cancelling(payable: Payable | None) -> list[Refund]:
    """Not what staff gave back before, nor late money, which has a mail of its own."""
    return [
        refund
        for refund in list_refunds(payable)
        if refund.reason == RefundReason.CANCELLED
        # Taken back by us before it was sent; one that Stripe canceled is still owed.
        and (refund.status != RefundStatus.CANCELED or refund.provider_id)
    ]
