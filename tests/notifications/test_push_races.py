"""Devices that register, are found invalid or are forgotten at the same instant."""

from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import transaction

from notifications.models import Notification, PushDevice
from notifications.services import device_retention, devices, pushing
from notifications.services.device_retention import forget_ended_devices
from notifications.states import DeviceStatus
from notifications.tasks import send_push
from recovery import invariants
from recovery.models import AuditEntry
from slotbase.lib.clock import read_clock
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.pushes import (
    history,
    now_of,
    place_of,
    queue_push,
    register,
    sent,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS, DAYS = 5, timedelta(days=8)


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("fcm"))


def test_of_two_who_register_one_token_at_once_the_last_one_has_it() -> None:
    for number in range(ROUNDS):
        people = [make_customer() for _ in range(4)]
        token = f"shared-{number}"

        outcomes = at_once([partial(register, who, token) for who in people])

        assert errors_in(outcomes) == []
        device = PushDevice.objects.get(token_hash=devices.hash_token("TOKEN", token))
        assert (device.status, device.generation) == ("ACTIVE", 4)
        moved = AuditEntry.objects.filter(
            subject_id=str(device.pk), action="pushdevice.moved"
        )
        last = moved.order_by("-id").values_list("actor_id", flat=True)[0]
        assert str(device.user_id) == last
        assert moved.count() == 3


def test_who_registers_a_phone_twice_at_once_takes_it_over_once() -> None:
    for number in range(ROUNDS):
        device, bob = register(token=f"t-{number}"), make_customer()

        outcomes = at_once([partial(register, bob, f"t-{number}")] * 3)

        assert errors_in(outcomes) == []
        assert times_moved(device) == 1


def test_without_the_lock_it_would_be_taken_over_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positive control: both see the user of before."""
    device, bob = register(token="t"), make_customer()
    both = Barrier(2)

    def look(token_hash: str) -> PushDevice | None:
        found = PushDevice.objects.filter(token_hash=token_hash).first()
        both.wait(timeout=30)
        return found

    monkeypatch.setattr(devices, "lock_registered", look)

    outcomes = at_once([partial(register, bob, "t")] * 2)

    assert errors_in(outcomes) == []
    assert times_moved(device) == 2


def times_moved(device: PushDevice) -> int:
    actions = [action for action, _, _ in history("pushdevice", device.pk)]
    return actions.count("pushdevice.moved")


def test_an_answer_about_an_earlier_registration_ends_none_that_came_meanwhile() -> (
    None
):
    for _ in range(ROUNDS):
        device = register(token="t")

        outcomes = at_once(
            [
                partial(invalidate, device),
                partial(register, device.user, "t"),
                partial(invalidate, device),
            ]
        )

        assert errors_in(outcomes) == []
        row = now_of(device)
        assert (row.status, row.generation) == ("ACTIVE", device.generation + 1)
        assert states_of(device)[-1] == "ACTIVE"


def states_of(device: PushDevice) -> list[str]:
    """Each state that it came to, in order; that it changed hands is none."""
    return [state for _, state, _ in history("pushdevice", device.pk) if state]


def invalidate(device: PushDevice) -> None:
    with transaction.atomic():
        devices.invalidate(
            device_id=device.pk, generation=device.generation, why="unregistered"
        )


def test_without_the_generation_a_new_registration_would_be_ended() -> None:
    """The positive control: what was read before is written after."""
    device = register(token="t")
    register(device.user, "t")

    invalidate(now_of(device))

    assert now_of(device).status == "INVALID"


def test_forgotten_or_pushed_but_never_more_than_once(sandbox: Sandbox) -> None:
    for _ in range(ROUNDS):
        device = register()
        message = queue_push(device)
        forget = partial(devices.forget, user_id=device.user_id, device_id=device.pk)

        assert errors_in(at_once([send_push, forget, send_push])) == []
        # Nothing is promised any more to whom it is said that they are forgotten.
        promised = place_of("notification.sending", message)
        assert promised < place_of("pushdevice.revoked", device)

    states = Notification.objects.values_list("status", flat=True)
    assert set(states) <= {"SENT", "CANCELLED"}
    assert len(sent(sandbox)) == [*states].count("SENT")
    assert set(PushDevice.objects.values_list("status", flat=True)) == {"REVOKED"}
    assert invariants.find_violations() == []


def test_one_push_asked_for_three_times_at_once_is_sent_once(sandbox: Sandbox) -> None:
    for _ in range(ROUNDS):
        queue_push()

        assert errors_in(at_once([send_push] * 3)) == []

    assert len(sent(sandbox)) == ROUNDS
    assert set(Notification.objects.values_list("status", flat=True)) == {"SENT"}


@pytest.mark.breaks_invariants
def test_without_a_lease_it_would_be_sent_more_often(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: all three take the row as it was."""
    message = queue_push()
    monkeypatch.setattr(
        pushing, "lock_leased", lambda row: Notification.objects.get(pk=row.pk)
    )
    monkeypatch.setattr(pushing, "_why_unsent", lambda *_: None)
    monkeypatch.setattr(pushing, "record_move", lambda *_, **__: None)

    outcomes = at_once([partial(pushing._send, message)] * 3)

    assert errors_in(outcomes) == []
    assert len(sent(sandbox)) == 3


