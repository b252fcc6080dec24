"""A push reaches each device once at most, and only its recipient's."""

from datetime import timedelta
from typing import Any

import pytest

from notifications.models import Notification, PushDevice
from notifications.services import devices, pushing
from recovery import invariants
from recovery.models import Case
from slotbase.lib.clock import Now, read_clock
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.pushes import (
    attempts,
    calls,
    fault,
    history,
    make_due,
    now_of,
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


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("fcm"))


def state(message: Notification) -> str:
    status: str = now_of(message).status
    return status


def seconds_until_due(message: Notification) -> float:
    wait: timedelta = now_of(message).next_run_at - read_clock()
    return wait.total_seconds()


# --- What goes out ------------------------------------------------------------------


def test_a_push_reaches_each_device_of_its_recipient(sandbox: Sandbox) -> None:
    alice = make_customer()
    phone, tablet, _ = register(alice, "phone"), register(alice, "tablet"), register()

    message = queue_push(phone, dedupe_key="k")

    assert [send(), send()] == [2, 0]
    first, second = sorted(sent(sandbox), key=lambda each: str(each["token"]))
    assert (first["token"], second["token"]) == ("phone", "tablet")
    assert first["data"] == {
        "kind": "booking_confirmed",
        "subject_type": "booking",
        "subject_id": "1",
    }
    assert "Court 1" in first["title"]
    assert "Tennis am Park" in first["body"]
    # A copy takes the place of the first one, on each device.
    assert first["collapse_key"] == second["collapse_key"]
    assert first["apns"]["apns-collapse-id"] == first["collapse_key"]
    assert first["webpush"]["notification"]["tag"] == first["collapse_key"]
    row = now_of(message)
    assert (row.status, row.provider_id) == ("SENT", first["name"])
    assert row.unsure_since is None
    assert attempts(message) == [("done", "")]
    assert [entry[1] for entry in history("notification", message.pk)] == [
        *("PENDING", "SENDING", "SENT")
    ]
    assert Notification.objects.filter(device=tablet, status="SENT").exists()


def test_of_one_message_a_device_hears_once_whoever_queues_it_again(
    sandbox: Sandbox,
) -> None:
    device = register()
    for _ in range(2):
        queue_push(device, dedupe_key="k")
    send()

    assert len(sent(sandbox)) == 1


def test_an_installation_without_fcm_pushes_nothing(settings: Any) -> None:
    device = register()
    settings.FCM_CREDENTIALS = ""

    with pytest.raises(Notification.DoesNotExist):
        queue_push(device)


@pytest.mark.parametrize(
    ("not_after", "least", "most"),
    [(None, 3590, 3600), (timedelta(minutes=2), 110, 120)],
)
def test_it_lives_until_nobody_wants_it_and_an_hour_at_most(
    sandbox: Sandbox, not_after: timedelta | None, least: int, most: int
) -> None:
    queue_push(not_after=not_after and read_clock() + not_after)

    send()

    (effect,) = sent(sandbox)
    assert least <= int(effect["ttl"].rstrip("s")) <= most


def test_one_for_later_lives_for_an_hour_from_then_on(sandbox: Sandbox) -> None:
    later = read_clock() + timedelta(days=1)

    message = queue_push(not_before=later)

    assert send() == 0
    assert now_of(message).next_run_at == later
    assert now_of(message).not_after == later + timedelta(hours=1)


def test_what_is_too_late_is_not_sent(sandbox: Sandbox) -> None:
    message = queue_push()
    Notification.objects.update(not_after=Now())

    send()

    assert (state(message), calls(sandbox)) == ("EXPIRED", 0)
    assert now_of(message).attempts == 0


# --- F80: the device is gone --------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "more", "why"),
    [
        ("UNREGISTERED", {}, "unregistered"),
        ("SENDER_ID_MISMATCH", {}, "sender_id_mismatch"),
        ("INVALID_ARGUMENT", {}, "invalid_token"),
        ("INVALID_ARGUMENT", {"field": "message.token"}, "invalid_token"),
    ],
)
def test_a_device_that_fcm_does_not_know_is_invalid_at_once(
    sandbox: Sandbox, error: str, more: dict[str, Any], why: str
) -> None:
    device = register(token="gone")
    message, next_one = queue_push(device), queue_push(device)
    Notification.objects.filter(pk=next_one.pk).update(
        next_run_at=read_clock() + timedelta(seconds=1)
    )
    trouble(sandbox, error, "gone", **more)

    send()
    make_due()
    send()

    assert (now_of(device).status, now_of(device).why) == ("INVALID", why)
    assert (state(message), now_of(message).next_run_at) == ("FAILED", None)
    assert (state(next_one), calls(sandbox)) == ("CANCELLED", 1)
    assert Case.objects.count() == 0
    assert invariants.find_violations() == []


