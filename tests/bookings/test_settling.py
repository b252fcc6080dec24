"""Money came in: it buys its slot, or goes back in full."""

from functools import partial
from typing import Any
from unittest import mock

import pytest

from bookings import locks
from bookings.models import (
    Booking,
    BookingHold,
    DateException,
    ResourceUnit,
    WaitlistEntry,
)
from bookings.services.cancelling import cancel_booking
from bookings.services.holds import expire_due_holds, release_hold
from bookings.services.paying import confirm_paid_hold
from bookings.services.settling import settle_payable
from notifications.models import Notification
from payments.models import CardPayment, Payable, Refund
from payments.services.mismatches import accept_as_credit, refund_mismatch
from recovery.models import Case
from slotbase.lib.clock import Now
from slotbase.lib.ids import uuid7
from tests.adversity import Clock, Stripe
from tests.bookings.till import act
from tests.factories import make_entry, make_hold, make_priced_resource, make_staff
from tests.payments.money import (
    begin_payment,
    make_cash,
    make_payable,
    open_kinds,
    process_all,
    run_due_work,
    store_event,
)

pytestmark = pytest.mark.django_db


def pay_late(
    stripe: Stripe, clock: Clock, hold: BookingHold, *, seconds: int = 400
) -> None:
    """The money comes when the hold has run out, and nobody has decided about it."""
    begin_payment(hold)
    intent_id = act(stripe, hold)
    clock.move(seconds=seconds)
    expire_due_holds(limit=10)
    store_event("payment_intent.succeeded", intent_id)
    process_all()


def sent_back(stripe: Stripe) -> list[int]:
    return [each["amount"] for each in stripe.effects("refund_created")]


def cause() -> str:
    return Case.objects.get(kind="late_money").cause


def book_unpaid(either: BookingHold) -> Booking:
    """It is to be paid at the venue, but its customer has the payment page open."""
    begin_payment(either)
    booking, _ = confirm_paid_hold(
        hold_id=either.pk, customer_id=either.customer_id, pay="at_venue"
    )
    return booking


def kinds() -> set[str]:
    """Of all cases there ever were."""
    return set(Case.objects.values_list("kind", flat=True))


def mails() -> list[str]:
    return sorted(Notification.objects.values_list("template", flat=True))


def settle_twice() -> None:
    for _ in range(2):
        settle_payable(payable_id=Payable.objects.get().pk)
    run_due_work()


def test_money_in_time_buys_its_slot_once(hold: BookingHold, stripe: Stripe) -> None:
    begin_payment(hold)
    store_event("payment_intent.succeeded", act(stripe, hold))
    process_all()

    settle_twice()

    booking = Booking.objects.get(hold=hold)
    assert booking.payable is not None
    assert (booking.status, booking.payable.status) == ("CONFIRMED", "PAID")
    assert booking.payable.reference == booking.reference
    assert mails() == ["booking_confirmed", "booking_reminder", "receipt"]