def test_forgotten_by_the_sweep_or_registered_again_the_device_is_reached(
    sandbox: Sandbox,
) -> None:
    for number in range(ROUNDS):
        device = register(token=f"t-{number}")
        if number % 2:
            queue_push(device)
        ended: dict[str, Any] = {"status": "INVALID", "ended_at": read_clock() - DAYS}
        PushDevice.objects.filter(pk=device.pk).update(**ended)

        outcomes = at_once(
            [
                partial(forget_ended_devices, status=DeviceStatus.INVALID, limit=10),
                partial(register, device.user, f"t-{number}"),
            ]
        )

        assert errors_in(outcomes) == []
        again = outcomes[1]
        assert now_of(again).status == "ACTIVE"
        queue_push(now_of(again))
    send_push()
    tokens = [each["token"] for each in sent(sandbox)]
    assert set(tokens) == {f"t-{number}" for number in range(ROUNDS)}


def test_without_the_lock_the_sweep_would_take_one_that_came_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positive control: it registers after the sweep has looked."""
    device = register(token="t")
    ended: dict[str, Any] = {"status": "INVALID", "ended_at": read_clock() - DAYS}
    PushDevice.objects.filter(pk=device.pk).update(**ended)

    def look_and_let_it_register(*_: Any, **__: Any) -> list[PushDevice]:
        found = list(PushDevice.objects.all())
        assert at_once([partial(register, device.user, "t")]) == [device]
        return found

    monkeypatch.setattr(
        device_retention, "lock_ended_devices", look_and_let_it_register
    )

    forget_ended_devices(status=DeviceStatus.INVALID, limit=10)

    assert not PushDevice.objects.exists()


def test_of_too_many_that_register_at_once_each_surplus_one_is_ended_once(
    settings: Any,
) -> None:
    settings.MAX_DEVICES = 2
    alice = make_customer()
    for _ in range(ROUNDS):
        outcomes = at_once([partial(register, alice) for _ in range(4)])
        # Those of one instant do not see each other; the next one sees them all.
        register(alice)

        assert errors_in(outcomes) == []
        assert PushDevice.objects.filter(user=alice, status="ACTIVE").count() == 2
    for device in PushDevice.objects.filter(status="REVOKED"):
        assert states_of(device) == ["ACTIVE", "REVOKED"]


@pytest.mark.breaks_invariants
def test_without_the_lock_a_surplus_one_would_be_ended_twice(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: both have looked before one of them writes."""
    settings.MAX_DEVICES = 1
    old = register()
    both = Barrier(2)

    def look(*_: Any, **__: Any) -> list[PushDevice]:
        found = list(PushDevice.objects.filter(pk=old.pk))
        both.wait(timeout=30)
        return found

    monkeypatch.setattr(devices, "lock_surplus_devices", look)

    outcomes = at_once([partial(register, old.user) for _ in range(2)])

    assert errors_in(outcomes) == []
    assert states_of(old) == ["ACTIVE", "REVOKED", "REVOKED"]
