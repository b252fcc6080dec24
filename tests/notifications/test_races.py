"""Two workers at one mail, one budget, one list, and a mail that is withdrawn."""

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from notifications.models import Notification, SendBudget, Suppression
from notifications.services import budget, sending
from notifications.services.messages import withdraw
from notifications.services.suppression import suppress
from notifications.states import SuppressionReason
from notifications.tasks import send_email
from recovery import locks, rowqueue
from recovery.models import AuditEntry
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.errors import InvalidState
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import make_staff
from tests.notifications.conftest import mails, make_addressee, queue

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 20


def test_one_mail_asked_for_three_times_at_once_is_sent_once(
    sandbox: Sandbox,
) -> None:
    for number in range(ROUNDS):
        queue(make_addressee(), dedupe_key=str(number))

        outcomes = at_once([send_email] * 3)

        assert errors_in(outcomes) == []
    assert len(mails(sandbox)) == ROUNDS
    assert set(Notification.objects.values_list("status", flat=True)) == {"SENT"}


@pytest.mark.breaks_invariants
def test_without_lease_and_key_it_would_be_sent_more_often(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the claim without its lock, the call without its key."""
    careless = locks._CLAIM.replace("FOR UPDATE SKIP LOCKED", "").replace(
        "AND (lease_until IS NULL OR lease_until <= (SELECT slotbase_now()))", ""
    )
    monkeypatch.setattr(locks, "_CLAIM", careless)
    monkeypatch.setattr(sending, "key_of", lambda _: threading.get_ident())
    monkeypatch.setattr(
        sending, "lock_leased", lambda row: Notification.objects.get(pk=row.pk)
    )
    barrier = threading.Barrier(3, timeout=10)
    prepare = sending._prepare

    def meet_and_prepare(row: Any) -> Any:
        barrier.wait()
        return prepare(row)

    monkeypatch.setattr(sending, "_prepare", meet_and_prepare)
    queue()

    def work() -> None:
        row = rowqueue._claim(sending.QUEUE, {}, due_before=read_clock())
        assert row is not None
        sending._send(row)

    assert errors_in(at_once([work] * 3)) == []

    assert len(mails(sandbox)) > 1


def test_sent_or_withdrawn_but_never_both(sandbox: Sandbox) -> None:
    for number in range(ROUNDS):
        message = queue(make_addressee(), dedupe_key=str(number))

        def give_up(key: str = message.dedupe_key) -> None:
            with transaction.atomic():
                withdraw(dedupe_key=key)

        assert errors_in(at_once([send_email, give_up])) == []
    sent = Notification.objects.filter(status="SENT").count()
    cancelled = Notification.objects.filter(status="CANCELLED").count()
    assert sent + cancelled == ROUNDS
    assert len(mails(sandbox)) == sent


# --- The budget of all workers -----------------------------------------------------

CROWD, BURST = 8, 2
# As `budget._TAKE`, but who looks does not wait for who takes.
LOOK_THEN_TAKE = (
    "SELECT next_at <= slotbase_now() + %(ahead)s FROM notifications_sendbudget"
    " WHERE provider = %(provider)s"
)


@pytest.fixture
def _slow(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call in ten minutes, and two at once."""
    settings.RESEND_BURST = BURST
    monkeypatch.setattr(budget, "_cost", lambda: timedelta(minutes=10))


@transaction.atomic
def take() -> bool:
    return budget.take()


def crowd_for_the_budget() -> list[Any]:
    """As many as there is room for, at a moment when the budget is full."""
    SendBudget.objects.all().delete()
    SendBudget.objects.create(provider="resend")
    return at_once([take] * CROWD)


@pytest.mark.usefixtures("_slow")
def test_of_a_crowd_as_many_may_send_as_there_is_room_for() -> None:
    """F79: however many workers there are."""
    for _ in range(ROUNDS):
        outcomes = crowd_for_the_budget()

        assert errors_in(outcomes) == []
        assert outcomes.count(True) == BURST


@pytest.mark.usefixtures("_slow")
def test_if_they_looked_first_and_took_then_more_would_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positive control."""
    barrier = threading.Barrier(CROWD, timeout=30)

    def look_then_take() -> bool:
        with connection.cursor() as cursor:
            values = {"provider": "resend", "ahead": budget._ahead()}
            cursor.execute(LOOK_THEN_TAKE, values)
            (is_free,) = cursor.fetchone()
            barrier.wait()
            if is_free:
                SendBudget.objects.update(next_at=F("next_at") + budget._cost())
        return bool(is_free)

    monkeypatch.setattr(budget, "take", look_then_take)

    assert crowd_for_the_budget().count(True) == CROWD


# --- The list of addresses that take no mail ----------------------------------------


def suppress_at_once() -> list[Any]:
    """As many as are told at one moment that mails to Alice come back."""
    alice = make_addressee()

    @transaction.atomic
    def suppress_alice() -> None:
        suppress(
            address=alice.email,
            reason=SuppressionReason.BOUNCED,
            user_id=alice.pk,
        )

    return at_once([suppress_alice] * 4)


def listed() -> tuple[int, int]:
    """How often an address is on the list, and how often that is in the audit."""
    added = AuditEntry.objects.filter(action="suppression.added")
    return Suppression.objects.count(), added.count()


def test_an_address_comes_onto_the_list_once() -> None:
    """F76: however many mails come back at one moment."""
    for number in range(1, ROUNDS + 1):
        Suppression.objects.update(lifted_at=Now())

        assert errors_in(suppress_at_once()) == []

        assert listed() == (number, number)


def test_without_the_constraint_it_would_be_there_more_often() -> None:
    """The positive control."""
    [constraint] = [
        each
        for each in Suppression._meta.constraints
        if each.name == "notifications_suppressed_once"
    ]
    with connection.schema_editor() as editor:
        editor.remove_constraint(Suppression, constraint)
    try:
        assert errors_in(suppress_at_once()) == []
        assert min(listed()) > 1
    finally:
        Suppression.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(Suppression, constraint)


def test_sent_or_suppressed_but_never_both(sandbox: Sandbox) -> None:
    """F76: its address comes onto the list while the mail goes out."""
    for number in range(ROUNDS):
        alice = make_addressee(email=f"alice{number}@example.com")
        queue(alice, dedupe_key=str(number))

        @transaction.atomic
        def come_back(address: str = alice.email, user_id: Any = alice.pk) -> None:
            reason = SuppressionReason.BOUNCED
            suppress(address=address, reason=reason, user_id=user_id)

        assert errors_in(at_once([send_email, come_back])) == []
    sent = Notification.objects.filter(status="SENT").count()
    suppressed = Notification.objects.filter(status="SUPPRESSED").count()
    assert sent + suppressed == ROUNDS
    assert len(mails(sandbox)) == sent


def test_a_pause_is_ended_once() -> None:
    """Two people press the button at one moment."""
    staff = [make_staff("operations").pk for _ in range(2)]
    for number in range(1, ROUNDS + 1):
        with transaction.atomic():
            budget.pause(quota="daily_quota_exceeded", retry_after=None)

        outcomes = at_once([partial(budget.end_pause, staff_id=each) for each in staff])

        assert [type(error) for error in errors_in(outcomes)] == [InvalidState]
        ended = AuditEntry.objects.filter(action="send_budget.pause_ended")
        assert ended.count() == number
