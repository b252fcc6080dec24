"""A token that cannot be read: SECRET_KEY is wrong, or this one token is broken."""

from datetime import timedelta
from typing import Any

import pytest

from notifications.models import Notification, PushDevice
from notifications.services import devices
from recovery.models import Case
from slotbase.lib.clock import read_clock
from slotbase.lib.sealing import is_sealed, seal
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client
from tests.conftest import Sandbox
from tests.notifications.pushes import (
    calls,
    history,
    make_due,
    now_of,
    queue_push,
    register,
    send,
    sent,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]

ANOTHER = "another-" + "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("fcm"))


def push_all(times: int = 1) -> None:
    """As beat goes on asking, however long the queue has been paused meanwhile."""
    for _ in range(times):
        Case.objects.update(last_seen_at=read_clock() - timedelta(minutes=2))
        make_due()
        send()


def ended() -> list[PushDevice]:
    return list(PushDevice.objects.exclude(status="ACTIVE"))


def states() -> set[str]:
    return set(Notification.objects.values_list("status", flat=True))


def test_under_a_wrong_secret_key_pushes_wait_and_nobody_loses_a_device(
    sandbox: Sandbox, settings: Any
) -> None:
    right = settings.SECRET_KEY
    for _ in range(3):
        queue_push()
    settings.SECRET_KEY = ANOTHER

    push_all(times=3)

    case = Case.objects.get()
    assert (case.fingerprint, case.status) == ("provider_configuration:fcm", "OPEN")
    assert case.cause == "fcm: configuration (unreadable_token)"
    assert (states(), ended(), calls(sandbox)) == ({"PENDING"}, [], 0)
    assert set(Notification.objects.values_list("attempts", flat=True)) == {0}
    # The queue is paused, and goes on when the key is back, if only as a fallback.
    assert send() == 0
    settings.SECRET_KEY_FALLBACKS = [right]
    push_all()
    assert (states(), len(sent(sandbox))) == ({"SENT"}, 3)
    assert Case.objects.get().status == "RESOLVED"


def test_devices_that_register_under_a_wrong_key_condemn_none_from_before(
    settings: Any,
) -> None:
    right, before = settings.SECRET_KEY, [register() for _ in range(2)]
    settings.SECRET_KEY = ANOTHER
    register()
    settings.SECRET_KEY = right
    before += [register() for _ in range(2)]
    settings.SECRET_KEY = ANOTHER
    register()
    for device in before:
        queue_push(device)

    push_all(times=6)

    assert (states(), ended()) == ({"PENDING"}, [])


def test_without_a_look_at_the_others_each_would_be_ended(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control."""
    for _ in range(3):
        queue_push()
    settings.SECRET_KEY = ANOTHER
    monkeypatch.setattr(devices, "is_broken", lambda _: True)

    push_all(times=3)

    assert len(ended()) == 3


@pytest.mark.parametrize("is_newest", [True, False])
def test_one_token_of_a_lost_key_among_others_is_given_up_alone(
    sandbox: Sandbox, settings: Any, *, is_newest: bool
) -> None:
    right, first = settings.SECRET_KEY, register()
    settings.SECRET_KEY = ANOTHER
    device = register(token="t")
    settings.SECRET_KEY = right
    others = [first] if is_newest else [first, register()]
    message, *of_others = [queue_push(each) for each in (device, *others)]

    push_all(times=2)

    assert {now_of(each).status for each in of_others} == {"SENT"}
    assert (now_of(message).status, now_of(message).attempts) == ("FAILED", 0)
    assert (ended(), now_of(device).status) == ([device], "INVALID")
    assert history("pushdevice", device.pk)[-1][0] == "pushdevice.invalid"
    assert not Case.objects.exists()
    assert calls(sandbox) == len(others)


def test_what_was_never_sealed_is_given_up_until_it_registers_again(
    sandbox: Sandbox,
) -> None:
    device = register(token="t")
    message = queue_push(device)
    PushDevice.objects.update(sealed_token="broken")

    send()

    assert (now_of(message).status, now_of(device).status) == ("FAILED", "INVALID")
    assert (calls(sandbox), Case.objects.count()) == (0, 0)
    assert register(device.user, "t").status == "ACTIVE"
    queue_push(device)
    send()
    assert len(sent(sandbox)) == 1


def test_what_is_sealed_is_known_under_any_key_and_else_is_not(settings: Any) -> None:
    sealed = seal("a-token")
    settings.SECRET_KEY = ANOTHER

    assert is_sealed(sealed)
    for broken in ("", "x", "broken", "a-token", sealed[:-4], sealed[4:], "\u00fc"):
        assert not is_sealed(broken)
