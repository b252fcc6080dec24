"""Confirming a hold and cancelling a booking."""

from datetime import timedelta

import pytest

from bookings.errors import (
    BookingNotFound,
    CancellationClosed,
    HoldHasExpired,
    HoldIsReleased,
    HoldNotFound,
    NotCancellable,
    PaymentRequired,
)
from bookings.models import Booking, BookingHold, SlotClaim
from bookings.services import bookings, cancelling, endings, holds
from recovery.models import AuditEntry
from slotbase.lib.clock import read_clock
from tests.factories import (
    expire,
    make_booking,
    make_customer,
    make_hold,
    make_resource,
)

pytestmark = pytest.mark.django_db


def test_confirming_keeps_claim_time_units_and_price_of_the_hold() -> None:
    yoga = make_resource(units=3, price_minor=500, payment_mode="AT_VENUE")
    hold = make_hold(resource=yoga, units=2)
    claims = list(SlotClaim.objects.values_list("pk", flat=True))

    booking, is_new = bookings.confirm_hold(
        hold_id=hold.pk, customer_id=hold.customer_id
    )

    assert is_new
    assert (booking.start_time, booking.end_time) == (hold.start_time, hold.end_time)
    assert (booking.units, booking.price_minor) == ([1, 2], 2000)
    assert list(SlotClaim.objects.values_list("pk", flat=True)) == claims


def test_confirming_again_gives_the_same_booking() -> None:
    booking = make_booking()

    again, is_new = bookings.confirm_hold(
        hold_id=booking.hold_id, customer_id=booking.customer_id
    )

    assert (again.pk, is_new) == (booking.pk, False)


def test_a_hold_past_its_time_cannot_be_confirmed_though_no_sweep_came() -> None:
    hold = make_hold()
    expire(hold)

    with pytest.raises(HoldHasExpired):
        bookings.confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)


def test_a_released_hold_cannot_be_confirmed() -> None:
    hold = make_hold()
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    with pytest.raises(HoldIsReleased):
        bookings.confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)


def test_nobody_confirms_the_hold_of_another() -> None:
    hold, charlie = make_hold(), make_customer("Charlie Cole")

    with pytest.raises(HoldNotFound):
        bookings.confirm_hold(hold_id=hold.pk, customer_id=charlie.pk)


@pytest.mark.parametrize(
    ("mode", "pay", "is_allowed"),
    [
        ("AT_VENUE", "", True),
        ("AT_VENUE", "at_venue", True),
        ("AT_VENUE", "online", False),
        ("EITHER", "", False),
        ("EITHER", "at_venue", True),
        ("EITHER", "online", False),
        ("ONLINE", "", False),
        ("ONLINE", "at_venue", False),
    ],
)
def test_what_must_be_paid_online_is_not_confirmed_unpaid(
    mode: str, pay: str, is_allowed: bool
) -> None:
    resource = make_resource(price_minor=500, payment_mode=mode)
    hold = make_hold(resource=resource)
    confirm = {"hold_id": hold.pk, "customer_id": hold.customer_id, "pay": pay}

    if is_allowed:
        assert bookings.confirm_hold(**confirm)
    else:
        with pytest.raises(PaymentRequired):
            bookings.confirm_hold(**confirm)


def test_a_price_of_nothing_needs_no_payment_however_it_is_paid() -> None:
    hold = make_hold(resource=make_resource(payment_mode="ONLINE"))

    assert bookings.confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)


def test_cancelling_makes_both_moves_and_frees_the_slot_at_once() -> None:
    resource = make_resource()
    booking = make_booking(resource=resource)

    cancelled = cancelling.cancel_booking(
        booking_id=booking.pk, customer_id=booking.customer_id, reason="I am ill."
    )

    assert (cancelled.status, cancelled.version) == ("CANCELLED", 3)
    assert cancelled.cancelled_at is not None
    assert cancelled.cancelled_by_id == booking.customer_id
    moves = AuditEntry.objects.filter(subject_id=str(booking.pk)).order_by("id")
    assert [(e.from_state, e.to_state) for e in moves] == [
        ("", "CONFIRMED"),
        ("CONFIRMED", "CANCELLING"),
        ("CANCELLING", "CANCELLED"),
    ]
    assert make_hold(resource=resource)


def test_what_a_customer_types_never_reaches_the_history() -> None:
    booking = make_booking()

    cancelling.cancel_booking(
        booking_id=booking.pk, customer_id=booking.customer_id, reason="private matter"
    )

    assert Booking.objects.get(pk=booking.pk).cancel_reason == "private matter"
    assert "private" not in str(list(AuditEntry.objects.values()))


def test_cancelling_again_changes_nothing() -> None:
    booking = make_booking()
    cancel = {"booking_id": booking.pk, "customer_id": booking.customer_id}
    cancelling.cancel_booking(**cancel)
    before = AuditEntry.objects.count()

    assert cancelling.cancel_booking(**cancel).status == "CANCELLED"
    assert AuditEntry.objects.count() == before


def test_nobody_cancels_the_booking_of_another() -> None:
    booking, charlie = make_booking(), make_customer("Charlie Cole")

    with pytest.raises(BookingNotFound):
        cancelling.cancel_booking(booking_id=booking.pk, customer_id=charlie.pk)


def move(booking: Booking, *, start: timedelta, end: timedelta) -> None:
    """Move a booking and its hold to times from now."""
    now = read_clock()
    times = {"start_time": now + start, "end_time": now + end}
    BookingHold.objects.filter(pk=booking.hold_id).update(**times)
    Booking.objects.filter(pk=booking.pk).update(**times)
    occupied = (now + start, now + end)
    SlotClaim.objects.filter(hold=booking.hold_id).update(during=occupied)


def test_a_booking_that_has_begun_cannot_be_cancelled() -> None:
    booking = make_booking()
    move(booking, start=timedelta(0), end=timedelta(hours=1))

    with pytest.raises(CancellationClosed):
        cancelling.cancel_booking(
            booking_id=booking.pk, customer_id=booking.customer_id
        )


def test_a_booking_that_is_over_cannot_be_cancelled() -> None:
    booking = make_booking()
    move(booking, start=-timedelta(hours=2), end=-timedelta(hours=1))
    endings.complete_ended_bookings(limit=10)

    with pytest.raises(NotCancellable):
        cancelling.cancel_booking(
            booking_id=booking.pk, customer_id=booking.customer_id
        )


def test_references_can_be_said_on_the_phone() -> None:
    reference = bookings.make_reference()

    assert len(reference) == 11
    assert not set("ILOU") & set(reference)
