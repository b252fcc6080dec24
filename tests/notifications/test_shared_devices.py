"""A phone that changes hands: whoever had it before is not read of there any more."""

from functools import partial
from typing import Any

import pytest

from notifications.models import Notification, PushDevice
from notifications.services import pushing
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.pushes import (
    calls,
    make_due,
    now_of,
    place_of,
    queue_push,
    register,
    send,
    sent,
    trouble,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]

ROUNDS = 5


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("fcm"))


def state(message: Notification) -> str:
    status: str = now_of(message).status
    return status


def test_what_waits_for_the_former_user_is_not_pushed_to_their_phone(
    sandbox: Sandbox,
) -> None:
    """F82: the token belongs to the last user alone."""
    alice, bob = make_customer(), make_customer()
    message = queue_push(register(alice, "phone"))

    of_bob = queue_push(register(bob, "phone"))
    send()

    assert (state(message), state(of_bob)) == ("CANCELLED", "SENT")
    assert len(sent(sandbox)) == 1
    with pytest.raises(PushDevice.DoesNotExist):
        PushDevice.objects.get(user=alice)


def test_what_is_queued_later_for_the_former_user_does_not_go_there(
    sandbox: Sandbox,
) -> None:
    """F82: neither new messages nor those that take the place of a mail."""
    alice, bob = make_customer(), make_customer()
    old, tablet = register(alice, "phone"), register(alice, "tablet")
    register(bob, "phone")

    queue_push(tablet)
    send()

    assert [each["token"] for each in sent(sandbox)] == ["tablet"]
    assert not Notification.objects.filter(device=old).exists()


def test_a_token_that_was_rotated_ends_when_fcm_says_so(sandbox: Sandbox) -> None:
    """F82: the app registers its new token; with the old one nobody is reached."""
    alice = make_customer()
    old, new = register(alice, "old"), register(alice, "new")
    trouble(sandbox, "UNREGISTERED", "old")

    for _ in range(2):
        queue_push(new)
        send()

    assert [each["token"] for each in sent(sandbox)] == ["new", "new"]
    assert (now_of(old).status, calls(sandbox)) == ("INVALID", 3)


def test_a_retry_does_not_reach_the_next_user_either(sandbox: Sandbox) -> None:
    """F82: whose device it is, is asked before each attempt."""
    alice, bob = make_customer(), make_customer()
    message = queue_push(register(alice, "phone"))
    trouble(sandbox, "UNAVAILABLE", "phone", count=1)
    send()
    assert state(message) == "RETRY"

    register(bob, "phone")
    make_due()
    send()

    assert (state(message), sent(sandbox)) == ("CANCELLED", [])


def test_without_that_look_the_next_user_would_read_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control."""
    monkeypatch.setattr(pushing, "_why_unsent", lambda *_: None)
    queue_push(register(make_customer(), "phone"))

    register(make_customer(), "phone")
    send()

    assert len(sent(sandbox)) == 1


# --- At the same instant ------------------------------------------------------------


def was_promised_too_late(message: Notification, device: PushDevice) -> bool:
    """Whether it was sent although the device was somebody else's by then."""
    promised = place_of("notification.sending", message)
    return promised > place_of("pushdevice.moved", device)


def test_whoever_registers_before_a_push_is_promised_is_not_shown_it() -> None:
    """F82: promise and registration take turns; each order has its end."""
    for number in range(ROUNDS):
        device = register(token=f"t-{number}")
        message = queue_push(device)
        bob = make_customer()

        outcomes = at_once([send, partial(register, bob, f"t-{number}")])

        assert errors_in(outcomes) == []
        assert now_of(device).user_id == bob.pk
        assert state(message) in {"SENT", "CANCELLED"}
        assert not was_promised_too_late(message, device)


def test_without_the_lock_the_next_user_would_be_shown_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the phone changes hands between look and promise."""
    device = register(token="t")
    message, bob = queue_push(device), make_customer()

    def is_wanted_while_bob_registers(_: Notification) -> bool:
        return errors_in(at_once([partial(register, bob, "t")])) == []

    monkeypatch.setattr(pushing, "is_wanted_still", is_wanted_while_bob_registers)
    monkeypatch.setattr(
        pushing, "lock_pushed_to", lambda id_: PushDevice.objects.get(pk=id_)
    )

    send()

    assert len(sent(sandbox)) == 1
    assert was_promised_too_late(message, device)


def test_a_token_that_was_unreadable_then_does_not_end_the_registration_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice = make_customer()
    device = register(alice, "t")
    message = queue_push(device)
    PushDevice.objects.update(sealed_token="broken")
    prepare = pushing._prepare

    def prepare_and_register(row: Notification) -> Any:
        found = prepare(row)
        register(alice, "t")
        return found

    monkeypatch.setattr(pushing, "_prepare", prepare_and_register)

    send()

    assert state(message) == "FAILED"
    assert (now_of(device).status, now_of(device).generation) == ("ACTIVE", 2)
