"""The invariants notice what they are there for: each is broken by hand, once."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from bookings.models import Booking, BookingHold, SlotClaim, WaitlistEntry
from payments.models import Reconciliation
from recovery import cases, invariants, rowqueue, senders, tasks
from recovery.models import (
    Alert,
    Approval,
    AuditEntry,
    Case,
    DeadLetter,
    EventDelivery,
    IdempotencyRecord,
    InboxEvent,
    OutboxEvent,
    WorkflowRun,
)
from slotbase.lib.clock import read_clock
from tests.bookings import notes_that_break
from tests.conftest import broken_rules
from tests.factories import make_booking, make_customer, make_hold, make_staff
from tests.notifications import broken as messages
from tests.payments import broken as money

pytestmark = [pytest.mark.django_db, pytest.mark.breaks_invariants]


def sold_twice() -> None:
    first, second = make_hold(), make_hold()
    BookingHold.objects.filter(pk=second.pk).update(resource=first.resource_id)


def history_skips_a_move() -> None:
    hold = make_hold()
    SlotClaim.objects.filter(hold=hold).delete()
    BookingHold.objects.filter(pk=hold.pk).update(
        status="RELEASED", released_at=hold.created_at
    )


def history_has_an_illegal_move() -> None:
    booking = make_booking()
    AuditEntry.objects.create(
        actor_kind="system",
        action="booking.x",
        subject_type="booking",
        subject_id=str(booking.pk),
        from_state="CONFIRMED",
        to_state="CANCELLED",
    )


def claim_is_missing() -> None:
    SlotClaim.objects.filter(hold=make_booking().hold_id).delete()


def claim_is_of_other_time() -> None:
    hold = make_hold()
    later = (hold.end_time, hold.end_time + (hold.end_time - hold.start_time))
    SlotClaim.objects.filter(hold=hold).update(during=later)


def booking_without_confirmed_hold() -> None:
    hold = make_booking().hold
    BookingHold.objects.filter(pk=hold.pk).update(status="ACTIVE")


def confirmed_too_late() -> None:
    booking = make_booking()
    Booking.objects.filter(pk=booking.pk).update(created_at=booking.end_time)


def other_time_than_held() -> None:
    booking = make_booking()
    Booking.objects.filter(pk=booking.pk).update(units=[7])


def key_with_two_answers() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE recovery_idempotencyrecord"
            " DROP CONSTRAINT recovery_idempotency_once"
        )
    for number in (200, 201):
        IdempotencyRecord.objects.create(
            principal="a",
            key="k",
            route="r",
            body_hash="h",
            status=number,
            object_id="01a20a68-ab93-7eac-b733-d41a08772a56",
        )


def case_history_lacks_its_opening() -> None:
    Case.objects.create(
        kind="dead_letter",
        fingerprint="f",
        severity="high",
        audience="operations",
        title="t",
        due_at=read_clock(),
    )


def webhook_forgotten() -> None:
    store_webhook()
    InboxEvent.objects.update(received_at=read_clock() - timedelta(hours=2))
    InboxEvent.objects.update(next_run_at=read_clock() - timedelta(minutes=2))


def webhook_not_tried() -> None:
    store_webhook()
    InboxEvent.objects.update(next_run_at=read_clock() - timedelta(minutes=6))


def event_not_tried() -> None:
    make_delivery(next_run_at=read_clock() - timedelta(minutes=6))


def dead_event_without_a_case() -> None:
    make_delivery(status="DEAD", next_run_at=None)


def dead_webhook_without_a_case() -> None:
    store_webhook()
    InboxEvent.objects.update(status="DEAD", next_run_at=None)


def workflow_history_lacks_its_start() -> None:
    make_run()


def workflow_not_tried() -> None:
    make_run(next_run_at=read_clock() - timedelta(minutes=6))


def workflow_waits_without_a_case() -> None:
    make_run(next_run_at=None)


def late_workflow_without_a_case() -> None:
    make_run(limit_at=read_clock() - timedelta(minutes=6))


def entry_of_nobody() -> None:
    entry = {"actor_kind": "staff", "action": "x", "subject_type": "x"}
    AuditEntry.objects.create(**entry, subject_id="1")


def history_without_its_guard() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE recovery_auditentry"
            " DISABLE TRIGGER recovery_auditentry_append_only"
        )


def make_run(**fields: Any) -> None:
    tomorrow = read_clock() + timedelta(days=1)
    about = {"name": "x", "subject_type": "booking", "subject_id": "1"}
    WorkflowRun.objects.create(**{"limit_at": tomorrow, **about, **fields})


def dead_letter_history_lacks_its_opening() -> None:
    DeadLetter.objects.create(key="k", task="t")


def dead_letter_waits_without_a_case() -> None:
    DeadLetter.objects.create(key="k", task="t", next_run_at=None)


def dead_letter_not_tried() -> None:
    due = read_clock() - timedelta(minutes=6)
    DeadLetter.objects.create(key="k", task="t", next_run_at=due)


def dead_letter_of_yesterday_without_a_case() -> None:
    minutes = timedelta(minutes=6)
    DeadLetter.objects.create(
        key="k",
        task="t",
        first_failed_at=read_clock() - timedelta(days=1) - minutes,
        next_run_at=read_clock() - minutes,
    )


def two_dead_letters_of_one_task() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX recovery_dead_letter_once")
    for _ in range(2):
        DeadLetter.objects.create(key="k", task="t")


def waitlist_history_lacks_its_beginning() -> None:
    make_waiting()


def offer_without_a_hold() -> None:
    make_waiting(status="OFFERED", hold=make_hold(), offered_at=read_clock())


def entry_that_nobody_looked_at() -> None:
    make_waiting(looked_at=read_clock() - timedelta(minutes=6))


def make_waiting(**fields: Any) -> None:
    hold = make_hold()
    about = {"resource": hold.resource, "customer": make_customer()}
    times = {"start_time": hold.start_time, "end_time": hold.end_time}
    WaitlistEntry.objects.create(**about, **times, **fields)


def alert_history_lacks_its_beginning() -> None:
    Alert.objects.create(
        category="c", fingerprint="f", severity="high", audience="operations", title="t"
    )


def approval_history_lacks_its_beginning() -> None:
    Approval.objects.create(
        kind="toy",
        title="t",
        subject_type="toy",
        subject_id="1",
        proposed_by=make_staff(),
        expires_at=read_clock(),
    )


def critical_case_without_an_alert() -> None:
    case_history_lacks_its_opening()
    Case.objects.update(
        severity="critical", opened_at=read_clock() - timedelta(hours=1)
    )
    Case.objects.update(last_seen_at=read_clock() - timedelta(hours=1))


def store_webhook() -> None:
    InboxEvent.objects.create(provider="stripe", event_id="evt_1", type="x")


def make_delivery(**fields: Any) -> None:
    event = OutboxEvent.objects.create(type="x", subject_type="hold", subject_id="1")
    EventDelivery.objects.create(event=event, subscriber="tester", **fields)


BREAKS: list[tuple[str, Callable[[], None]]] = [
    ("I1", sold_twice),
    ("I6.hold", history_skips_a_move),
    ("I6.booking", history_has_an_illegal_move),
    ("I7.claims", claim_is_missing),
    ("I7.claims", claim_is_of_other_time),
    ("I7.confirmed", booking_without_confirmed_hold),
    ("I7.in_time", confirmed_too_late),
    ("I17", other_time_than_held),
    ("I9", key_with_two_answers),
    ("I6.case", case_history_lacks_its_opening),
    ("I6.workflow", workflow_history_lacks_its_start),
    ("I3", webhook_forgotten),
    ("I11", webhook_not_tried),
    ("I11", event_not_tried),
    ("I11", workflow_not_tried),
    ("I12", entry_of_nobody),
    ("I12.guard", history_without_its_guard),
    ("I18", dead_event_without_a_case),
    ("I18", dead_webhook_without_a_case),
    ("I18", workflow_waits_without_a_case),
    ("I18.workflow", late_workflow_without_a_case),
    ("I6.dead_letter", dead_letter_history_lacks_its_opening),
    ("I11", dead_letter_not_tried),
    ("I18", dead_letter_waits_without_a_case),
    ("I18.age", dead_letter_of_yesterday_without_a_case),
    ("I18.once", two_dead_letters_of_one_task),
    ("I6.waitlist", waitlist_history_lacks_its_beginning),
    ("I7.offers", offer_without_a_hold),
    *notes_that_break.BREAKS,
    ("I11.waitlist", entry_that_nobody_looked_at),
    ("I6.alert", alert_history_lacks_its_beginning),
    ("I6.approval", approval_history_lacks_its_beginning),
    ("I11.alert", critical_case_without_an_alert),
    *messages.BREAKS,
    *money.BREAKS,
]


@pytest.mark.parametrize(("id_", "break_it"), BREAKS)
def test_a_broken_invariant_is_found(id_: str, break_it: Callable[[], None]) -> None:
    assert invariants.find_violations(full=True) == []

    break_it()

    for full in (False, True):
        found = {violation.id for violation in invariants.find_violations(full=full)}
        assert id_ in found
    rule = invariants.get(id_)
    assert rule is not None
    # What is asked after each test finds it, too.
    assert (id_ in broken_rules()) == rule.is_safety


def stop_senders() -> None:
    with transaction.atomic():
        senders.stop(cause="A backup was restored.")


def refuse_us(provider: str) -> Callable[[], None]:
    def open_case() -> None:
        with transaction.atomic():
            cases.open_case(
                cases.Opening(
                    kind="provider_configuration",
                    fingerprint=rowqueue.fingerprint_of(provider),
                    title="It refuses our credentials",
                    subject_type="provider",
                    subject_id=provider,
                )
            )

    return open_case


def try_to_read_stripes_list() -> None:
    in_a_minute = read_clock() + timedelta(minutes=1)
    Reconciliation.objects.create(name="events", next_run_at=in_a_minute)


def read_stripes_list() -> None:
    now = read_clock()
    Reconciliation.objects.create(name="events", read_at=now, next_run_at=now)


def leave_stripes_list_alone() -> None:
    due = read_clock() - timedelta(minutes=6)
    Reconciliation.objects.create(name="events", next_run_at=due)


WAITING: list[tuple[Callable[[], None], Callable[[], None], bool]] = [
    (messages.mail_not_tried, stop_senders, True),
    (messages.mail_not_tried, refuse_us("resend"), True),
    (messages.mail_not_tried, refuse_us("stripe"), False),
    (messages.push_not_tried, stop_senders, True),
    (messages.push_not_tried, refuse_us("fcm"), True),
    (messages.push_not_tried, refuse_us("resend"), False),
    (messages.clerk_not_asked, refuse_us("clerk"), True),
    (messages.clerk_not_asked, stop_senders, False),
    (money.refund_not_tried, stop_senders, True),
    (money.refund_not_tried, refuse_us("stripe"), True),
    (money.refund_not_tried, refuse_us("resend"), False),
    (money.refund_not_tried, try_to_read_stripes_list, True),
    (money.refund_not_tried, read_stripes_list, False),
    (money.refund_not_tried, leave_stripes_list_alone, False),
    (money.card_payment_not_tried, stop_senders, True),
    (webhook_not_tried, stop_senders, False),
]


@pytest.mark.parametrize(("break_it", "stop", "waits"), WAITING)
def test_what_waits_for_a_case_or_for_stripes_list_is_not_late(
    break_it: Callable[[], None], stop: Callable[[], None], *, waits: bool
) -> None:
    break_it()
    assert is_late()

    stop()

    assert is_late() != waits


def is_late() -> bool:
    found = invariants.find_violations(full=True)
    return any(violation.id.startswith("I11") for violation in found)


def test_what_waited_for_a_case_has_five_minutes_when_it_is_over() -> None:
    messages.mail_not_tried()
    stop_senders()
    over = {"status": "RESOLVED", "closed_by": "x", "close_reason": "x"}

    Case.objects.update(closed_at=read_clock() - timedelta(minutes=4), **over)
    assert not is_late()

    Case.objects.update(closed_at=read_clock() - timedelta(minutes=6))
    assert is_late()


@pytest.mark.case("invariant_violation", "opens")
@pytest.mark.case("invariant_violation", "closes")
def test_a_violation_found_by_beat_stands_in_a_case_until_it_is_gone() -> None:
    claim_is_missing()

    tasks.check_invariants()
    tasks.check_invariants()

    case = Case.objects.get()
    assert (case.kind, case.subject_id) == ("invariant_violation", "I7.claims")
    assert (case.status, case.severity, case.occurrences) == ("OPEN", "critical", 2)

    Booking.objects.all().delete()
    BookingHold.objects.all().delete()
    tasks.check_invariants()

    case.refresh_from_db()
    assert case.status == "RESOLVED"


def test_every_invariant_has_been_broken_once() -> None:
    broken = {id_ for id_, _ in BREAKS}
    assert broken == {each.id for each in invariants.registered()}


def test_the_command_names_rows_and_exits_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    claim_is_missing()

    with pytest.raises(SystemExit) as exit_:
        call_command("check_invariants", "--json")

    assert exit_.value.code == 1
    [violation] = json.loads(capsys.readouterr().out)
    assert violation["id"] == "I7.claims"
    assert violation["rows"] == [str(BookingHold.objects.get().pk)]
    with pytest.raises(SystemExit):
        call_command("check_invariants")


def test_the_command_is_content_when_everything_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_booking()

    call_command("check_invariants")
    tasks.check_invariants()

    assert "invariants hold" in capsys.readouterr().out
