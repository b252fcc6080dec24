"""`kill -9` around every call and commit that moves money: one charge, one refund.

Web processes and workers die at a failpoint, the time of their leases passes, and
sweeps do the rest. Stripe's and Resend's own ledgers tell how often it really happened.
"""

from functools import partial

import pytest

from bookings.models import Booking, BookingHold
from bookings.services import cancelling, holds
from payments.errors import RefundExceedsBalance
from payments.models import CardPayment, Refund
from payments.services import events
from payments.services.refund_desk import (
    hand_to_front_desk,
    retry_refund,
    settle_by_hand,
)
from payments.services.refunds import refund_amount
from recovery.models import AuditEntry, Case, InboxEvent, WorkflowRun
from recovery.rowqueue import MAX_DEATHS
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.lib.errors import InvalidState
from tests.crashes.test_kill_points import (
    AFTER_COMMIT,
    DELIVER,
    PROCESS,
    PUBLISHED,
    WITH_A_LEASE,
    every_point,
    post_webhook,
)
from tests.crashes.till import Till
from tests.crashes.worker import PAUSED, end_leases
from tests.factories import make_customer, make_staff
from tests.payments.money import (
    PRICE,
    begin_payment,
    make_paid_booking,
    make_priced_hold,
    pay,
)
from tests.payments.sweeps import sweep
from tests.providers.signing import payload, signed
from tests.workflow import states, take_one_turn

pytestmark = pytest.mark.django_db(transaction=True)

START, CONFIRM = "tests.crashes.till.start_payment", "tests.crashes.till.confirm"
CANCEL = "tests.crashes.till.cancel"
ATTEMPT_PAYMENT = "payments.tasks.attempt_card_payment"
ATTEMPT_REFUND = "payments.tasks.attempt_refund"
READ_EVENTS = "payments.tasks.reconcile_events"
REFUND_CARELESSLY = "tests.crashes.till.refund_under_a_new_key"
ADVANCE, ADVANCE_BADLY = (
    "recovery.tasks.advance_workflows",
    "tests.crashes.till.advance_badly",
)
SEND, FETCH = "notifications.tasks.send_email", "slotbase.accounts.tasks.fetch_profiles"

OF_THE_ENGINE = (*WITH_A_LEASE, "settled")
ASKED, CONFIRMING = "booking.asked", "booking.confirming"
STEPS = (
    *("process-refund", "complete-cancellation"),
    *("notify-waitlist", "notify-customer"),
)
each_point = pytest.mark.parametrize("point", OF_THE_ENGINE)
points_in_confirm = pytest.mark.parametrize(
    "point", [ASKED, PUBLISHED, CONFIRMING, AFTER_COMMIT]
)


def make_alice() -> User:
    """Somebody with an address."""
    return make_customer(email="alice@example.com")


def ids_of(hold: BookingHold) -> dict[str, str]:
    return {"hold": str(hold.pk), "customer": str(hold.customer_id)}


def make_paid_hold(till: Till) -> tuple[BookingHold, str]:
    """Paid at Stripe, which nobody here knows yet; and the id of its intent."""
    hold = make_priced_hold(customer=make_alice())
    return hold, pay(till.sandbox, begin_payment(hold).pk)


def make_told_booking(till: Till) -> Booking:
    """Paid for, and its customer has had the mail."""
    booking = make_paid_booking(till.sandbox, customer=make_alice())
    sweep()
    return booking


def make_cancelling_booking(till: Till) -> Booking:
    """Its refund is promised and its workflow is due."""
    booking = make_told_booking(till)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    return booking


def receive_webhook_of(intent_id: str) -> None:
    """Stripe tells that the customer has paid."""
    told = payload("stripe", data={"object": {"id": intent_id}})
    body, headers = signed("stripe", told)
    assert post_webhook(body.decode(), headers).status_code == 200


