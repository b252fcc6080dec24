"""Money at one instant from several sides: it is taken once, and given back once.

Each guard has its positive control: the same race without it is lost.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.db import connection, models

from bookings.errors import HoldHasExpired, HoldIsReleased, SlotUnavailable
from bookings.models import Booking, BookingHold
from bookings.services import cancelling, holds, paying
from payments.errors import Overpayment, PayableHasChanged, RefundExceedsBalance
from payments.locks import lock_payable
from payments.models import CardPayment, OfflinePayment, Payable, Refund
from payments.services import card_payments, refund_calls, refunds
from payments.services.offline import Received, record_payment
from payments.services.refunds import refund_amount, request_refund
from payments.states import OfflineMethod, RefundReason
from recovery import audit, deliveries, inbox, invariants, rowqueue
from recovery.models import Case, InboxEvent
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import InvalidState
from tests.adversity import Stripe
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.crashes.worker import post_webhook
from tests.factories import expire, make_customer, make_resource, make_staff, wanted
from tests.payments.money import (
    PRICE,
    begin_payment,
    make_paid_booking,
    make_priced_hold,
    new_key,
    pay,
)
from tests.payments.sweeps import sweep
from tests.providers.signing import payload, signed

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 2 * PRICE
ROUNDS, RUNS = 6, 20
SETTLING = "bookings.settling"


@pytest.fixture(autouse=True)
def _patient_stripe(stripe: Stripe, settings: Any) -> None:
    """Many call at once on a small computer: nobody hangs up."""
    settings.PROVIDER_CONNECT_SECONDS = 20
    settings.PROVIDER_TIMEOUT_SECONDS = 20
    settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 20
    settings.WEB_THREADS = 100


@contextmanager
def without_constraint(model: type[models.Model], name: str) -> Iterator[None]:
    """The database as it would be without it; its rows go before it is back."""
    constraint = next(c for c in model._meta.constraints if c.name == name)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        model._default_manager.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


def kinds(outcomes: list[Any]) -> list[str]:
    return sorted(type(each).__name__ for each in outcomes)


def receive(intent_id: str) -> int:
    """A copy of one webhook comes in; the answer's status."""
    told = payload("stripe", id=f"evt_{intent_id}", data={"object": {"id": intent_id}})
    body, headers = signed("stripe", told)
    status: int = post_webhook(body.decode(), headers).status_code
    return status


def make_paid_hold(sandbox: Sandbox, **over: Any) -> tuple[BookingHold, str]:
    """Paid at Stripe; and the id of its intent."""
    hold = make_priced_hold(**over)
    return hold, pay(sandbox, begin_payment(hold).pk)


def confirm(hold: BookingHold) -> Any:
    return paying.confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)


# --- Two refunds of one payment -----------------------------------------------------


@retry_on_conflict
def give_back(payment: CardPayment, amount_minor: int, lock: Callable[..., Any]) -> Any:
    return request_refund(
        lock(payment.payable_id),
        payment,
        amount_minor,
        reason=RefundReason.STAFF,
        actor=audit.Actor.staff(make_staff().pk),
    )


@contextmanager
def both_look_first() -> Iterator[None]:
    """Whoever has seen what is left waits, if possible, until the other one has too."""
    both, look = threading.Barrier(2), refunds.refundable_minor

    def look_and_wait(payment: Any) -> int:
        left = look(payment)
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)
        return left

    with mock.patch.object(refunds, "refundable_minor", look_and_wait):
        yield


def race_for_refunds(payment: CardPayment, lock: Callable[..., Any]) -> list[Any]:
    """Sixty and sixty of a hundred."""
    amount = payment.amount_minor * 6 // 10
    with both_look_first():
        return at_once([partial(give_back, payment, amount, lock)] * 2)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_two_refunds_that_are_too_much_together_one_is_accepted(
    sandbox: Sandbox, stripe: Stripe, round_: int
) -> None:
    make_paid_booking(sandbox)
    payment = CardPayment.objects.get()

    outcomes = race_for_refunds(payment, lock_payable)
    sweep()

    [error] = errors_in(outcomes)
    assert isinstance(error, RefundExceedsBalance)
    assert (error.status, error.code) == (409, "refund_exceeds_balance")
    assert error.refundable_minor == HOUR * 4 // 10
    [effect] = stripe.effects("refund_created")
    assert effect["amount"] == Payable.objects.get().refunded_minor == HOUR * 6 // 10
    assert invariants.find_violations() == []