def test_a_message_with_a_bug_costs_nobody_a_device(sandbox: Sandbox) -> None:
    device = register(token="t")
    message = queue_push(device)
    trouble(sandbox, "INVALID_ARGUMENT", "t", field="message.data[kind]")

    send()

    assert (now_of(device).status, state(message)) == ("ACTIVE", "FAILED")
    assert attempts(message) == [("refused", "INVALID_ARGUMENT")]
    assert pushing.push_guard.find_refusals() != {}
    assert Case.objects.count() == 0


def push_to_many(sandbox: Sandbox, *, bad: int, good: int, error: str) -> None:
    """Refused pushes last, so that their devices are judged by all."""
    for number in range(good):
        queue_push(register(token=f"good-{number}"))
    send()
    for number in range(bad):
        trouble(sandbox, error, f"bad-{number}")
        queue_push(register(token=f"bad-{number}"))
        send()


def invalid() -> int:
    return PushDevice.objects.filter(status="INVALID").count()


@pytest.mark.parametrize("error", ["INVALID_ARGUMENT", "SENDER_ID_MISMATCH"])
def test_if_more_than_a_fifth_is_refused_the_fault_is_ours(
    sandbox: Sandbox, error: str
) -> None:
    push_to_many(sandbox, good=16, bad=4, error=error)
    assert invalid() == 4  # a fifth, and not more
    assert pushing.push_guard.find_refusals() == {}

    trouble(sandbox, error, "one-more")
    device = register(token="one-more")
    message = queue_push(device)
    send()

    assert (now_of(device).status, invalid()) == ("ACTIVE", 4)
    assert state(message) == "FAILED"
    assert [*pushing.push_guard.find_refusals()] == ["fcm"]


