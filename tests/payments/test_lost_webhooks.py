"""Webhooks that never came: Stripe's list of events is read, and they are processed."""

import pytest

from bookings.models import Booking
from payments.models import Reconciliation
from payments.services import events
from recovery.models import Case, InboxEvent
from tests.conftest import Sandbox
from tests.payments.money import (
    begin_payment,
    make_priced_hold,
    pay,
    run_due_work,
)

pytestmark = pytest.mark.django_db(transaction=True)


def make_due() -> None:
    Reconciliation.objects.update(next_run_at="2000-01-01T00:00Z")


def test_what_no_webhook_told_is_found_in_the_list_and_processed_once(
    sandbox: Sandbox,
) -> None:
    hold = make_priced_hold()
    pay(sandbox, begin_payment(hold).pk)

    assert events.reconcile_events() == 1
    run_due_work()

    assert Booking.objects.get(hold=hold).status == "CONFIRMED"
    stored = InboxEvent.objects.count()
    make_due()
    assert events.reconcile_events() == 1
    assert InboxEvent.objects.count() == stored


def test_the_list_is_read_when_it_is_time_and_not_before(sandbox: Sandbox) -> None:
    assert [events.reconcile_events(), events.reconcile_events()] == [1, 0]

    make_due()

    assert events.reconcile_events() == 1


def test_events_that_nobody_handles_are_left_at_stripe(sandbox: Sandbox) -> None:
    begin_payment(make_priced_hold())  # payment_intent.created

    events.reconcile_events()

    assert not InboxEvent.objects.exists()


def test_a_list_that_cannot_be_read_is_read_from_the_same_point_later(
    sandbox: Sandbox,
) -> None:
    hold = make_priced_hold()
    pay(sandbox, begin_payment(hold).pk)
    fault = {"provider": "stripe", "operation": "events.list", "fault": "5xx"}
    sandbox.post("/_sandbox/faults", {**fault, "status": 503, "count": 1})

    assert events.reconcile_events() == 1
    row = Reconciliation.objects.get()
    assert (row.seen_until, row.attempts) == (None, 1)

    make_due()
    events.reconcile_events()
    run_due_work()
    assert Booking.objects.filter(hold=hold).exists()


def test_a_list_that_cannot_be_read_for_long_is_a_case_that_says_what_waits(
    sandbox: Sandbox,
) -> None:
    fault = {"provider": "stripe", "operation": "events.list", "fault": "5xx"}
    sandbox.post("/_sandbox/faults", {**fault, "status": 503, "count": 1})
    Reconciliation.objects.create(name=events.NAME, attempts=len(events.WAITS))

    events.reconcile_events()

    case = Case.objects.get()
    assert (case.kind, case.subject_type) == ("dead_letter", "reconciliation")
    assert "refunds and payments wait" in case.title
    make_due()
    events.reconcile_events()
    case.refresh_from_db()
    assert case.status == "RESOLVED"