@pytest.mark.breaks_invariants
def test_without_the_lock_both_refunds_would_be_accepted(sandbox: Sandbox) -> None:
    make_paid_booking(sandbox)

    outcomes = race_for_refunds(
        CardPayment.objects.get(), lambda id_: Payable.objects.get(pk=id_)
    )

    assert errors_in(outcomes) == []
    assert "I2" in {violation.id for violation in invariants.find_violations()}


def test_of_two_staff_who_saw_the_same_balance_the_second_looks_again(
    sandbox: Sandbox,
) -> None:
    make_paid_booking(sandbox)
    payment, bob = CardPayment.objects.get(), make_staff()
    wish = partial(
        refund_amount,
        payment_id=payment.pk,
        amount_minor=100,
        staff_id=bob.pk,
        version=payment.payable.version,
    )

    outcomes = at_once([wish] * 4)

    assert kinds(errors_in(outcomes)) == [PayableHasChanged.__name__] * 3
    assert Refund.objects.count() == 1


def test_a_cancellation_and_a_refund_by_staff_give_back_no_more_than_came(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    for number in range(1, ROUNDS + 1):
        booking = make_paid_booking(sandbox)
        payment = CardPayment.objects.get(payable=booking.payable_id)

        at_once(
            [
                partial(give_back, payment, HOUR // 2, lock_payable),
                partial(
                    cancelling.cancel_booking,
                    booking_id=booking.pk,
                    customer_id=booking.customer_id,
                ),
            ]
        )
        sweep()

        back = sum(each["amount"] for each in stripe.effects("refund_created"))
        assert back == HOUR * number
    assert invariants.find_violations() == []


# --- Many at one refund -------------------------------------------------------------


def make_refund(sandbox: Sandbox) -> Refund:
    """Promised, and not sent yet."""
    booking = make_paid_booking(sandbox)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    return Refund.objects.get()


@pytest.mark.parametrize("round_", range(3))
def test_of_many_workers_one_sends_a_refund(
    sandbox: Sandbox, stripe: Stripe, round_: int
) -> None:
    make_refund(sandbox)

    outcomes = at_once([refund_calls.attempt_refunds] * 6)

    assert sorted(outcomes) == [0, 0, 0, 0, 0, 1]
    assert stripe.calls("refunds.create") == 1
    assert len(stripe.effects("refund_created")) == 1
    assert Refund.objects.get().status == "SUCCEEDED"


def test_without_the_lease_each_of_them_would_call_stripe(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    make_refund(sandbox)
    claim = partial(rowqueue._claim, refund_calls.QUEUE, {}, due_before=read_clock())
    row = claim()
    assert row is not None

    at_once([partial(rowqueue._run, refund_calls.QUEUE, row)] * 2)

    assert stripe.calls("refunds.create") == 2
    assert len(stripe.effects("refund_created")) == 1  # its key is the second guard


# --- Many begin to pay --------------------------------------------------------------


def test_twenty_times_pay_at_once_is_one_intent(stripe: Stripe) -> None:
    hold = make_priced_hold()

    outcomes = at_once(
        [partial(paying.start_payment, hold_id=hold.pk, customer_id=hold.customer_id)]
        * 20
    )

    assert errors_in(outcomes) == []
    assert {each.payment.pk for each in outcomes} == {CardPayment.objects.get().pk}
    assert any(each.is_ready for each in outcomes)
    assert stripe.calls("payment_intents.create") == 1
    sweep()
    assert len(stripe.effects("payment_intent_created")) == 1


def begin_without_locks(payable_id: UUID) -> Any:
    @retry_on_conflict
    def begin() -> Any:
        payable = Payable.objects.get(pk=payable_id)
        actor = audit.Actor.customer(payable.customer_id)
        return card_payments.begin_card_payment(payable, actor=actor)

    return begin()


@pytest.mark.breaks_invariants
def test_without_lock_and_constraint_there_would_be_several_intents() -> None:
    hold = make_priced_hold()
    payable_id = begin_payment(hold).payable_id

    with without_constraint(CardPayment, "payments_cardpayment_one_open"):
        CardPayment.objects.all().delete()
        outcomes = at_once([partial(begin_without_locks, payable_id)] * 20)
        begun = CardPayment.objects.count()

    assert errors_in(outcomes) == []
    assert begun > 1


# --- Confirm against everybody else -------------------------------------------------


def test_confirming_a_paid_hold_many_times_at_once_makes_one_booking(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    hold, _ = make_paid_hold(sandbox)

    outcomes = at_once([partial(confirm, hold)] * 10)

    assert errors_in(outcomes) == []
    assert {booking.pk for booking, _ in outcomes} == {Booking.objects.get().pk}
    assert sum(is_new for _, is_new in outcomes) == 1
    assert Payable.objects.get().paid_minor == HOUR
    assert invariants.find_violations() == []


def test_confirm_and_cancel_at_once_end_as_one_after_the_other(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    for number in range(1, ROUNDS + 1):
        hold, intent_id = make_paid_hold(sandbox)
        booking, _ = confirm(hold)

        outcomes = at_once(
            [
                partial(confirm, hold),
                partial(
                    cancelling.cancel_booking,
                    booking_id=booking.pk,
                    customer_id=booking.customer_id,
                ),
                partial(receive, intent_id),
            ]
        )
        sweep()

        assert errors_in(outcomes) == []
        booking.refresh_from_db()
        assert booking.status == "CANCELLED"
        assert len(stripe.effects("refund_created")) == number
    assert invariants.find_violations() == []


def test_confirm_and_release_at_once_leave_a_booking_or_the_money_back(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    back = 0
    for _ in range(ROUNDS):
        hold, _ = make_paid_hold(sandbox)

        confirmed, released = at_once(
            [
                partial(confirm, hold),
                partial(
                    holds.release_hold, hold_id=hold.pk, customer_id=hold.customer_id
                ),
            ]
        )
        sweep()

        is_sold = Booking.objects.filter(hold=hold).exists()
        assert isinstance(released, InvalidState) == is_sold
        assert isinstance(confirmed, HoldIsReleased) != is_sold
        back += not is_sold
        assert len(stripe.effects("refund_created")) == back
    assert invariants.find_violations() == []


def test_confirm_and_expiry_while_the_money_arrives_leave_nothing_to_nobody(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    """And a newcomer wants the slot: it is sold once, to whoever paid or came first."""
    court = make_resource(payment_mode="ONLINE", price_minor=PRICE)
    sold = 0
    for run in range(RUNS):
        hold, intent_id = make_paid_hold(sandbox, resource=court)
        BookingHold.objects.filter(pk=hold.pk).update(
            # Until it is confirmed takes some time: sometimes more, sometimes less.
            expires_at=read_clock() + timedelta(milliseconds=run * 20)
        )
        receive(intent_id)
        ben = make_customer()

        confirmed, *_, newcomer = at_once(
            [
                partial(confirm, hold),
                inbox.process_inbox,
                partial(deliveries.deliver_events, SETTLING),
                partial(holds.expire_due_holds, limit=10),
                partial(holds.create_hold, customer_id=ben.pk, wanted=wanted(court)),
            ]
        )
        sweep()

        assert isinstance(confirmed, HoldHasExpired | tuple)
        bought = Booking.objects.filter(payable__card_payments__provider_id=intent_id)
        is_ben = not isinstance(newcomer, SlotUnavailable)
        assert bought.count() == (not is_ben)
        assert refunds_of(intent_id, stripe) == is_ben
        sold += not is_ben
        make_room(court.pk)
    assert invariants.find_violations() == []
    assert 0 < sold < RUNS  # both ends have really been seen


def refunds_of(intent_id: str, stripe: Stripe) -> int:
    made = stripe.effects("refund_created")
    return sum(each["payment_intent"] == intent_id for each in made)


def make_room(court_id: int) -> None:
    """For the next round: what was sold has another time."""
    for booking in Booking.objects.filter(resource=court_id, status="CONFIRMED"):
        cancelling.cancel_booking(
            booking_id=booking.pk, customer_id=booking.customer_id
        )
    for hold in BookingHold.objects.filter(resource=court_id, status="ACTIVE"):
        expire(hold)
    holds.expire_due_holds(limit=10)


def test_the_expiry_sweep_takes_no_slot_whose_money_came_in_time(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    for _ in range(ROUNDS):
        hold, intent_id = make_paid_hold(sandbox)
        receive(intent_id)
        inbox.process_inbox()
        expire(hold)

        outcomes = at_once(
            [
                partial(holds.expire_due_holds, limit=10),
                partial(deliveries.deliver_events, SETTLING),
                partial(holds.expire_due_holds, limit=10),
                partial(deliveries.deliver_events, SETTLING),
            ]
        )
        sweep()

        assert errors_in(outcomes) == []
        assert Booking.objects.get(hold=hold).status == "CONFIRMED"
    assert stripe.effects("refund_created") == []
    assert invariants.find_violations() == []


# --- Cash and card, and webhooks ----------------------------------------------------


def pay_cash(payable_id: UUID, staff_id: UUID) -> Any:
    cash = Received(payable_id, HOUR, OfflineMethod.CASH, staff_id, new_key())
    return record_payment(cash)


def test_cash_and_card_at_once_are_both_counted_or_the_cash_is_refused(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    bob, twice = make_staff(), 0
    for _ in range(ROUNDS):
        hold, intent_id = make_paid_hold(sandbox)
        payment = CardPayment.objects.get(provider_id=intent_id)
        receive(intent_id)

        cash, _ = at_once(
            [partial(pay_cash, payment.payable_id, bob.pk), inbox.process_inbox]
        )
        sweep()

        payable = Payable.objects.get(pk=payment.payable_id)
        is_refused = isinstance(cash, Overpayment)
        assert payable.paid_minor == (HOUR if is_refused else 2 * HOUR)
        assert Booking.objects.filter(hold=hold).count() == 1
        twice += not is_refused
        cases = Case.objects.filter(kind="payment_mismatch", status="OPEN")
        assert cases.count() == twice
    assert OfflinePayment.objects.count() == twice
    assert invariants.find_violations() == []


def test_what_was_paid_in_cash_cannot_be_paid_by_card_as_well(stripe: Stripe) -> None:
    payment = begin_payment(make_priced_hold())

    pay_cash(payment.payable_id, make_staff().pk)
    sweep()

    payment.refresh_from_db()
    assert payment.status == "CANCELED"
    assert len(stripe.effects("payment_intent_canceled")) == 1
    assert Booking.objects.get().status == "CONFIRMED"
    assert invariants.find_violations() == []


def test_one_form_for_cash_that_is_sent_by_everybody_at_once_is_one_payment(
    sandbox: Sandbox,
) -> None:
    payment, bob, key = begin_payment(make_priced_hold()), make_staff(), new_key()
    cash = Received(payment.payable_id, HOUR, OfflineMethod.CASH, bob.pk, key)

    outcomes = at_once([partial(record_payment, cash)] * 8)

    assert errors_in(outcomes) == []
    assert sum(is_new for _, is_new in outcomes) == 1
    assert OfflinePayment.objects.get().receipt_number == 1
    assert Payable.objects.get().paid_minor == HOUR


def test_a_webhook_twenty_times_at_once_is_counted_once(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    hold, intent_id = make_paid_hold(sandbox)

    answers = at_once([partial(receive, intent_id)] * 20)
    worked = at_once([inbox.process_inbox] * 4)
    sweep()

    assert answers == [200] * 20
    assert InboxEvent.objects.get().status == "PROCESSED"
    assert sum(worked) == 1
    assert Payable.objects.get().paid_minor == HOUR
    assert Booking.objects.get().hold_id == hold.pk
    assert invariants.find_violations() == []


def test_without_its_constraint_a_webhook_would_be_there_more_than_once(
    sandbox: Sandbox,
) -> None:
    _, intent_id = make_paid_hold(sandbox)

    with without_constraint(InboxEvent, "recovery_inbox_once"):
        at_once([partial(receive, intent_id)] * 20)
        rows = InboxEvent.objects.count()

    assert rows == 20