def require_cancelled(till: Till) -> None:
    """The booking is over, all of its money is back, and its customer knows, once.

    Mails: booked, receipt, cancelled, refunded.
    """
    assert Booking.objects.get().status == "CANCELLED"
    assert states() == dict.fromkeys(("mark-cancelling", *STEPS), "DONE")
    assert Refund.objects.get().status == "SUCCEEDED"
    till.require_all_is_well(refunded=1)
    assert len(till.mails()) == 4


def require_refunded_by_staff(till: Till) -> None:
    """The same, and its customer was told in between that it takes longer."""
    assert Refund.objects.get().status == "SUCCEEDED"
    till.require_all_is_well(refunded=1)
    assert len(till.mails()) == 5


# --- Between the intent at Stripe and its row ---------------------------------------


@every_point
def test_however_often_a_web_process_dies_over_an_intent_there_is_one(
    till: Till, point: str, times: int, deaths: int
) -> None:
    hold = make_priced_hold(customer=make_alice())

    till.kill(f"card_payment.{point}", START, times=times, **ids_of(hold))
    sweep()
    assert CardPayment.objects.filter(deaths__lte=deaths).count() == bool(times)
    pay(till.sandbox, begin_payment(hold).pk)
    till.live(CONFIRM, **ids_of(hold))

    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()


def test_a_process_that_dies_over_a_failure_of_stripe_asks_it_again(till: Till) -> None:
    hold = make_priced_hold(customer=make_alice())
    till.stripe.fails("5xx", "payment_intents.create")

    till.kill("card_payment.failed", START, **ids_of(hold))
    sweep()

    assert CardPayment.objects.get().status == "OPEN"
    till.require_all_is_well(paid=0)


@each_point
def test_an_intent_that_nobody_may_pay_any_more_is_called_off_once(
    till: Till, point: str
) -> None:
    hold = make_priced_hold(customer=make_alice())
    begin_payment(hold)
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)

    till.kill(f"card_payment.{point}", ATTEMPT_PAYMENT)
    sweep()

    assert CardPayment.objects.get().status == "CANCELED"
    assert len(till.stripe.effects("payment_intent_canceled")) == 1
    till.require_all_is_well(paid=0)


# --- Between Stripe's answer and the commit of the booking --------------------------


@points_in_confirm
def test_a_customer_who_asks_again_has_one_booking(till: Till, point: str) -> None:
    hold, _ = make_paid_hold(till)

    till.kill(point, CONFIRM, **ids_of(hold))
    till.live(CONFIRM, **ids_of(hold))
    till.live(CONFIRM, **ids_of(hold))

    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()
    assert len(till.mails()) == 2


@points_in_confirm
def test_a_customer_who_never_comes_back_has_a_booking_by_the_webhook(
    till: Till, point: str
) -> None:
    hold, intent_id = make_paid_hold(till)

    till.kill(point, CONFIRM, **ids_of(hold))
    receive_webhook_of(intent_id)
    sweep()

    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()
    assert len(till.mails()) == 2


@pytest.mark.parametrize("point", [ASKED, CONFIRMING])
def test_without_any_webhook_a_look_at_stripe_finds_the_money(
    till: Till, point: str
) -> None:
    hold, _ = make_paid_hold(till)

    till.kill(point, CONFIRM, **ids_of(hold))
    till.clock.move(minutes=6)  # RECONCILE_AFTER, and the grace of the hold
    sweep()

    assert Booking.objects.get().customer_id == hold.customer_id
    till.require_all_is_well()


# --- Between the webhook and what it means ------------------------------------------


@each_point
def test_a_worker_that_dies_over_the_webhook_counts_the_money_once(
    till: Till, point: str
) -> None:
    hold, intent_id = make_paid_hold(till)
    receive_webhook_of(intent_id)

    till.kill(f"inbox.{point}", PROCESS)
    sweep()

    assert InboxEvent.objects.get().status == "PROCESSED"
    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()


