"""Devices that register, are found invalid or are forgotten at the same instant."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from notifications.models import Notification, PushDevice
from notifications.services import devices, pushing
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
from tests.notifications.pushes import history, now_of, queue_push, register, sent

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
        assert [entry[1] for entry in history("pushdevice", device.pk)][-1] == "ACTIVE"


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
        queue_push(device)
        forget = partial(devices.forget, user_id=device.user_id, device_id=device.pk)

        assert errors_in(at_once([send_push, forget, send_push])) == []

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


def test_registering_too_many_devices_at_once_leaves_no_more_than_allowed(
    settings: Any,
) -> None:
    settings.MAX_DEVICES = 2
    alice = make_customer()

    outcomes = at_once([partial(register, alice) for _ in range(5)])
    register(alice)

    assert errors_in(outcomes) == []
    active = PushDevice.objects.filter(user=alice, status="ACTIVE")
    assert active.count() == 2
