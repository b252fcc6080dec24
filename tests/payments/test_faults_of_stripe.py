"""Each fault at each write of Stripe: it happens once, and soon that is known.

Stripe fails while customers and workers use the product's services; then time passes,
and workers do what is due. What its ledger says is compared with our rows all the way.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from bookings.errors import PaymentUndecided
from bookings.models import Booking
from bookings.services import cancelling, holds, paying
from payments.models import CardPayment, Refund
from payments.services import card_payments, refund_calls
from payments.services.refunds import refund_amount
from recovery import invariants
from recovery.models import Case
from slotbase.lib.clock import read_clock
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.factories import make_staff
from tests.payments.money import (
    PRICE,
    begin_payment,
    make_paid_booking,
    make_priced_hold,
    pay,
)
from tests.payments.sweeps import next_moment, sweep
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

HAPPENED = {"accept_then_hang", "reset_after_effect", "malformed", "slow"}
DID_NOT = {"5xx", "stored_500", "hang"}
FAULTS = sorted(HAPPENED | DID_NOT)
# Its key may hold the error: Stripe is looked at before a new one is used.
MINUTES = {"5xx": 10, "stored_500": 10}
SLOW_SECONDS = 1


def make_intent(_: Sandbox) -> None:
    begin_payment(make_priced_hold())


def call_off(_: Sandbox) -> None:
    hold = make_priced_hold()
    begin_payment(hold)
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    card_payments.attempt_card_payments()


def give_back(sandbox: Sandbox) -> None:
    booking = make_paid_booking(sandbox)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    refund_calls.attempt_refunds()


@dataclass(frozen=True)
class Write:
    """A write of Stripe: what asks for it, its effect there, and its row here."""

    operation: str
    ask: Callable[[Sandbox], None]
    effect: str
    model: Any
    done: str
    given_up: frozenset[str]


WRITES = (
    Write(
        *("payment_intents.create", make_intent, "payment_intent_created"),
        *(CardPayment, "OPEN", frozenset({"CANCELED"})),
    ),
    Write(
        *("payment_intents.cancel", call_off, "payment_intent_canceled"),
        *(CardPayment, "CANCELED", frozenset()),
    ),
    Write(
        *("refunds.create", give_back, "refund_created"),
        *(Refund, "SUCCEEDED", frozenset({"FAILED", "CANCELED", "NEEDS_STAFF"})),
    ),
)
every_write = pytest.mark.parametrize("write", WRITES, ids=lambda w: w.operation)


def require_truth(write: Write, stripe: Stripe) -> None:
    """It happened once at most, and is not taken for failed."""
    assert len(stripe.effects(write.effect)) <= 1
    assert write.model.objects.get().status not in write.given_up


def heal(write: Write, stripe: Stripe, clock: Clock, *, minutes: int) -> None:
    """Let time pass from one attempt to the next, until it is done."""
    began = read_clock()
    while write.model.objects.get().status != write.done:
        clock.go_on_at(next_moment())
        assert (read_clock() - began).total_seconds() <= minutes * 60, "it takes long"
        stripe.trust()
        sweep()
        require_truth(write, stripe)


@every_write
@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_happens_once_and_soon_that_is_known(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, write: Write, fault: str
) -> None:
    stripe.fails(fault, write.operation)

    write.ask(sandbox)
    assert len(stripe.effects(write.effect)) == (fault in HAPPENED)
    assert write.model.objects.get().status != write.done
    require_truth(write, stripe)
    if fault == "slow":  # the answer must have arrived before its key is free again
        late = time.monotonic() + SLOW_SECONDS
        eventually(lambda: time.monotonic() > late)
    heal(write, stripe, clock, minutes=MINUTES.get(fault, 2))

    assert len(stripe.effects(write.effect)) == 1
    assert not Case.objects.exists()
    assert invariants.find_violations() == []


@every_write
def test_an_answer_that_is_slow_but_comes_is_taken(
    sandbox: Sandbox, stripe: Stripe, settings: Any, write: Write
) -> None:
    settings.PROVIDER_TIMEOUT_SECONDS = settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 5
    stripe.fails("slow", write.operation, seconds=SLOW_SECONDS)

    write.ask(sandbox)

    assert write.model.objects.get().status == write.done
    assert len(stripe.effects(write.effect)) == stripe.calls(write.operation) == 1
    assert invariants.find_violations() == []


@every_write
def test_faults_in_a_row_change_nothing_of_it(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, write: Write
) -> None:
    for fault in ("hang", "reset_after_effect", "malformed", "5xx"):
        stripe.fails(fault, write.operation)

    write.ask(sandbox)
    heal(write, stripe, clock, minutes=90)

    assert len(stripe.effects(write.effect)) == 1
    assert invariants.find_violations() == []


@pytest.mark.parametrize("fault", [*FAULTS, "4xx"])
def test_a_customer_who_confirms_while_stripe_is_ill_gets_the_booking_soon(
    sandbox: Sandbox, stripe: Stripe, clock: Clock, fault: str
) -> None:
    hold = make_priced_hold()
    pay(sandbox, begin_payment(hold).pk)
    more = {"status": 429} if fault == "4xx" else {}
    stripe.fails(fault, "payment_intents.retrieve", **more)

    with pytest.raises(PaymentUndecided):
        paying.confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    began = read_clock()
    sweep()

    assert Booking.objects.get().hold_id == hold.pk
    assert (read_clock() - began).total_seconds() < 120
    assert len(stripe.effects("paid")) == 1
    assert invariants.find_violations() == []


# Positive controls: with a fresh key for each attempt it happens twice.


def a_new_key(_: object) -> str:
    return str(uuid4())


@pytest.fixture
def patience(stripe: Stripe, settings: Any) -> None:
    """Nothing hangs here: what a busy computer makes slow is no fault of Stripe."""
    settings.PROVIDER_TIMEOUT_SECONDS = settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 5


def test_with_a_fresh_key_for_each_attempt_a_second_refund_would_happen(
    sandbox: Sandbox,
    stripe: Stripe,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    patience: None,
) -> None:
    monkeypatch.setattr(refund_calls, "_key", a_new_key)
    make_paid_booking(sandbox)
    payment = CardPayment.objects.get()
    refund_amount(
        payment_id=payment.pk,
        amount_minor=PRICE // 2,
        staff_id=make_staff().pk,
        version=payment.payable.version,
    )
    stripe.fails("reset_after_effect", "refunds.create")

    refund_calls.attempt_refunds()
    clock.move(minutes=2)
    sweep()

    assert len(stripe.effects("refund_created")) == 2


def test_with_a_fresh_key_for_each_attempt_a_second_intent_would_be_made(
    stripe: Stripe, clock: Clock, monkeypatch: pytest.MonkeyPatch, patience: None
) -> None:
    monkeypatch.setattr(card_payments, "_key", a_new_key)
    stripe.fails("reset_after_effect", "payment_intents.create")

    begin_payment(make_priced_hold())
    clock.move(minutes=2)
    sweep()

    assert len(stripe.effects("payment_intent_created")) == 2