@pytest.mark.parametrize(
    "point", [*(f"outbox.{each}" for each in OF_THE_ENGINE), CONFIRMING, AFTER_COMMIT]
)
def test_a_worker_that_dies_while_it_settles_sells_the_slot_once(
    till: Till, point: str
) -> None:
    hold, intent_id = make_paid_hold(till)
    receive_webhook_of(intent_id)
    till.live(PROCESS)

    till.kill(point, DELIVER, subscriber="bookings.settling")
    sweep()

    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()
    assert len(till.mails()) == 2


@pytest.mark.parametrize(
    "point", [*(f"outbox.{each}" for each in OF_THE_ENGINE), PUBLISHED, AFTER_COMMIT]
)
def test_a_worker_that_dies_over_late_money_gives_it_back_once(
    till: Till, point: str
) -> None:
    hold, intent_id = make_paid_hold(till)
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    receive_webhook_of(intent_id)
    till.live(PROCESS)

    till.kill(point, DELIVER, subscriber="bookings.settling")
    sweep()

    assert not Booking.objects.exists()
    till.require_all_is_well(refunded=1)
    assert len(till.mails()) == 2


# --- Between Stripe's list of events and the inbox ----------------------------------


@each_point
def test_a_worker_that_dies_over_the_list_of_events_counts_the_money_once(
    till: Till, point: str
) -> None:
    hold, _ = make_paid_hold(till)

    till.kill(f"stripe_events.{point}", READ_EVENTS)
    events.reconcile_events()
    sweep()

    assert InboxEvent.objects.get().status == "PROCESSED"
    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()


def test_a_worker_that_dies_over_a_list_that_cannot_be_read_leaves_it_to_others(
    till: Till,
) -> None:
    hold, _ = make_paid_hold(till)
    till.stripe.fails("5xx", "events.list")

    till.kill("stripe_events.failed", READ_EVENTS)
    events.reconcile_events()
    sweep()

    assert Booking.objects.get().hold_id == hold.pk
    till.require_all_is_well()


# --- Between the refund at Stripe and its row ---------------------------------------


@every_point
def test_however_often_workers_die_over_a_refund_it_is_made_once(
    till: Till, point: str, times: int, deaths: int
) -> None:
    make_cancelling_booking(till)

    till.kill(f"refund.{point}", ATTEMPT_REFUND, times=times)
    sweep()

    assert Refund.objects.get().deaths == deaths
    require_cancelled(till)


def test_a_worker_that_dies_over_a_failure_of_stripe_refunds_once(till: Till) -> None:
    make_cancelling_booking(till)
    till.stripe.fails("5xx", "refunds.create")

    till.kill("refund.failed", ATTEMPT_REFUND)
    sweep()

    require_cancelled(till)


def test_a_worker_that_dies_while_stripe_answers_refunds_once(till: Till) -> None:
    make_cancelling_booking(till)
    till.stripe.fails("reset_after_effect", "refunds.create")

    till.kill("refund.failed", ATTEMPT_REFUND)
    assert len(till.stripe.effects("refund_created")) == 1
    sweep()

    require_cancelled(till)


@pytest.mark.parametrize("point", ["claimed", "called"])
def test_a_refund_that_kills_its_workers_waits_for_staff_who_can_send_it(
    till: Till, point: str
) -> None:
    make_cancelling_booking(till)

    till.kill(f"refund.{point}", ATTEMPT_REFUND, times=MAX_DEATHS)
    sweep()
    refund = Refund.objects.get()
    assert (refund.status, Case.objects.get().kind) == ("NEEDS_STAFF", "refund_failure")

    retry_refund(refund_id=refund.pk, staff_id=make_staff().pk)
    sweep()

    require_refunded_by_staff(till)