def test_a_part_of_the_money_buys_nothing_yet(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    make_cash(Payable.objects.get(), 1000)

    run_due_work()

    hold.refresh_from_db()
    assert hold.status == "ACTIVE"
    assert not Refund.objects.exists()


@pytest.mark.parametrize("other", [{"amount": 2399}, {"currency": "usd"}])
def test_money_in_question_buys_nothing_and_does_not_go_back_by_itself(
    hold: BookingHold, stripe: Stripe, clock: Clock, other: dict[str, Any]
) -> None:
    begin_payment(hold)
    store_event("payment_intent.succeeded", act(stripe, hold, **other))
    run_due_work()
    clock.move(seconds=400)
    expire_due_holds(limit=10)

    run_due_work()

    assert not Booking.objects.exists()
    assert not Refund.objects.exists()
    assert open_kinds() == ["payment_mismatch"]


def test_late_money_buys_a_slot_that_is_still_free(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_late(stripe, clock, hold)

    settle_twice()

    booking = Booking.objects.select_related("hold", "payable").get()
    assert (booking.hold.source, booking.units) == ("LATE_PAYMENT", hold.units)
    assert (booking.start_time, booking.price_minor) == (hold.start_time, 2400)
    assert booking.payable is not None
    assert (booking.payable.owed_minor, booking.payable.status) == (2400, "PAID")
    assert sent_back(stripe) == []


def test_late_money_for_two_units_does_not_buy_the_one_that_is_left(
    stripe: Stripe, clock: Clock
) -> None:
    court = make_priced_resource(units=2)
    hold = make_hold(resource=court, units=2)
    pay_late(stripe, clock, hold)
    ResourceUnit.objects.filter(resource=court, number=2).update(retired_at=Now())

    settle_twice()

    assert not Booking.objects.exists()
    assert sent_back(stripe) == [hold.price_minor]


@pytest.mark.case("late_money", "opens")
def test_late_money_for_a_slot_that_is_taken_goes_back_and_its_customer_hears_of_it(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_late(stripe, clock, hold)
    make_hold(resource=hold.resource)

    settle_twice()

    assert not Booking.objects.exists()
    assert sent_back(stripe) == [2400]
    assert cause() == "The slot was taken meanwhile."
    assert open_kinds() == []
    assert mails() == ["late_payment_refunded", "refund_succeeded"]


def test_of_several_places_all_are_bought_or_none(stripe: Stripe, clock: Clock) -> None:
    resource = make_priced_resource(units=3)
    hold = make_hold(resource=resource, units=2)
    pay_late(stripe, clock, hold)
    make_hold(resource=resource, units=2)

    settle_twice()

    assert not Booking.objects.exists()
    assert sent_back(stripe) == [4800]


def test_money_for_a_slot_that_was_given_back_goes_back(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    intent_id = act(stripe, hold)
    release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    store_event("payment_intent.succeeded", intent_id)

    run_due_work()

    assert cause() == "The customer gave the slot back."
    assert sent_back(stripe) == [2400]


def test_money_that_is_more_than_a_quarter_of_an_hour_late_goes_back(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_late(stripe, clock, hold, seconds=300 + 901)

    settle_twice()

    assert cause() == "It came too late."
    assert sent_back(stripe) == [2400]


def test_money_for_a_time_that_has_begun_goes_back(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    BookingHold.objects.filter(pk=hold.pk).update(expires_at=hold.start_time)
    seconds = (hold.start_time - hold.created_at).total_seconds()
    pay_late(stripe, clock, hold, seconds=int(seconds) + 2)

    settle_twice()

    assert cause() == "The time has begun."
    assert sent_back(stripe) == [2400]


def test_who_has_the_time_already_gets_the_money_back(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_late(stripe, clock, hold)
    make_hold(resource=hold.resource, customer=hold.customer)

    settle_twice()

    assert cause() == "The customer has booked this time again."
    assert sent_back(stripe) == [2400]


def test_money_for_what_is_closed_by_now_goes_back(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_late(stripe, clock, hold)
    venue = hold.resource.venue
    day = hold.start_time.date()
    DateException.objects.create(venue=venue, kind="CLOSED", date=day)

    settle_twice()

    assert cause() == "It is closed then."
    assert sent_back(stripe) == [2400]


def test_money_for_a_resource_that_is_not_sold_any_more_goes_back(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_late(stripe, clock, hold)
    type(hold.resource).objects.update(is_bookable=False)

    settle_twice()

    assert cause() == "It is closed then."


def test_money_for_a_cancelled_booking_goes_back(
    either: BookingHold, stripe: Stripe
) -> None:
    booking = book_unpaid(either)
    intent_id = act(stripe, either)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    store_event("payment_intent.succeeded", intent_id)

    run_due_work()

    booking.refresh_from_db()
    assert (booking.status, sent_back(stripe)) == ("CANCELLED", [2400])
    assert cause() == "The booking is cancelled."
    assert CardPayment.objects.get().status == "SUCCEEDED"


def test_late_money_keeps_the_fee_of_a_cancelled_booking_and_asks_nobody(
    either: BookingHold, stripe: Stripe
) -> None:
    booking = book_unpaid(either)
    half = {"hours_before": 0, "keep_percent": 50, "keep_minor": 0}
    Booking.objects.update(cancellation_terms=[half])
    intent_id = act(stripe, either)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    store_event("payment_intent.succeeded", intent_id)

    run_due_work()

    assert sent_back(stripe) == [1200]
    assert kinds() == {"late_money"}
    assert Payable.objects.get().kept_minor == 1200


# --- Money of what is not there any more ---------------------------------------------


def test_money_for_a_hold_that_was_deleted_goes_back(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    intent_id = act(stripe, hold)
    release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    hold.delete()
    store_event("payment_intent.succeeded", intent_id)

    run_due_work()
    settle_twice()

    assert sent_back(stripe) == [2400]
    assert kinds() == {"late_money"}
    assert open_kinds() == []


def test_what_owes_as_much_as_it_has_or_is_not_there_is_left_alone() -> None:
    payable = make_payable(100)
    make_cash(payable, 100)

    settle_payable(payable_id=payable.pk)
    settle_payable(payable_id=uuid7())

    assert not Refund.objects.exists()


# --- More than a booking costs --------------------------------------------------------


def pay_twice(stripe: Stripe, hold: BookingHold) -> Payable:
    """10.00 in cash, and the whole price by card after that."""
    intent_id = act(stripe, hold)
    payable = Payable.objects.get()
    make_cash(payable, 1000)
    store_event("payment_intent.succeeded", intent_id)
    run_due_work()
    payable.refresh_from_db()
    assert payable.excess_minor == 1000
    return payable


@pytest.mark.case("payment_mismatch", "opens")
def test_more_than_a_booking_costs_is_a_question_for_staff(
    either: BookingHold, stripe: Stripe
) -> None:
    book_unpaid(either)

    pay_twice(stripe, either)
    settle_twice()

    assert open_kinds() == ["payment_mismatch"]
    assert Case.objects.get().amount_minor == 1000
    assert not Refund.objects.exists()


def test_more_than_a_slot_costs_buys_it_and_is_a_question_for_staff(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)

    pay_twice(stripe, hold)

    assert Booking.objects.get().status == "CONFIRMED"
    assert open_kinds() == ["payment_mismatch"]


def test_what_staff_took_in_on_purpose_is_no_question(either: BookingHold) -> None:
    book_unpaid(either)
    make_cash(Payable.objects.get(), 3000, may_exceed=True)

    settle_twice()

    assert Payable.objects.get().status == "OVERPAID"
    assert kinds() == set()


def test_what_staff_accepted_is_not_asked_again(
    either: BookingHold, stripe: Stripe
) -> None:
    book_unpaid(either)
    payable = pay_twice(stripe, either)
    accept_as_credit(payable_id=payable.pk, staff_id=make_staff().pk)

    settle_twice()

    assert Payable.objects.get().status == "OVERPAID"
    assert open_kinds() == []


def test_what_a_failed_refund_left_stands_in_its_own_case_only(
    either: BookingHold, stripe: Stripe
) -> None:
    book_unpaid(either)
    payable = pay_twice(stripe, either)
    told = {"status": "failed", "failure_reason": "declined"}
    stripe.tell("refunds/next", **told)
    refund_mismatch(payable_id=payable.pk, staff_id=make_staff().pk)
    run_due_work()
    Case.objects.filter(kind="payment_mismatch").update(closed_at=payable.created_at)

    settle_twice()

    assert Payable.objects.get().excess_minor == 1000
    assert open_kinds() == ["refund_failure"]


def test_a_dispute_that_is_won_after_it_was_paid_again_is_a_question(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    intent_id = act(stripe, hold)
    store_event("payment_intent.succeeded", intent_id)
    run_due_work()
    dispute_id = stripe.tell("disputes", payment_intent=intent_id)["id"]
    store_event("charge.dispute.created", dispute_id)
    process_all()
    make_cash(Payable.objects.get(), 2400)

    stripe.tell("disputes", dispute=dispute_id, status="won")
    store_event("charge.dispute.closed", dispute_id)
    run_due_work()

    assert open_kinds() == ["payment_mismatch"]


def pay_late_for_what_somebody_waits(
    stripe: Stripe, clock: Clock, hold: BookingHold
) -> WaitlistEntry:
    """The slot stands free: whoever expired the hold did not pass it on."""
    entry = make_entry(resource=hold.resource)
    begin_payment(hold)
    intent_id = act(stripe, hold)
    clock.move(seconds=400)
    with mock.patch("bookings.services.claims.pass_on", return_value=0):
        expire_due_holds(limit=10)
    store_event("payment_intent.succeeded", intent_id)
    return entry


def test_late_money_leaves_a_free_slot_to_whoever_waits_for_it(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    entry = pay_late_for_what_somebody_waits(stripe, clock, hold)

    process_all()
    settle_twice()

    entry.refresh_from_db()
    assert entry.status == "OFFERED"
    assert not Booking.objects.exists()
    assert sent_back(stripe) == [2400]
    assert cause() == "Somebody waited for the slot."


def test_without_the_guard_late_money_would_pass_the_line(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    entry = pay_late_for_what_somebody_waits(stripe, clock, hold)

    rude = partial(locks.Terms, may_pass=True)
    with mock.patch("bookings.services.claims.Terms", rude):
        process_all()
        settle_twice()

    entry.refresh_from_db()
    assert entry.status == "WAITING"
    assert Booking.objects.exists()


def test_what_the_decision_did_not_pass_on_a_step_of_the_cancellation_does(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)
    store_event("payment_intent.succeeded", act(stripe, hold))
    process_all()
    settle_twice()
    booking, entry = Booking.objects.get(), make_entry(resource=hold.resource)
    with mock.patch("bookings.services.cancelling.pass_on", return_value=0):
        cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    run_due_work()

    entry.refresh_from_db()
    assert entry.status == "OFFERED"
