"""A mail and its pushes that end at one instant, and a cancellation of them all.

Each of these locks several of them. They have one order, so nobody waits in a circle:
PostgreSQL would end one of them, which may be the cancellation of a booking.
"""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.db import connection, transaction

from notifications import locks
from notifications.models import Notification
from notifications.services import fallback, messages, pushing, sending
from notifications.services.history import record_move
from notifications.states import Channel
from recovery import audit, invariants, rowqueue
from recovery.models import Case
from slotbase.lib import db
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.ids import uuid7
from slotbase.providers.errors import Outcome
from tests.concurrency.race import at_once, errors_in
from tests.notifications.conftest import make_addressee
from tests.notifications.pushes import now_of, queue_push, register
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "booking_confirmed:1"
WAITS_FOR_ME = """
SELECT EXISTS (SELECT FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))
"""


@pytest.fixture
def conflicts() -> Iterator[mock.Mock]:
    """Called for each transaction that PostgreSQL ended for the sake of another."""
    with mock.patch.object(
        db, "_wait_or_give_up", side_effect=db._wait_or_give_up
    ) as conflicts:
        yield conflicts


class Meeting:
    """Where somebody with locks stays until another one is here, or waits for them."""

    def __init__(self) -> None:
        self.here = 0

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, once somebody else has come so far that it matters."""

        def run(*args: Any, **options: Any) -> Any:
            self.here += 1
            eventually(lambda: self.here > 1 or somebody_waits_for_me())
            return function(*args, **options)

        return run

    def then(self, action: Callable[[], Any]) -> Callable[[], Any]:
        """The action, once somebody is here."""

        def run() -> Any:
            eventually(lambda: self.here)
            return action()

        return run


def somebody_waits_for_me() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITS_FOR_ME)
        return bool(cursor.fetchone()[0])


def queue_all(*, devices: int = 1) -> list[Notification]:
    """A mail and its pushes."""
    alice = make_addressee()
    phones = [register(alice) for _ in range(devices)]
    queue_push(phones[0], dedupe_key=KEY, channels=[Channel.EMAIL, Channel.PUSH])
    return list(Notification.objects.order_by("channel", "pk"))


def begin(queue: Any, channel: str) -> Notification:
    """A message that is on its way to a provider."""
    row = rowqueue._claim(queue, {"channel": channel}, due_before=read_clock())
    assert row is not None
    module: Any = pushing if channel == Channel.PUSH else sending
    module._prepare(row)
    return row


def lose(mail: Notification) -> None:
    with transaction.atomic():
        record_move(mail.pk, mail.status, "FAILED", actor=audit.Actor.system("email"))
        Notification.objects.filter(pk=mail.pk).update(
            status="FAILED", next_run_at=None
        )


def is_sent(push: Notification) -> Callable[[], Any]:
    return lambda: rowqueue._settle(pushing.QUEUE, push, None, f"id-{push.pk}")


def is_refused(mail: Notification) -> Callable[[], Any]:
    failure = rowqueue.Failure("refused", is_final=True, outcome=Outcome.REFUSED)
    return lambda: rowqueue._settle(sending.QUEUE, mail, failure)


@retry_on_conflict
def cancel() -> None:
    """As part of the cancellation of a booking."""
    messages.withdraw(dedupe_key=KEY)


def do_not_lock(_: str) -> list[Notification]:
    return []


def settle_two(monkeypatch: pytest.MonkeyPatch) -> list[Notification]:
    """Both pushes of a mail that did not arrive go out, at one instant."""
    mail, _, _ = queue_all(devices=2)
    lose(mail)
    pushes = [begin(pushing.QUEUE, Channel.PUSH) for _ in range(2)]
    settled = Meeting().before(fallback.push_is_settled)
    monkeypatch.setattr(pushing, "push_is_settled", settled)

    outcomes = at_once([is_sent(push) for push in pushes])

    assert errors_in(outcomes) == []
    assert {now_of(push).status for push in pushes} == {"SENT"}
    return pushes


def test_two_pushes_of_one_mail_end_at_once_and_neither_waits_in_a_circle(
    monkeypatch: pytest.MonkeyPatch, conflicts: mock.Mock
) -> None:
    settle_two(monkeypatch)

    assert conflicts.call_count == 0
    assert not Case.objects.exists()
    assert invariants.find_violations() == []


def test_if_each_locked_itself_first_one_of_them_would_be_ended(
    monkeypatch: pytest.MonkeyPatch, conflicts: mock.Mock
) -> None:
    """The positive control."""
    monkeypatch.setattr(pushing, "lock_by_keys", do_not_lock)

    settle_two(monkeypatch)

    assert conflicts.call_count > 0


def cancel_while_a_push_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    queue_all()
    push, meeting = begin(pushing.QUEUE, Channel.PUSH), Meeting()
    settled = meeting.before(fallback.push_is_settled)
    monkeypatch.setattr(pushing, "push_is_settled", settled)

    outcomes = at_once([is_sent(push), meeting.then(cancel)])

    assert errors_in(outcomes) == []
    assert now_of(push).status == "SENT"
    assert Notification.objects.get(channel="EMAIL").status == "CANCELLED"


def test_a_cancellation_while_a_push_ends_waits_for_it_and_is_done(
    monkeypatch: pytest.MonkeyPatch, conflicts: mock.Mock
) -> None:
    cancel_while_a_push_ends(monkeypatch)

    assert conflicts.call_count == 0


def test_if_the_push_locked_itself_first_one_of_both_would_be_ended(
    monkeypatch: pytest.MonkeyPatch, conflicts: mock.Mock
) -> None:
    """The positive control."""
    monkeypatch.setattr(pushing, "lock_by_keys", do_not_lock)

    cancel_while_a_push_ends(monkeypatch)

    assert conflicts.call_count > 0


def lose_a_mail_while_its_push_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The push has the smaller id, as half of those do that are made with a mail."""
    ids = sorted((uuid7(), uuid7()), reverse=True)
    with mock.patch.object(
        Notification._meta.pk, "_get_default", side_effect=ids, create=True
    ):
        mail, push = queue_all()
    assert push.pk < mail.pk
    mail = begin(sending.QUEUE, Channel.EMAIL)
    push = begin(pushing.QUEUE, Channel.PUSH)
    meeting = Meeting()
    told = meeting.before(fallback.tell_otherwise)
    monkeypatch.setattr(sending, "tell_otherwise", told)

    outcomes = at_once([is_refused(mail), meeting.then(is_sent(push))])

    assert errors_in(outcomes) == []
    assert (now_of(mail).status, now_of(push).status) == ("FAILED", "SENT")


def test_a_mail_fails_while_its_push_goes_out_and_neither_waits_in_a_circle(
    monkeypatch: pytest.MonkeyPatch, conflicts: mock.Mock
) -> None:
    lose_a_mail_while_its_push_goes_out(monkeypatch)

    assert conflicts.call_count == 0
    assert invariants.find_violations() == []


def test_if_ids_were_the_order_one_of_both_would_be_ended(
    monkeypatch: pytest.MonkeyPatch, conflicts: mock.Mock
) -> None:
    """The positive control."""
    monkeypatch.setattr(locks, "_ORDER", ("pk",))

    lose_a_mail_while_its_push_goes_out(monkeypatch)

    assert conflicts.call_count > 0
