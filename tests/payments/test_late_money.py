"""Money that comes when its hold runs out, or later: a booking, or all of it back.

Two minutes after it came, none of it is nobody's: there is a booking that it pays for,
or it went back in full with a mail and a case that closed itself. The slot is never
sold twice.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from bookings.errors import HoldHasExpired, HoldIsReleased, SlotUnavailable
from bookings.models import Booking, BookingHold, DateException, SlotClaim
from bookings.services import cancelling, holds, paying, settling
from bookings.services.bookings import confirm_hold
from notifications.models import Notification
from payments.models import CardPayment, Payable, Refund
from payments.services.mismatches import accept_as_credit
from recovery import inbox, invariants
from recovery.models import Case
from slotbase.accounts.models import User
from slotbase.lib.clock import read_clock
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.crashes.worker import post_webhook
from tests.factories import (
    make_customer,
    make_hold,
    make_resource,
    make_staff,
    wanted,
)
from tests.payments.money import PRICE, begin_payment, make_priced_hold, pay
from tests.payments.sweeps import sweep
from tests.providers.signing import payload, signed

pytestmark = pytest.mark.django_db(transaction=True)

MOMENTS = (-0.05, 0.0, 0.05, 1.0, 30.0)  # after the hold has run out, in seconds
SLOTS = ("free", "taken", "closed")
HOUR = 2 * PRICE


def make_alice() -> User:
    return make_customer(email="alice@example.com")


def make_hold_of_alice(**over: Any) -> BookingHold:
    """Of somebody with an address, and its payment is begun."""
    mode = over.pop("payment_mode", "ONLINE")
    court = make_resource(
        payment_mode=mode, price_minor=PRICE, units=over.pop("capacity", 1)
    )
    hold = make_priced_hold(customer=make_alice(), resource=court, **over)
    begin_payment(hold)
    return hold


def learn_by_webhook(hold: BookingHold, intent_id: str) -> None:
    """Stripe tells; what it means is decided a moment later."""
    told = payload("stripe", id=f"evt_{intent_id}", data={"object": {"id": intent_id}})
    body, headers = signed("stripe", told)
    assert post_webhook(body.decode(), headers).status_code == 200
    inbox.process_inbox()


def learn_by_confirm(hold: BookingHold, _: str) -> None:
    """The customer asks for the booking."""
    with suppress(HoldHasExpired):
        paying.confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)


PATHS = {"webhook": learn_by_webhook, "confirm": learn_by_confirm}


def take(hold: BookingHold) -> bool:
    """Somebody else wants all of the slot; whether they get it."""
    wish = wanted(hold.resource, hold.start_time, units=capacity_of(hold))
    try:
        bobs = holds.create_hold(customer_id=make_customer().pk, wanted=wish).hold
    except SlotUnavailable:
        return False
    BookingHold.objects.filter(pk=bobs.pk).update(
        expires_at=bobs.expires_at + timedelta(hours=1)
    )
    return True


def capacity_of(hold: BookingHold) -> int:
    return hold.resource.units.count()


def close(hold: BookingHold) -> None:
    """The court is closed that day."""
    venue = hold.resource.venue
    DateException.objects.create(
        venue=venue,
        kind="CLOSED",
        date=hold.start_time.astimezone(venue.zone).date(),
    )


def require_booking(stripe: Stripe, *, cases: tuple[str, ...] = ()) -> None:
    """The money pays for one booking, and nothing else happened."""
    booking, payable = Booking.objects.get(), Payable.objects.get()
    assert (booking.status, booking.payable_id) == ("CONFIRMED", payable.pk)
    assert (payable.status, payable.kept_minor) == ("PAID", payable.owed_minor)
    assert not Refund.objects.exists()
    assert [*Case.objects.values_list("kind", flat=True)] == [*cases]
    assert stripe.effects("refund_created") == []
    closed = ["venue_closed"] * ("closure_conflict" in cases)
    assert told() == ["booking_confirmed", *closed, "receipt"]


def require_all_back(stripe: Stripe, *, sent: int = 1) -> None:
    """There is no booking; the customer has all of it back, and knows."""
    payable = Payable.objects.get()
    assert (payable.status, payable.owed_minor) == ("REFUNDED", 0)
    assert payable.refunded_minor == payable.paid_minor > 0
    [refunded] = stripe.effects("refund_created")
    assert refunded["amount"] == payable.paid_minor
    case = Case.objects.get()
    assert (case.kind, case.status) == ("late_money", "RESOLVED")
    assert told().count("late_payment_refunded") == sent


def told() -> list[str]:
    """What mails went out, by their templates."""
    sent = Notification.objects.filter(status="SENT").order_by("id")
    return [each.template for each in sent]


def two_minutes_after(clock: Clock, moment: datetime) -> None:
    """Workers did what was due meanwhile, and all rules hold."""
    sweep()
    clock.go_on_at(moment + timedelta(seconds=121))
    sweep()
    assert invariants.find_violations() == []


@pytest.mark.parametrize(
    ("path", "units"), [("webhook", 1), ("confirm", 1), ("webhook", 3)]
)
@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("seconds", MOMENTS)
def test_money_that_comes_when_the_hold_runs_out_is_soon_somebodys(
    sandbox: Sandbox,
    stripe: Stripe,
    clock: Clock,
    seconds: float,
    slot: str,
    path: str,
    units: int,
) -> None:
    hold = make_hold_of_alice(capacity=units)
    moment = hold.expires_at + timedelta(seconds=seconds)
    clock.stop_at(moment)
    intent_id = pay(sandbox, CardPayment.objects.get().pk)
    is_taken = slot == "taken" and take(hold)
    if slot == "closed":
        close(hold)

    PATHS[path](hold, intent_id)
    clock.stop_at(moment + timedelta(seconds=1))
    is_taken = is_taken or (slot == "taken" and take(hold))
    two_minutes_after(clock, moment)

    # The slot is everybody's from the very moment on at which the hold runs out.
    assert is_taken == (slot == "taken" and seconds >= 0)
    if slot == "free" or (seconds <= 0 and not is_taken):
        # Paid in time, it is sold though it was closed meanwhile: the desk sees to it.
        require_booking(stripe, cases=("closure_conflict",) if slot == "closed" else ())
    else:
        require_all_back(stripe)


def learn_late(path: str, sandbox: Sandbox, hold: BookingHold) -> None:
    """The customer pays only now, and we learn of it."""
    intent_id = pay(sandbox, CardPayment.objects.get().pk)
    PATHS[path](hold, intent_id)


every_path = pytest.mark.parametrize("path", PATHS)


@every_path
def test_money_for_a_slot_that_was_given_back_goes_back(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, path: str
) -> None:
    hold = make_hold_of_alice()
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    with suppress(HoldIsReleased):
        learn_late(path, sandbox, hold)
    two_minutes_after(clock, read_clock())

    assert not Booking.objects.exists()
    require_all_back(stripe)


@every_path
@pytest.mark.parametrize("is_swept", [True, False])
def test_money_that_is_more_than_a_quarter_of_an_hour_late_goes_back(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, path: str, is_swept: bool
) -> None:
    hold = make_hold_of_alice()
    if is_swept:
        # Stripe does not hear of it: the customer can still pay.
        stripe.fails("5xx", "payment_intents.cancel", count=100)
    clock.go_on_at(hold.expires_at + timedelta(seconds=901))
    if is_swept:
        holds.expire_due_holds(limit=10)

    learn_late(path, sandbox, hold)
    stripe.works()
    two_minutes_after(clock, read_clock())

    assert not Booking.objects.exists()
    require_all_back(stripe)


@every_path
@pytest.mark.parametrize("is_booked", [True, False])
def test_money_for_a_slot_that_its_customer_got_anew_goes_back(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, path: str, is_booked: bool
) -> None:
    hold = make_hold_of_alice(payment_mode="EITHER", capacity=2)
    clock.go_on_at(hold.expires_at + timedelta(seconds=1))
    again = make_hold(
        resource=hold.resource, customer=hold.customer, start=hold.start_time
    )
    if is_booked:
        confirm_hold(hold_id=again.pk, customer_id=again.customer_id, pay="at_venue")

    learn_late(path, sandbox, hold)
    two_minutes_after(clock, read_clock())

    assert Booking.objects.count() == is_booked
    [refunded] = stripe.effects("refund_created")
    assert refunded["amount"] == HOUR
    assert Case.objects.get().status == "RESOLVED"
    assert told().count("late_payment_refunded") == 1


def test_money_for_three_places_of_which_two_are_left_goes_back(
    sandbox: Sandbox, stripe: Stripe, clock: Clock
) -> None:
    hold = make_hold_of_alice(capacity=3, units=3)
    clock.go_on_at(hold.expires_at + timedelta(seconds=1))
    bobs = make_hold(resource=hold.resource, start=hold.start_time)

    learn_late("webhook", sandbox, hold)
    two_minutes_after(clock, read_clock())

    require_all_back(stripe)
    assert {claim.hold_id for claim in SlotClaim.objects.all()} == {bobs.pk}


def sell_at_the_venue(hold: BookingHold) -> Booking:
    """The customer began to pay online, and then said that they pay there."""
    booking, _ = confirm_hold(
        hold_id=hold.pk, customer_id=hold.customer_id, pay="at_venue"
    )
    return booking


@every_path
def test_money_for_a_booking_that_was_cancelled_goes_back(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, path: str
) -> None:
    hold = make_hold_of_alice(payment_mode="EITHER")
    booking = sell_at_the_venue(hold)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    learn_late(path, sandbox, hold)
    two_minutes_after(clock, read_clock())

    assert Booking.objects.get().status == "CANCELLED"
    require_all_back(stripe)


@every_path
def test_money_for_a_booking_that_was_to_be_paid_at_the_venue_pays_for_it(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, path: str
) -> None:
    hold = make_hold_of_alice(payment_mode="EITHER")
    sell_at_the_venue(hold)

    learn_late(path, sandbox, hold)
    two_minutes_after(clock, read_clock())

    require_booking(stripe)


@every_path
def test_money_that_came_in_time_is_kept_for_though_nobody_decides_for_a_while(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, path: str
) -> None:
    """Its hold has its grace; the customer asks, or a worker comes by."""
    hold = make_hold_of_alice()
    learn_by_webhook(hold, pay(sandbox, CardPayment.objects.get().pk))

    clock.go_on_at(hold.expires_at + timedelta(seconds=30))
    holds.expire_due_holds(limit=10)
    assert not take(hold)
    if path == "confirm":
        learn_by_confirm(hold, "")
        assert Booking.objects.count() == 1
    two_minutes_after(clock, read_clock())

    require_booking(stripe)


def test_a_customer_whose_money_came_in_time_is_not_told_that_it_is_too_late(
    sandbox: Sandbox, stripe: Stripe, clock: Clock
) -> None:
    """Neither a sweep nor a worker has come by; the customer asks first."""
    hold = make_hold_of_alice()
    learn_by_webhook(hold, pay(sandbox, CardPayment.objects.get().pk))
    clock.go_on_at(hold.expires_at + timedelta(seconds=1))

    _, is_new = paying.confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    assert is_new
    two_minutes_after(clock, read_clock())
    require_booking(stripe)


@pytest.mark.parametrize("minutes", [4, 20])
def test_money_that_came_in_time_while_all_workers_were_dead_is_soon_somebodys(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, minutes: int
) -> None:
    """Its grace is over as well: it buys the slot anew, or goes back."""
    hold = make_hold_of_alice()
    learn_by_webhook(hold, pay(sandbox, CardPayment.objects.get().pk))
    for later in (timedelta(seconds=1), timedelta(minutes=minutes)):
        clock.go_on_at(hold.expires_at + later)
        holds.expire_due_holds(limit=10)
    assert BookingHold.objects.get().status == "EXPIRED"

    two_minutes_after(clock, read_clock())

    if minutes == 4:
        require_booking(stripe)
    else:
        require_all_back(stripe)


def test_money_whose_hold_runs_out_just_while_it_is_decided_is_not_forgotten(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = make_hold_of_alice()
    learn_by_webhook(hold, pay(sandbox, CardPayment.objects.get().pk))
    look = settling._retire_if_expired

    def look_and_be_slow(hold_id: Any) -> None:
        look(hold_id)
        monkeypatch.setattr(settling, "_retire_if_expired", look)
        clock.go_on_at(hold.expires_at + timedelta(seconds=1))

    monkeypatch.setattr(settling, "_retire_if_expired", look_and_be_slow)
    sweep()
    two_minutes_after(clock, read_clock())

    require_booking(stripe)


def test_asking_once_more_for_what_late_money_bought_shows_the_same_booking(
    sandbox: Sandbox, stripe: Stripe, clock: Clock
) -> None:
    hold = make_hold_of_alice()
    ids = {"hold_id": hold.pk, "customer_id": hold.customer_id}
    clock.go_on_at(hold.expires_at + timedelta(seconds=1))
    pay(sandbox, CardPayment.objects.get().pk)

    bought, is_new = paying.confirm_paid_hold(**ids)
    same, is_new_again = paying.confirm_paid_hold(**ids)

    assert (bought.pk, is_new, is_new_again) == (same.pk, True, False)
    two_minutes_after(clock, read_clock())
    require_booking(stripe)


def test_a_part_that_was_paid_for_a_hold_that_came_to_nothing_goes_back(
    sandbox: Sandbox, stripe: Stripe, clock: Clock
) -> None:
    """Staff counted less than was asked for; the rest never came."""
    hold = make_hold_of_alice()
    paid = pay(sandbox, CardPayment.objects.get().pk, amount=HOUR - 100)
    learn_by_webhook(hold, paid)
    sweep()
    accept_as_credit(payable_id=Payable.objects.get().pk, staff_id=make_staff().pk)
    sweep()
    assert BookingHold.objects.get().status == "ACTIVE"

    clock.go_on_at(hold.expires_at + timedelta(seconds=1))
    two_minutes_after(clock, read_clock())

    assert Payable.objects.get().status == "REFUNDED"
    [refunded] = stripe.effects("refund_created")
    assert refunded["amount"] == HOUR - 100
    assert told() == ["late_payment_refunded", "refund_succeeded"]
    assert not Case.objects.exclude(status="RESOLVED").exists()