def test_without_the_guard_it_would_cost_devices(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control."""
    monkeypatch.setattr(pushing.push_guard, "is_our_fault", lambda: False)

    push_to_many(sandbox, good=16, bad=5, error="INVALID_ARGUMENT")

    assert invalid() == 5


def test_any_number_of_devices_may_be_unregistered(sandbox: Sandbox) -> None:
    push_to_many(sandbox, good=10, bad=12, error="UNREGISTERED")

    assert invalid() == 12
    assert pushing.push_guard.find_refusals() == {}


# --- F81: FCM is busy, or our keys are wrong ----------------------------------------


@pytest.mark.parametrize("error", ["QUOTA_EXCEEDED", "UNAVAILABLE"])
def test_when_to_come_back_is_honoured(sandbox: Sandbox, error: str) -> None:
    device = register(token="t")
    message = queue_push(device)
    trouble(sandbox, error, "t", retry_after=300, count=1)

    send()

    assert 230 < seconds_until_due(message) <= 360
    assert (state(message), now_of(device).status) == ("RETRY", "ACTIVE")
    make_due()
    send()
    assert (state(message), len(sent(sandbox))) == ("SENT", 1)


def test_who_is_asked_back_in_a_second_waits_as_long_as_is_usual(
    sandbox: Sandbox,
) -> None:
    """Else all attempts would be used up within seconds."""
    message = queue_push(register(token="t"))
    trouble(sandbox, "UNAVAILABLE", "t", retry_after=1, count=1)

    send()

    assert 7 < seconds_until_due(message) <= 12
    assert now_of(message).attempts == 1


def test_a_failed_attempt_is_tried_again_less_and_less_often(sandbox: Sandbox) -> None:
    device = register(token="t")
    message = queue_push(device)
    trouble(sandbox, "INTERNAL", "t")
    waits = []
    for _ in range(6):
        client.breaker = Breaker("fcm")
        send()
        row = now_of(message)
        waits.append(row.next_run_at and seconds_until_due(message))
        make_due()

    assert waits.pop() is None
    for wait, usual in zip(waits, [10, 30, 120, 600, 1800], strict=True):
        assert usual * 0.7 < wait <= usual * 1.2
    assert (state(message), now_of(device).status) == ("FAILED", "ACTIVE")
    assert (calls(sandbox), Case.objects.count()) == (6, 0)


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_a_case_and_nobodys_device_is_touched(
    sandbox: Sandbox, status: int
) -> None:
    device = register(token="t")
    message, other = queue_push(device), queue_push()
    fault(sandbox, "4xx", status=status)

    send()

    case = Case.objects.get()
    assert (case.kind, case.subject_id) == ("provider_configuration", "fcm")
    assert PushDevice.objects.exclude(status="ACTIVE").count() == 0
    assert calls(sandbox) == 1
    assert {state(message), state(other)} == {"RETRY", "PENDING"}
    # The queue waits, then one push tries; its success ends the trouble.
    assert send() == 0
    Case.objects.update(last_seen_at=read_clock() - timedelta(minutes=2))
    make_due()
    send()
    assert Case.objects.get().status == "RESOLVED"
    assert {state(message), state(other)} == {"SENT"}


def test_trouble_with_apples_keys_is_a_case_as_well(sandbox: Sandbox) -> None:
    device = register(token="t", platform="IOS")
    message = queue_push(device)
    trouble(sandbox, "THIRD_PARTY_AUTH_ERROR", "t")

    send()

    assert Case.objects.get().fingerprint == "provider_configuration:fcm"
    assert (now_of(device).status, state(message)) == ("ACTIVE", "RETRY")
    assert now_of(message).attempts == 0


def test_while_fcm_is_left_alone_rows_stay_as_they_are(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, late = queue_push(), queue_push()
    Notification.objects.filter(pk=late.pk).update(not_after=Now())
    breaker = Breaker("fcm", failures=1)
    monkeypatch.setattr(client, "breaker", breaker)
    with pytest.raises(client.ProviderError), breaker:
        raise client.ProviderError(
            client.Outcome.NOT_EXECUTED, provider="fcm", code="x"
        )

    send()
    send(), make_due(), send()

    row = now_of(message)
    assert (row.status, row.attempts, row.rendered) == ("PENDING", 0, None)
    assert state(late) == "EXPIRED"
    assert calls(sandbox) == 0


# --- What may have gone out ---------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["accept_then_hang", "reset_after_effect", "malformed"]
)
def test_what_may_have_gone_out_is_not_sent_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("slotbase.providers.fcm.transport.TIMEOUT", 0.5)
    alice = make_customer()
    phone, tablet = register(alice, "phone"), register(alice, "tablet")
    queue_push(phone)
    fault(sandbox, kind, match="phone")

    send()
    make_due()
    send()

    assert sorted(each["token"] for each in sent(sandbox)) == ["phone", "tablet"]
    told = Notification.objects.get(device=phone)
    assert (told.status, told.next_run_at) == ("UNKNOWN", None)
    assert told.unsure_since is not None
    assert attempts(told) == [("unknown", "no_answer")]
    assert state(Notification.objects.get(device=tablet)) == "SENT"
    assert Case.objects.count() == 0
    assert invariants.find_violations() == []


@pytest.mark.breaks_invariants
def test_if_it_were_tried_again_the_device_would_hear_twice(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the sandbox does not know the push again."""
    message = queue_push()
    fault(sandbox, "reset_after_effect")
    send()

    Notification.objects.filter(pk=message.pk).update(
        status="RETRY", next_run_at=Now(), unsure_since=None
    )
    send()

    assert len(sent(sandbox)) == 2


# --- F82: the device is somebody else's ---------------------------------------------


def test_what_waits_for_the_former_user_is_not_pushed_to_their_phone(
    sandbox: Sandbox,
) -> None:
    alice, bob = make_customer(), make_customer()
    message = queue_push(register(alice, "phone"))

    of_bob = queue_push(register(bob, "phone"))
    send()

    assert (state(message), state(of_bob)) == ("CANCELLED", "SENT")
    assert len(sent(sandbox)) == 1
    with pytest.raises(PushDevice.DoesNotExist):
        PushDevice.objects.get(user=alice)


def test_a_retry_does_not_reach_the_next_user_either(sandbox: Sandbox) -> None:
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


def test_a_device_that_was_forgotten_gets_nothing(sandbox: Sandbox) -> None:
    device = register()
    message = queue_push(device)
    devices.forget(user_id=device.user_id, device_id=device.pk)

    send()

    assert (state(message), calls(sandbox)) == ("CANCELLED", 0)


def test_a_token_that_cannot_be_read_is_given_up_until_it_registers_again(
    sandbox: Sandbox, settings: Any
) -> None:
    alice = make_customer()
    device = register(alice, "t")
    message = queue_push(device)
    settings.SECRET_KEY = "another-" + "0123456789abcdef" * 4

    send()

    assert (state(message), now_of(device).status) == ("FAILED", "INVALID")
    assert calls(sandbox) == 0
    assert register(alice, "t").status == "ACTIVE"
    queue_push(device)
    send()
    assert len(sent(sandbox)) == 1


# --- Privacy ------------------------------------------------------------------------


def test_tokens_and_what_fcm_says_stand_nowhere(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    device = register(make_customer("Canary Name"), "canary-token")
    message = queue_push(device)
    trouble(sandbox, "INVALID_ARGUMENT", "canary-token", field="message.token")

    send()

    rows = [
        *Notification.objects.values(),
        *PushDevice.objects.values(),
        *history("notification", message.pk),
        *attempts(message),
    ]
    said = f"{rows} {capsys.readouterr()}"
    assert "canary" not in said.lower()
    assert "registration token" not in said