# One that is paused with its transaction open keeps the payable locked: others wait,
# as long as PostgreSQL lets it.
@pytest.mark.parametrize("point", ["claimed", "called"])
def test_a_worker_that_was_paused_over_a_refund_wakes_up_too_late(
    till: Till, point: str
) -> None:
    make_cancelling_booking(till)
    late = till.workers.start(ATTEMPT_REFUND, failpoints=f"refund.{point}=stop")
    assert till.workers.wait(late) == PAUSED
    end_leases()

    till.live(ATTEMPT_REFUND)
    done = Refund.objects.values().get()
    assert till.workers.go_on(late) == 0

    assert Refund.objects.values().get() == done
    refused = AuditEntry.objects.filter(action="late_record_refused")
    assert refused.get().subject_id == str(done["id"])
    sweep()
    require_cancelled(till)


def test_without_the_frozen_key_the_customer_would_get_it_twice(till: Till) -> None:
    booking, bob = make_told_booking(till), make_staff()
    payment = CardPayment.objects.get()
    refund_amount(
        payment_id=payment.pk,
        amount_minor=PRICE // 2,
        staff_id=bob.pk,
        version=payment.payable.version,
    )

    till.kill("refund.called", REFUND_CARELESSLY)
    till.live(REFUND_CARELESSLY)

    assert booking.payable_id == payment.payable_id
    assert len(till.stripe.effects("refund_created")) == 2


# --- A cancellation, at every boundary of every step --------------------------------


def test_a_web_process_that_dies_before_it_promised_anything_cancelled_nothing(
    till: Till,
) -> None:
    booking = make_told_booking(till)
    ids = {"booking": str(booking.pk), "customer": str(booking.customer_id)}

    till.kill(PUBLISHED, CANCEL, **ids)
    sweep()
    assert Booking.objects.get().status == "CONFIRMED"

    till.live(CANCEL, **ids)
    sweep()
    require_cancelled(till)


def test_what_a_web_process_promised_is_kept_though_it_died_at_once(
    till: Till,
) -> None:
    booking = make_told_booking(till)
    ids = {"booking": str(booking.pk), "customer": str(booking.customer_id)}

    till.kill(AFTER_COMMIT, CANCEL, **ids)
    assert Booking.objects.get().status == "CANCELLING"
    sweep()
    till.live(CANCEL, **ids)  # the customer had no answer

    require_cancelled(till)


@pytest.mark.parametrize("turns", range(len(STEPS)), ids=STEPS)
@each_point
def test_a_worker_that_dies_in_a_step_of_a_cancellation_leaves_it_to_others(
    till: Till, point: str, turns: int
) -> None:
    make_cancelling_booking(till)
    for _ in range(turns):
        take_one_turn()

    till.kill(f"workflow.{point}", ADVANCE)
    sweep()

    require_cancelled(till)


def test_a_worker_that_dies_over_a_step_that_failed_leaves_it_to_others(
    till: Till,
) -> None:
    make_cancelling_booking(till)

    till.kill("workflow.failed", ADVANCE_BADLY)
    sweep()

    require_cancelled(till)


@pytest.mark.parametrize("point", OF_THE_ENGINE)
def test_a_worker_that_dies_over_the_refund_of_a_step_refunds_once(
    till: Till, point: str
) -> None:
    make_cancelling_booking(till)

    till.kill(f"refund.{point}", ADVANCE)
    sweep()

    require_cancelled(till)


@pytest.mark.parametrize("point", ["claimed", "failed", "settled"])
def test_a_refund_that_was_made_is_never_undone_by_a_step_that_fails_after_it(
    till: Till, point: str
) -> None:
    make_cancelling_booking(till)
    take_one_turn()
    assert Refund.objects.get().status == "SUCCEEDED"
    # The next failure is the last one.
    WorkflowRun.objects.update(attempts=99)

    till.kill(f"workflow.{point}", ADVANCE_BADLY)
    if point != "settled":
        WorkflowRun.objects.update(attempts=99)
        till.kill("workflow.settled", ADVANCE_BADLY)

    # Neither back nor dropped: the case says what is left, and no money went again.
    assert WorkflowRun.objects.get().status == "RUNNING"
    assert states()["process-refund"] == "DONE"
    assert Case.objects.get().kind == "cancellation_failed"
    assert Refund.objects.count() == len(till.stripe.effects("refund_created")) == 1
    WorkflowRun.objects.update(next_run_at=Now())
    sweep()
    require_cancelled(till)


