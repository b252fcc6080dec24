"""Refunds that fail, and money that is nobody's, for tests of what staff do."""

from typing import Any

from bookings.models import Booking
from bookings.services.cancelling import cancel_booking
from payments.models import Payable, Refund
from payments.services.offline import Received, record_payment
from payments.states import OfflineMethod
from recovery.models import Case
from slotbase.accounts.models import User, Venue
from tests.conftest import Sandbox
from tests.factories import make_booking, make_resource, make_venue
from tests.payments.money import PRICE, make_paid_booking, new_key, run_due_work

LATE = "expired_or_canceled_card"


def make_place(venue: Venue | None = None, **over: Any) -> Any:
    """Something that is paid at the venue: 24.00 for an hour."""
    fields = {"payment_mode": "AT_VENUE", "price_minor": PRICE, **over}
    return make_resource(venue=venue or make_venue(), **fields)


def make_owing_booking(venue: Venue | None = None, **over: Any) -> Booking:
    """A booking of 24.00 EUR that is to be paid at the venue."""
    return make_booking(resource=make_place(venue), **over)


def fail_next_refund(sandbox: Sandbox, reason: str = LATE) -> None:
    """The bank will not take the next refund."""
    told = {"status": "failed", "failure_reason": reason}
    sandbox.post("/_sandbox/stripe/refunds/next", told)


def make_failed_refund(sandbox: Sandbox, **over: Any) -> Case:
    """The case of a cancelled booking whose money came back to us."""
    booking = make_paid_booking(sandbox, **over)
    fail_next_refund(sandbox)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()
    return Case.objects.get(kind="refund_failure", reference=booking.reference)


def pay_by_hand(
    booking: Booking, staff: User, amount_minor: int = 2 * PRICE, **over: Any
) -> Any:
    """Staff took the money for a booking."""
    assert booking.payable_id is not None
    payment, _ = record_payment(
        Received(
            payable_id=booking.payable_id,
            amount_minor=amount_minor,
            method=OfflineMethod.CASH,
            staff_id=staff.pk,
            key=new_key(),
            **over,
        )
    )
    return payment


def make_payout(staff: User, venue: Venue | None = None) -> Case:
    """The case of a customer to whom the front desk owes cash."""
    booking = make_owing_booking(venue)
    pay_by_hand(booking, staff)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()
    return Case.objects.get(kind="refund_payout", reference=booking.reference)


def refund_behind(case: Case) -> Refund:
    """The newest refund of a case."""
    first = Refund.objects.get(pk=case.subject_id)
    return Refund.objects.filter(origin=first.origin).order_by("-id")[0]


def payable_of(booking: Booking) -> Payable:
    """All of its money, as it is now."""
    return Payable.objects.get(pk=booking.payable_id)
