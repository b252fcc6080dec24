"""Bookings whose time is over, and what is kept of old holds."""

from datetime import timedelta

import pytest

from bookings import tasks
from bookings.models import Booking, BookingHold, SlotClaim
from bookings.queries import get_hold
from bookings.services import endings, holds
from bookings.states import BookingStatus
from recovery.models import AuditEntry
from slotbase.lib.clock import read_clock
from tests.adversity import Stripe
from tests.factories import (
    expire,
    make_booking,
    make_hold,
    make_priced_resource,
    make_resource,
)
from tests.payments.money import begin_payment, look_now

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def happened(booking: Booking, *, ago: timedelta) -> None:
    """Move a booking and its hold into the past, so that it ended so long ago."""
    end = read_clock() - ago
    times = {"start_time": end - timedelta(hours=1), "end_time": end}
    BookingHold.objects.filter(pk=booking.hold_id).update(**times)
    Booking.objects.filter(pk=booking.pk).update(**times)


def status_of(booking: Booking) -> str:
    return Booking.objects.get(pk=booking.pk).status


def test_a_booking_that_is_over_is_completed_and_its_claim_goes() -> None:
    over, ahead = make_booking(), make_booking()
    happened(over, ago=timedelta(seconds=1))

    tasks.complete_bookings()

    assert status_of(over) == BookingStatus.COMPLETED
    assert status_of(ahead) == BookingStatus.CONFIRMED
    assert [claim.hold_id for claim in SlotClaim.objects.all()] == [ahead.hold_id]
    entry = AuditEntry.objects.get(action="booking.completed")
    assert (entry.from_state, entry.to_state) == ("CONFIRMED", "COMPLETED")


def test_a_claim_stays_until_the_buffer_after_the_booking_is_over() -> None:
    booking = make_booking(resource=make_resource(buffer_after_minutes=15))
    happened(booking, ago=timedelta(minutes=14))
    assert endings.complete_ended_bookings(limit=10) == 0

    happened(booking, ago=timedelta(minutes=16))
    assert endings.complete_ended_bookings(limit=10) == 1


def test_where_check_in_is_required_nobody_came_is_a_no_show() -> None:
    resource = make_resource(requires_check_in=True)
    missed, came = make_booking(resource=resource), make_booking()
    Booking.objects.filter(pk=came.pk).update(status=BookingStatus.CHECKED_IN)
    AuditEntry.objects.create(
        actor_kind="staff",
        actor_id="bob",
        action="booking.checked_in",
        subject_type="booking",
        subject_id=str(came.pk),
        from_state="CONFIRMED",
        to_state="CHECKED_IN",
    )
    for booking in (missed, came):
        happened(booking, ago=DAY)

    tasks.complete_bookings()

    assert status_of(missed) == BookingStatus.NO_SHOW
    assert status_of(came) == BookingStatus.COMPLETED


def test_the_task_expires_more_than_one_batch(settings: object) -> None:
    settings.SWEEP_BATCH_SIZE = 2  # type: ignore[attr-defined]
    for _ in range(5):
        expire(make_hold())

    tasks.expire_holds()

    assert BookingHold.objects.filter(status="EXPIRED").count() == 5


def test_holds_that_came_to_nothing_are_deleted_after_ninety_days_and_not_before() -> (
    None
):
    old, recent, active = make_hold(), make_hold(), make_hold()
    for hold, age in ((old, 91), (recent, 89)):
        holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
        released = read_clock() - timedelta(days=age)
        BookingHold.objects.filter(pk=hold.pk).update(released_at=released)

    tasks.purge_holds()

    left = set(BookingHold.objects.values_list("pk", flat=True))
    assert left == {recent.pk, active.pk}
    assert AuditEntry.objects.filter(subject_id=str(old.pk)).count() == 2


def test_an_old_hold_is_kept_while_money_may_come_in_for_it(stripe: Stripe) -> None:
    hold = make_hold(resource=make_priced_resource())
    payment = begin_payment(hold)
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    long_ago = read_clock() - timedelta(days=400)
    BookingHold.objects.filter(pk=hold.pk).update(released_at=long_ago)

    tasks.purge_holds()
    assert BookingHold.objects.filter(pk=hold.pk).exists()

    look_now(payment)  # it is cancelled at Stripe: no money can come any more
    tasks.purge_holds()
    assert not BookingHold.objects.filter(pk=hold.pk).exists()


def test_a_hold_that_has_run_out_is_shown_as_expired_before_any_sweep() -> None:
    hold = make_hold()
    assert get_hold(hold.pk, customer_id=hold.customer_id).status == "ACTIVE"

    expire(hold)

    assert get_hold(hold.pk, customer_id=hold.customer_id).status == "EXPIRED"
    assert BookingHold.objects.get(pk=hold.pk).status == "ACTIVE"


def test_giving_back_a_hold_that_has_run_out_changes_nothing() -> None:
    hold = make_hold()
    expire(hold)

    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    assert BookingHold.objects.get(pk=hold.pk).status == "ACTIVE"
    assert holds.expire_due_holds(limit=10) == 1
