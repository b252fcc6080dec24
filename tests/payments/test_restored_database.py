"""An old backup is put back: nothing is charged or refunded twice, nothing is lost.

What was done at Stripe since then is found there. Senders wait until it is, and then
until a person says go.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from django.db import connection

from notifications.models import Notification
from notifications.services import sending
from payments.models import CardPayment, Reconciliation, Refund
from payments.services import comparing, events, reconcile_desk
from payments.services.installation import mark
from recovery import audit, invariants, rowqueue, senders
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.lib.errors import InvalidState, Unavailable, ValidationFailed
from slotbase.providers.stripe import client
from tests.adversity import Clock, Stripe
from tests.architecture.source import ROOT
from tests.factories import make_customer, make_staff
from tests.payments.backup import Backup, backup_of
from tests.payments.money import (
    TESTER,
    ask_refund,
    begin_payment,
    make_paid,
    make_paid_booking,
    make_payable,
    make_priced_hold,
    make_sold,
    open_kinds,
    pay,
    process_all,
    send,
    store_event,
)
from tests.payments.sweeps import do_due_work, sweep

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Lost:
    """An hour of money that the backup does not know, and what was before it."""

    backup: Backup
    stripe: Stripe
    refunded: UUID  # a payment of before, of which a part went back in that hour
    paying: UUID  # a payment that was begun before, and paid in that hour
    bought: str  # an intent, begun and paid in that hour
    begun: str  # an intent that can still be paid


@pytest.fixture
def lost(stripe: Stripe, clock: Clock) -> Iterator[Lost]:
    """The backup is put back; no process has begun yet."""
    sandbox = stripe._sandbox
    refunded = CardPayment.objects.get(payable=make_paid_booking(sandbox).payable_id)
    paying_ = begin_payment(make_priced_hold())
    sweep()
    events.reconcile_events()
    with backup_of(connection.settings_dict["NAME"]) as backup:
        send(ask_refund(refunded, 500))
        pay(sandbox, paying_.pk)
        bought = make_paid_booking(sandbox)
        begun = begin_payment(make_priced_hold())
        sweep()
        ids = CardPayment.objects.values_list("provider_id", flat=True)
        lost = Lost(
            *(backup, stripe, refunded.pk, paying_.pk),
            str(ids.get(payable=bought.payable_id)),
            str(ids.get(pk=begun.pk)),
        )
        backup.put_back()
        clock.move(minutes=1)
        yield lost


@pytest.fixture
def olga(lost: Lost) -> User:
    """Of operations; her account is in the backup, or not: then it is made anew."""
    return make_staff("operations")


def live() -> None:
    """Processes start, and work for a while; what is due later is due soon."""
    events.read_first()
    for _ in range(10):
        events.reconcile_events()
        comparing.compare_with_stripe()
        if not do_due_work():
            return


def refund_again(payment_id: UUID, amount_minor: int) -> None:
    """Whoever asked for it asks once more: there is no trace of the first time."""
    ask_refund(CardPayment.objects.get(pk=payment_id), amount_minor)


def resume(user: User) -> None:
    case = Case.objects.get(kind="restore_detected")
    reconcile_desk.resume_senders(
        case_id=case.pk, staff_id=user.pk, version=case.version, reason="Compared."
    )


def reconcile(user: User) -> None:
    assert reconcile_desk.reconcile_now(actor=audit.Actor.staff(user.pk))


@pytest.mark.case("restore_detected", "opens")
def test_after_a_restore_nothing_is_sent_before_a_person_says_go(lost: Lost) -> None:
    refund_again(lost.refunded, 500)

    live()

    assert senders.are_stopped()
    assert len(lost.stripe.effects("refund_created")) == 1
    with pytest.raises(Unavailable):
        begin_payment(make_priced_hold())
    free = make_priced_hold()
    assert free.status == "ACTIVE"
    assert not CardPayment.objects.filter(payable=free.payable_id).exists()


def test_after_reconcile_and_resume_all_money_has_its_place_and_went_once(
    lost: Lost, olga: User
) -> None:
    refund_again(lost.refunded, 500)
    live()

    reconcile(olga)
    resume(olga)
    live()

    assert not senders.are_stopped()
    assert len(lost.stripe.effects("refund_created")) == 1
    states = Refund.objects.filter(card_payment=lost.refunded).order_by("id")
    assert sorted(states.values_list("reason", "status")) == [
        ("OUTSIDE", "SUCCEEDED"),
        ("STAFF", "CANCELED"),
    ]
    assert CardPayment.objects.get(pk=lost.paying).status == "SUCCEEDED"
    unmatched = Case.objects.filter(kind="unmatched_payment")
    assert [case.subject_id for case in unmatched] == [lost.bought]
    canceled = lost.stripe.effects("payment_intent_canceled")
    assert [each["payment_intent"] for each in canceled] == [lost.begun]
    assert invariants.find_violations() == []


def test_what_was_found_once_stops_nobody_again(lost: Lost, olga: User) -> None:
    live()
    reconcile(olga)
    resume(olga)

    Reconciliation.objects.update(next_run_at=Now())
    live()
    store_event("payment_intent.succeeded", lost.bought)
    process_all()

    assert not senders.are_stopped()
    assert open_kinds().count("unmatched_payment") == 1


def test_senders_are_resumed_only_after_a_reconcile_that_was_asked_for(
    lost: Lost, olga: User
) -> None:
    live()

    with pytest.raises(InvalidState):
        resume(olga)

    lost.stripe.fails("5xx", "refunds.list", status=503)
    assert not reconcile_desk.reconcile_now(actor=TESTER)
    with pytest.raises(InvalidState):
        resume(olga)
    lost.stripe.works()
    reconcile(olga)
    case = Case.objects.get(kind="restore_detected")
    with pytest.raises(ValidationFailed):
        reconcile_desk.resume_senders(
            case_id=case.pk, staff_id=olga.pk, version=case.version, reason=" "
        )
    resume(olga)
    told = AuditEntry.objects.filter(subject_type="case", subject_id=str(case.pk))
    assert told.last().actor_id == str(olga.pk)  # type: ignore[union-attr]


@pytest.mark.parametrize("which", ["bought", "begun"])
def test_a_webhook_about_what_was_lost_stops_the_senders_at_once(
    lost: Lost, which: str
) -> None:
    store_event("payment_intent.requires_action", getattr(lost, which))

    process_all()

    assert senders.are_stopped()


def test_a_webhook_about_a_lost_refund_stops_them_and_is_recorded(lost: Lost) -> None:
    (made,) = lost.stripe.effects("refund_created")
    store_event("refund.created", made["refund"])

    process_all()

    assert senders.are_stopped()
    assert Refund.objects.get().reason == "OUTSIDE"


def test_the_comparison_of_all_objects_finds_it_though_no_event_tells(
    lost: Lost,
) -> None:
    for _ in range(5):
        comparing.compare_with_stripe()

    assert senders.are_stopped()
    # Nobody asked for it, so nothing is called off: this may be a copy of ours.
    assert lost.stripe.effects("payment_intent_canceled") == []


def test_without_the_guards_money_goes_back_twice(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rowqueue.senders, "has_looked_at", lambda _: True)
    refund_again(lost.refunded, 500)

    events.read_first()
    do_due_work()

    assert len(lost.stripe.effects("refund_created")) == 2


def test_without_the_look_at_what_bears_our_mark_nobody_would_notice(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "stop", lambda **_: None)

    live()

    assert not senders.are_stopped()


# --- What is no restore -----------------------------------------------------------


def make_intent(stripe: Stripe, **metadata: str) -> str:
    """An intent that somebody made in the same account, and that was paid."""
    made = client.create_intent(
        amount_minor=1200,
        currency="EUR",
        metadata=metadata,
        description="Theirs",
        idempotency_key=str(uuid4()),
        patience=client.Patience.WORKER,
    )
    stripe.tell("pay", payment_intent=made.id, outcome="succeed")
    return made.id


def test_another_installation_in_the_same_account_stops_nobody(stripe: Stripe) -> None:
    theirs = {**mark(), "installation": str(uuid4()), "card_payment": str(uuid4())}
    make_intent(stripe, **theirs)
    make_intent(stripe, slotbase_env="staging", card_payment=str(uuid4()))

    live()

    assert not senders.are_stopped()


def test_what_was_made_before_there_was_a_mark_stops_nobody(stripe: Stripe) -> None:
    make_intent(stripe, slotbase_env="main", card_payment=str(uuid4()))

    live()

    assert not senders.are_stopped()


def test_what_bears_our_mark_and_no_row_would_be_a_restore(stripe: Stripe) -> None:
    make_intent(stripe, **mark(), card_payment=str(uuid4()))

    live()

    assert senders.are_stopped()


# --- Whoever starts looks first -----------------------------------------------------


def test_nothing_is_sent_until_stripe_was_read_since_the_process_began(
    stripe: Stripe,
) -> None:
    payment = make_paid(stripe._sandbox, make_payable())
    events.reconcile_events()
    events.read_first()
    refund = send(ask_refund(payment, 500))
    assert refund.status == "REQUESTED"

    stripe.fails("5xx", "events.list", status=503)
    events.reconcile_events()
    assert send(refund).status == "REQUESTED"

    events.read_first()
    events.reconcile_events()
    assert send(refund).status == "SUCCEEDED"


def test_mails_do_not_wait_for_stripe(stripe: Stripe) -> None:
    alice = make_customer(email="alice@example.com")
    make_paid_booking(stripe._sandbox, customer=alice)
    events.reconcile_events()
    events.read_first()
    assert not senders.has_looked_at("stripe")

    sending.send_due()

    assert Notification.objects.get(template="booking_confirmed").status == "SENT"


def test_a_worker_that_starts_has_stripe_read_before_anything_is_sent(
    stripe: Stripe,
) -> None:
    make_paid(stripe._sandbox, make_payable())
    events.reconcile_events()
    assert senders.has_looked_at("stripe")

    address = urlsplit(os.environ["DATABASE_URL"])
    database = address._replace(path=f"/{connection.settings_dict['NAME']}")
    command = [sys.executable, "-m", "celery", "-A", "slotbase", "worker"]
    worker = subprocess.Popen(
        [*command, "--pool", "solo", "-Q", "nothing"],
        env={**os.environ, "DATABASE_URL": database.geturl()},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert comes_true(lambda: not senders.has_looked_at("stripe"))
    finally:
        worker.kill()
        worker.wait()


def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether it is so within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_nothing_is_sent_if_stripe_was_not_read_for_too_long(
    stripe: Stripe, clock: Clock
) -> None:
    payment = make_sold(stripe._sandbox)
    events.reconcile_events()
    clock.move(hours=2)
    refund = send(ask_refund(payment, 500))
    assert refund.status == "REQUESTED"

    events.reconcile_events()

    assert send(refund).status == "SUCCEEDED"


@pytest.mark.usefixtures("stripe")
def test_a_person_who_knows_of_a_restore_stops_the_senders() -> None:
    reconcile_desk.declare_restored(actor=TESTER)
    reconcile_desk.declare_restored(actor=TESTER)

    assert Case.objects.get().kind == "restore_detected"


@pytest.mark.parametrize(
    ("is_restored", "status"), [(True, "PENDING"), (False, "SENT")]
)
def test_mails_wait_as_well(stripe: Stripe, is_restored: bool, status: str) -> None:
    alice = make_customer(email="alice@example.com")
    make_paid_booking(stripe._sandbox, customer=alice)
    if is_restored:
        reconcile_desk.declare_restored(actor=TESTER)

    sending.send_due()

    assert Notification.objects.get(template="booking_confirmed").status == status
