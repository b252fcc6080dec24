"""A booking that somebody broke by hand is frozen until a person has looked at it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from bookings.models import Booking, BookingHold, SlotClaim, WaitlistEntry
from bookings.services import bookings, cancelling, holds, waitlist
from bookings.services.endings import complete_ended_bookings
from payments.models import CardPayment, Payable, Refund
from payments.services.refunds import request_refund
from payments.states import RefundReason
from recovery import audit, cases, tasks
from recovery.errors import Frozen
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User
from slotbase.lib.clock import read_clock
from tests.bookings.test_admin_desk import refund
from tests.factories import (
    HOUR,
    expire,
    make_booking,
    make_entry,
    make_hold,
    make_resource,
    make_staff,
)
from tests.payments.broken import make_paid_booking

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.breaks_invariants,
]

ApiOf = Callable[[User], APIClient]


@pytest.fixture
def broken() -> Booking:
    """Its row was changed by hand, and beat looked."""
    booking = make_booking()
    Booking.objects.filter(pk=booking.pk).update(units=[7])
    tasks.check_invariants()
    return Booking.objects.get(pk=booking.pk)


def close_the_case() -> None:
    case, olga = Case.objects.get(), make_staff("operations")
    cases.resolve_case(
        case_id=case.pk, staff_id=olga.pk, version=case.version, reason="Looked at it."
    )


def cancel(booking: Booking) -> None:
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)


def test_it_is_found_and_a_critical_case_says_so(broken: Booking) -> None:
    case = Case.objects.get()

    assert (case.kind, case.severity, case.subject_id, case.status) == (
        *("invariant_violation", "critical"),
        *("I17", "OPEN"),
    )
    assert case.details["rows"] == [str(broken.pk)]
    broken.refresh_from_db()
    assert broken.units == [7]  # nothing was repaired behind anybody's back


def test_the_customer_gets_a_409_that_says_what_is_going_on(
    broken: Booking, api_of: ApiOf
) -> None:
    entries = AuditEntry.objects.count()
    api = api_of(broken.customer)

    answer = api.post(f"/api/v1/bookings/{broken.pk}/cancel/")

    assert (answer.status_code, answer.json()["code"]) == (409, "frozen")
    assert "Our staff were told" in answer.json()["detail"]
    assert AuditEntry.objects.count() == entries
    # To look at it is allowed.
    assert api.get(f"/api/v1/bookings/{broken.pk}/").status_code == 200


def test_other_bookings_go_on(broken: Booking) -> None:
    other = make_booking()

    cancel(other)

    assert Booking.objects.get(pk=other.pk).status == "CANCELLED"


def test_it_goes_on_when_the_case_is_closed(broken: Booking) -> None:
    with pytest.raises(Frozen):
        cancel(broken)

    close_the_case()
    cancel(broken)

    assert Booking.objects.get(pk=broken.pk).status == "CANCELLED"


def test_it_goes_on_by_itself_when_it_was_mended(broken: Booking) -> None:
    Booking.objects.filter(pk=broken.pk).update(units=[1])

    tasks.check_invariants()

    cancel(broken)


def test_a_broken_hold_is_neither_sold_nor_released() -> None:
    hold = make_hold()
    BookingHold.objects.filter(pk=hold.pk).update(units=[7])
    tasks.check_invariants()
    mine = {"hold_id": hold.pk, "customer_id": hold.customer_id}

    with pytest.raises(Frozen):
        bookings.confirm_hold(**mine)
    with pytest.raises(Frozen):
        holds.release_hold(**mine)

    close_the_case()
    bookings.confirm_hold(**mine)


def test_a_sweep_ends_other_bookings_and_leaves_it_as_it_is(broken: Booking) -> None:
    other = make_booking()
    past = read_clock() - HOUR
    for booking in (broken, other):
        times = {"start_time": past - HOUR, "end_time": past}
        Booking.objects.filter(pk=booking.pk).update(**times)
        BookingHold.objects.filter(pk=booking.hold_id).update(**times)

    assert complete_ended_bookings(limit=100) == 1

    states = dict(Booking.objects.values_list("pk", "status"))
    assert states == {broken.pk: "CONFIRMED", other.pk: "COMPLETED"}
    close_the_case()
    assert complete_ended_bookings(limit=100) == 1


@pytest.mark.parametrize("what", ["booking", "counters"])
def test_its_money_does_not_go_anywhere_either(what: str) -> None:
    booking = make_paid_booking()
    if what == "booking":
        Booking.objects.filter(pk=booking.pk).update(units=[7])
    else:
        Payable.objects.filter(pk=booking.payable_id).update(refunded_minor=1)
    tasks.check_invariants()

    with pytest.raises(Frozen):
        give_back(booking)
    assert not Refund.objects.exists()
    with pytest.raises(Frozen):
        cancel(booking)

    for case in Case.objects.filter(status="OPEN"):
        Case.objects.filter(pk=case.pk).delete()
    give_back(booking)
    assert Refund.objects.count() == 1


def test_staff_are_told_the_same(client: Client) -> None:
    booking = make_paid_booking()
    Booking.objects.filter(pk=booking.pk).update(units=[7])
    tasks.check_invariants()
    client.force_login(make_staff("support", [booking.resource.venue]))

    answer = refund(client, booking, amount="1.00")

    assert "Something about it does not add up" in answer.content.decode()
    assert not Refund.objects.exists()


def give_back(booking: Booking) -> None:
    payment = CardPayment.objects.get(payable=booking.payable_id)
    with transaction.atomic():
        payable = Payable.objects.select_for_update().get(pk=booking.payable_id)
        request_refund(
            payable,
            payment,
            100,
            reason=RefundReason.STAFF,
            actor=audit.Actor.system("tester"),
        )


@pytest.fixture
def broken_offer() -> WaitlistEntry:
    """Its hold lost its claim, and beat looked."""
    court = make_resource()
    hold, entry = make_hold(resource=court), make_entry(resource=court)
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    entry = WaitlistEntry.objects.get(pk=entry.pk)
    SlotClaim.objects.filter(hold=entry.hold_id).delete()
    tasks.check_invariants()
    return entry


@pytest.mark.parametrize("end", [waitlist.decline_offer, waitlist.leave_waitlist])
def test_an_offer_that_is_broken_is_not_given_back(
    broken_offer: WaitlistEntry, end: Callable[..., Any]
) -> None:
    mine = {"entry_id": broken_offer.pk, "customer_id": broken_offer.customer_id}

    with pytest.raises(Frozen):
        end(**mine)

    close_the_case()
    end(**mine)


def test_a_hold_that_is_broken_does_not_expire_unseen(
    broken_offer: WaitlistEntry,
) -> None:
    hold = BookingHold.objects.get(pk=broken_offer.hold_id)
    expire(hold)

    assert holds.expire_due_holds(limit=10) == 0
    tasks.check_invariants()
    assert Case.objects.get().status == "OPEN"

    close_the_case()
    assert holds.expire_due_holds(limit=10) == 1
