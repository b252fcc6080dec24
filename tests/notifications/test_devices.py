"""Devices belong to whoever signed in last, and end when they are gone."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from notifications.errors import DeviceNotFound
from notifications.models import Notification, PushDevice
from notifications.services import devices
from notifications.services.device_retention import (
    forget_ended_devices,
    retire_unseen_devices,
)
from notifications.states import DeviceStatus
from notifications.tasks import tidy_devices
from recovery.models import AuditEntry
from slotbase.lib.clock import read_clock
from slotbase.lib.sealing import Unreadable, seal, unseal
from tests.factories import make_customer
from tests.notifications.pushes import history, now_of, queue_push, register

pytestmark = pytest.mark.django_db(transaction=True)


def age(device: PushDevice, **days: int) -> None:
    """Moments of a device lie so many days back."""
    now = read_clock()
    moments = {name: now - timedelta(days=n) for name, n in days.items()}
    PushDevice.objects.filter(pk=device.pk).update(**moments)


# --- Registering --------------------------------------------------------------------


def test_a_device_is_registered_and_its_token_is_sealed() -> None:
    alice = make_customer()

    device = register(alice, "canary-token", platform="IOS", app_version="1.2")

    assert (device.user, device.platform, device.status) == (alice, "IOS", "ACTIVE")
    assert unseal(device.sealed_token) == "canary-token"
    assert "canary" not in str(
        [*PushDevice.objects.values(), *AuditEntry.objects.all()]
    )
    assert history("pushdevice", device.pk) == [
        ("pushdevice.registered", "ACTIVE", "customer")
    ]


def test_the_same_token_again_is_the_same_device() -> None:
    alice = make_customer()
    first = register(alice, "t", app_version="1")
    age(first, last_seen_at=3)

    again = register(alice, "t", app_version="2")

    assert (again.pk, again.generation, again.app_version) == (first.pk, 2, "2")
    assert again.last_seen_at > read_clock() - timedelta(minutes=1)
    assert len(history("pushdevice", first.pk)) == 1


def test_an_installation_id_is_no_token_of_the_same_text() -> None:
    assert register(token="t").pk != register(token="t", kind="FID").pk


def test_a_token_moves_to_whoever_signed_in_last() -> None:
    alice, bob = make_customer(), make_customer()
    first = register(alice, "t")

    moved = register(bob, "t")

    assert (moved.pk, moved.user, moved.generation) == (first.pk, bob, 2)
    assert history("pushdevice", first.pk)[-1][0] == "pushdevice.moved"


@pytest.mark.parametrize("status", ["INVALID", "STALE", "REVOKED"])
def test_whatever_ended_is_active_again_when_it_registers(status: str) -> None:
    alice = make_customer()
    device = register(alice, "t")
    actor = devices.BY
    devices_end(device, DeviceStatus(status), actor)

    again = register(alice, "t")

    assert (again.pk, again.status, again.why, again.ended_at) == (
        *(device.pk, "ACTIVE"),
        *("", None),
    )
    assert [entry[1] for entry in history("pushdevice", device.pk)] == [
        *("ACTIVE", status, "ACTIVE")
    ]


def devices_end(device: PushDevice, to: DeviceStatus, actor: Any) -> None:
    with transaction.atomic():
        devices.end(device, to, why="a test", actor=actor)


def test_of_too_many_devices_the_one_unseen_for_longest_is_revoked(
    settings: Any,
) -> None:
    settings.MAX_DEVICES = 2
    alice = make_customer()
    old, older, of_bob = register(alice), register(alice), register()
    age(old, last_seen_at=1)
    age(older, last_seen_at=2)

    new = register(alice)

    states = [now_of(each).status for each in (old, older, of_bob, new)]
    assert states == ["ACTIVE", "REVOKED", "ACTIVE", "ACTIVE"]
    assert now_of(older).why == "too many devices"


def test_a_token_can_be_read_after_the_secret_key_was_changed(settings: Any) -> None:
    sealed = seal("t")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "0123456789abcdef" * 4
    assert unseal(sealed) == "t"

    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(Unreadable):
        unseal(sealed)
    with pytest.raises(Unreadable):
        unseal("")


# --- Forgetting ---------------------------------------------------------------------


def test_a_device_that_is_forgotten_is_revoked_also_the_second_time() -> None:
    device = register()

    for _ in range(2):
        devices.forget(user_id=device.user_id, device_id=device.pk)

    assert (now_of(device).status, now_of(device).why) == ("REVOKED", "signed out")
    assert [entry[1] for entry in history("pushdevice", device.pk)] == [
        *("ACTIVE", "REVOKED")
    ]


def test_nobody_forgets_the_device_of_another_one() -> None:
    device = register()

    with pytest.raises(DeviceNotFound):
        devices.forget(user_id=make_customer().pk, device_id=device.pk)

    assert now_of(device).status == "ACTIVE"


def test_what_is_found_out_of_an_earlier_registration_says_nothing_of_this_one() -> (
    None
):
    alice = make_customer()
    first = register(alice, "t")
    register(alice, "t")

    invalidate(first)
    assert now_of(first).status == "ACTIVE"

    invalidate(now_of(first))
    assert (now_of(first).status, now_of(first).why) == ("INVALID", "unregistered")


def invalidate(device: PushDevice) -> None:
    with transaction.atomic():
        devices.invalidate(
            device_id=device.pk, generation=device.generation, why="unregistered"
        )


# --- Cleaning -----------------------------------------------------------------------


def test_who_has_not_been_seen_for_60_days_is_stale() -> None:
    seen, unseen = register(), register()
    age(seen, last_seen_at=59)
    age(unseen, last_seen_at=61)

    assert retire_unseen_devices(limit=10) == 1

    assert [now_of(each).status for each in (seen, unseen)] == ["ACTIVE", "STALE"]


@pytest.mark.parametrize(
    ("status", "days", "is_gone"),
    [
        ("INVALID", 6, False),
        ("INVALID", 8, True),
        ("REVOKED", 6, False),
        ("REVOKED", 8, True),
        ("STALE", 209, False),
        ("STALE", 211, True),
    ],
)
def test_what_ended_long_ago_is_deleted(status: str, days: int, is_gone: bool) -> None:
    device, other = register(), register()
    devices_end(device, DeviceStatus(status), devices.BY)
    age(device, ended_at=days)

    tidy_devices()

    assert PushDevice.objects.filter(pk=device.pk).exists() == (not is_gone)
    assert PushDevice.objects.filter(pk=other.pk).exists()


def test_a_single_invalid_device_is_deleted_as_well_as_many() -> None:
    many = [register() for _ in range(3)]
    for device in many:
        devices_end(device, DeviceStatus.INVALID, devices.BY)
        age(device, ended_at=8)

    assert forget_ended_devices(status=DeviceStatus.INVALID, limit=1) == 1
    assert PushDevice.objects.count() == 2
    tidy_devices()

    assert PushDevice.objects.count() == 0
    forgotten = AuditEntry.objects.filter(action="pushdevice.forgotten")
    assert forgotten.count() == 3


def test_a_device_that_messages_went_to_stays_without_its_token() -> None:
    device = register(token="t")
    message = queue_push(device)
    devices_end(device, DeviceStatus.INVALID, devices.BY)
    age(device, ended_at=8)

    tidy_devices()
    tidy_devices()

    row = now_of(device)
    assert (row.sealed_token, row.app_version, row.status) == ("", "", "INVALID")
    assert row.token_hash != devices.hash_token("TOKEN", "t")
    assert Notification.objects.get(pk=message.pk).device_id == device.pk
    assert AuditEntry.objects.filter(action="pushdevice.forgotten").count() == 1
    assert register(device.user, "t").pk != device.pk
