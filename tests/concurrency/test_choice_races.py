"""Two at once: choices, messages sent again, addresses taken off the list."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from notifications.kinds import Topic
from notifications.models import Choice, Notification, Suppression
from notifications.services import choices, desk, device_desk, suppression
from notifications.states import Channel
from recovery import audit
from recovery.models import AuditEntry
from slotbase.accounts.models import User
from slotbase.lib.errors import InvalidState
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import make_customer, make_staff
from tests.notifications.conftest import (
    make_addressee,
    make_device,
    queue,
    send,
    suppress,
)
from tests.notifications.pushes import queue_push, register

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 6


def choose(user: User, *, is_wanted: bool) -> None:
    choices.choose(
        user_id=user.pk,
        topic=Topic.REMINDERS,
        channel=Channel.EMAIL,
        is_wanted=is_wanted,
        actor=audit.Actor.customer(user.pk),
    )


def test_of_many_who_choose_at_once_one_is_the_last() -> None:
    alice = make_customer()

    wishes = [partial(choose, alice, is_wanted=bool(n % 2)) for n in range(CROWD)]
    outcomes = at_once(wishes)

    assert errors_in(outcomes) == []
    assert Choice.objects.count() <= 1
    for is_wanted in (False, True):
        choose(alice, is_wanted=is_wanted)
        assert Choice.objects.get().is_wanted is is_wanted


def outcomes_of_crowd(action: Callable[[], None]) -> list[type]:
    """Of several people who press the same button; who won has no error."""
    outcomes = at_once([action] * CROWD)
    return sorted((type(each) for each in outcomes), key=str)


ONE_WINS = sorted([type(None), *[InvalidState] * (CROWD - 1)], key=str)


def test_of_many_who_send_it_again_one_does(sandbox: Sandbox) -> None:
    message, bob = queue(make_addressee()), make_staff()
    send()

    again = partial(desk.resend, message_id=message.pk, staff_id=bob.pk, reason="lost")

    assert outcomes_of_crowd(again) == ONE_WINS
    assert Notification.objects.count() == 2
    assert AuditEntry.objects.filter(action="notification.resent").count() == 1


def press_for_both_devices() -> list[Any]:
    """Two people, each at the failed push to another device of the same person."""
    alice, bob = make_customer(), make_staff()
    phone, _ = register(alice), register(alice)
    queue_push(phone)
    pushes = Notification.objects.filter(recipient=alice)
    pushes.update(status="FAILED", next_run_at=None)
    ids = pushes.values_list("pk", flat=True)
    return at_once([partial(desk.resend, message_id=i, staff_id=bob.pk) for i in ids])


@pytest.mark.usefixtures("sandbox")
@pytest.mark.breaks_invariants  # nothing failed: the rows only say so
def test_of_two_who_push_again_from_two_devices_one_does() -> None:
    outcomes = press_for_both_devices()

    assert [type(error) for error in errors_in(outcomes)] == [InvalidState]
    assert Notification.objects.filter(dedupe_key__contains="again:").count() == 2


@pytest.mark.usefixtures("sandbox")
@pytest.mark.breaks_invariants
def test_without_locking_the_copies_each_device_would_be_told_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both_have_looked, look = threading.Barrier(2), desk.why_not_again

    def look_together(message: Notification) -> str:
        why = look(message)
        both_have_looked.wait(30)
        return why

    monkeypatch.setattr(desk, "lock_by_keys", lambda _: None)
    monkeypatch.setattr(desk, "why_not_again", look_together)

    assert errors_in(press_for_both_devices()) == []
    assert Notification.objects.filter(dedupe_key__contains="again:").count() == 4


def test_of_many_who_take_an_address_off_the_list_one_does() -> None:
    row, bob = suppress(make_addressee()), make_staff()

    lift = partial(
        suppression.lift, suppression_id=row.pk, staff_id=bob.pk, reason="works"
    )

    assert outcomes_of_crowd(lift) == ONE_WINS
    assert AuditEntry.objects.filter(action="suppression.lifted").count() == 1


def test_of_many_who_revoke_a_device_one_does() -> None:
    device, bob = make_device(make_customer()), make_staff()

    revoke = partial(device_desk.revoke, device_id=device.pk, staff_id=bob.pk)

    assert outcomes_of_crowd(revoke) == ONE_WINS
    assert AuditEntry.objects.filter(action="pushdevice.revoked").count() == 1


def test_without_its_lock_each_would_think_that_they_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row, bob = suppress(make_addressee()), make_staff()
    all_have_read = threading.Barrier(CROWD)

    def read_without_lock(suppression_id: UUID) -> Any:
        found = Suppression.objects.get(pk=suppression_id)
        all_have_read.wait(30)
        return found

    monkeypatch.setattr(suppression, "lock_suppression", read_without_lock)
    lift = partial(
        suppression.lift, suppression_id=row.pk, staff_id=bob.pk, reason="works"
    )

    assert outcomes_of_crowd(lift) == [type(None)] * CROWD
    assert AuditEntry.objects.filter(action="suppression.lifted").count() == CROWD