@pytest.mark.parametrize("point", ["called", "recorded", "failed"])
def test_a_refund_of_which_nobody_knows_is_not_paid_out_a_second_time(
    till: Till, point: str
) -> None:
    """Stripe has made it, and whoever asked died before they could write that down."""
    make_cancelling_booking(till)
    if point == "failed":
        till.stripe.fails("reset_after_effect", "refunds.create")
    bob = make_staff("support_lead")

    till.kill(f"refund.{point}", ATTEMPT_REFUND)
    refund = Refund.objects.get()
    for pay_again in (
        partial(hand_to_front_desk, refund_id=refund.pk, staff_id=bob.pk),
        partial(settle_by_hand, refund_id=refund.pk, staff_id=bob.pk, evidence="x"),
    ):
        with pytest.raises(InvalidState):
            pay_again()
    with pytest.raises(RefundExceedsBalance):
        refund_amount(
            payment_id=refund.card_payment_id,
            amount_minor=1,
            staff_id=bob.pk,
            version=refund.payable.version,
        )
    sweep()

    require_cancelled(till)


def test_a_refund_that_fails_writes_its_failure_though_a_worker_died_over_it(
    till: Till,
) -> None:
    make_cancelling_booking(till)
    till.stripe.fails("4xx", "refunds.create", count=None)

    till.kill("refund.failed", ATTEMPT_REFUND)
    refund = Refund.objects.get()
    # Rolled back as one: no state without its case, and no case without its state.
    assert refund.status != "NEEDS_STAFF"
    assert not Case.objects.exists()
    sweep()

    refund.refresh_from_db()
    assert refund.status == "NEEDS_STAFF"
    case = Case.objects.get(kind="refund_failure")
    assert case.subject_id == str(refund.pk)
    assert till.stripe.effects("refund_created") == []


# --- Mails about money --------------------------------------------------------------


@pytest.mark.parametrize("point", [*OF_THE_ENGINE, "rendered"])
def test_a_mail_goes_out_once_whoever_dies_over_it(till: Till, point: str) -> None:
    make_paid_booking(till.sandbox, customer=make_alice())

    till.kill(f"email.{point}", SEND)
    sweep()

    till.require_all_is_well()
    assert len(till.mails()) == 2


def test_a_mail_goes_out_once_though_a_worker_died_over_a_failure(till: Till) -> None:
    make_paid_booking(till.sandbox, customer=make_alice())
    fault = {"provider": "resend", "operation": "emails.send", "fault": "5xx"}
    till.sandbox.post("/_sandbox/faults", {**fault, "count": 1})

    till.kill("email.failed", SEND)
    sweep()

    till.require_all_is_well()
    assert len(till.mails()) == 2


@each_point
def test_whoever_dies_while_clerk_is_asked_the_mail_finds_its_way(
    till: Till, point: str
) -> None:
    make_paid_booking(till.sandbox, customer=make_customer(clerk_id="user_demo_ada"))

    till.kill(f"profiles.{point}", FETCH)
    sweep()
    till.clock.move(minutes=1)  # a mail without an address looks again

    till.require_all_is_well()
    assert len(till.mails()) == 2


def test_clerk_is_asked_again_though_a_worker_died_over_a_failure(till: Till) -> None:
    make_paid_booking(till.sandbox, customer=make_customer(clerk_id="user_demo_ada"))
    fault = {"provider": "clerk", "operation": "*", "fault": "5xx", "status": 503}
    till.sandbox.post("/_sandbox/faults", {**fault, "count": 1})

    till.kill("profiles.failed", FETCH)
    sweep()
    till.clock.move(minutes=1)

    till.require_all_is_well()
    assert len(till.mails()) == 2
