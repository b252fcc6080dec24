"""Grace: a hold lasts longer, once, while its payment is being decided."""

from datetime import timedelta
from typing import Any

import pytest

from bookings.errors import HoldNotFound
from bookings.models import BookingHold
from bookings.services.grace import give_grace
from bookings.services.holds import expire_due_holds, release_hold
from payments.models import Payable
from recovery.models import AuditEntry, Case
from slotbase.lib.clock import read_clock
from tests.adversity import Clock, Stripe
from tests.bookings.till import act
from tests.factories import make_customer, make_hold, make_resource
from tests.payments.money import (
    begin_payment,
    make_cash,
    open_kinds,
    process_all,
    run_due_work,
    store_event,
)

pytestmark = pytest.mark.django_db


def ask(hold: BookingHold) -> timedelta:
    """What is left of it after it asked for grace."""
    give_grace(hold_id=hold.pk, customer_id=hold.customer_id)
    hold.refresh_from_db()
    return hold.expires_at - read_clock()


def extended() -> int:
    return AuditEntry.objects.filter(action="hold.extended").count()


def test_a_hold_that_would_soon_run_out_gets_three_minutes(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    begin_payment(hold)
    clock.move(seconds=200)

    left = ask(hold)

    assert 179 <= left.total_seconds() <= 180
    assert hold.grace_given_at is not None
    assert extended() == 1


def test_it_gets_them_once(hold: BookingHold, stripe: Stripe, clock: Clock) -> None:
    begin_payment(hold)
    clock.move(seconds=200)
    ask(hold)
    clock.move(seconds=100)

    assert ask(hold) < timedelta(seconds=81)
    assert extended() == 1


def test_a_hold_with_time_enough_keeps_its_grace(
    hold: BookingHold, stripe: Stripe
) -> None:
    begin_payment(hold)

    assert ask(hold) > timedelta(seconds=290)
    assert extended() == 0


def test_without_a_payment_there_is_no_grace(hold: BookingHold, clock: Clock) -> None:
    clock.move(seconds=200)

    assert ask(hold) < timedelta(seconds=101)


def test_a_payment_that_is_called_off_earns_none(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    payment = begin_payment(hold)
    type(payment).objects.update(cancel_requested_at=read_clock())
    clock.move(seconds=200)

    assert ask(hold) < timedelta(seconds=101)


def test_what_has_run_out_or_was_given_back_stays_so(
    hold: BookingHold, either: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    begin_payment(hold)
    begin_payment(either)
    release_hold(hold_id=either.pk, customer_id=either.customer_id)
    clock.move(seconds=301)

    assert ask(hold) < timedelta()
    assert ask(either) < timedelta()
    assert extended() == 0


def test_nobody_extends_a_strangers_hold(hold: BookingHold) -> None:
    with pytest.raises(HoldNotFound):
        give_grace(hold_id=hold.pk, customer_id=make_customer().pk)


# --- Running out ---------------------------------------------------------------


def pay_and_hear_of_it(stripe: Stripe, hold: BookingHold, **more: Any) -> None:
    begin_payment(hold)
    store_event("payment_intent.succeeded", act(stripe, hold, **more))
    process_all()


def test_money_that_came_in_time_keeps_the_slot_from_a_newcomer(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    pay_and_hear_of_it(stripe, hold)
    clock.move(seconds=301)

    expire_due_holds(limit=10)

    hold.refresh_from_db()
    assert hold.status == "ACTIVE"
    assert hold.expires_at > read_clock()
    run_due_work()
    hold.refresh_from_db()
    assert hold.status == "CONFIRMED"


def test_an_unpaid_hold_runs_out_and_its_payment_is_called_off(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    payment = begin_payment(hold)
    clock.move(seconds=301)

    expire_due_holds(limit=10)

    hold.refresh_from_db()
    payment.refresh_from_db()
    assert (hold.status, Payable.objects.get().owed_minor) == ("EXPIRED", 0)
    run_due_work()
    payment.refresh_from_db()
    assert payment.status == "CANCELED"


def test_a_part_of_the_money_keeps_no_slot_and_goes_back(
    hold: BookingHold, stripe: Stripe, clock: Clock
) -> None:
    begin_payment(hold)
    make_cash(Payable.objects.get(), 1000)
    clock.move(seconds=301)

    expire_due_holds(limit=10)
    run_due_work()

    hold.refresh_from_db()
    assert hold.status == "EXPIRED"
    assert Payable.objects.get().excess_minor == 0
    assert open_kinds() == ["late_money", "refund_payout"]
    late = Case.objects.get(kind="late_money")
    assert late.cause == "It is only a part of the price."


def test_free_holds_run_out_as_ever(clock: Clock) -> None:
    hold = make_hold(resource=make_resource())
    clock.move(seconds=301)

    assert expire_due_holds(limit=10) == 1

    hold.refresh_from_db()
    assert hold.status == "EXPIRED"
