"""`kill -9` at every point of sending a mail, then sweeps only: exactly one mail.

As in `test_kill_points`: workers die, the time of their leases passes, and those that
live do what is due. The sandbox's ledger says what Resend really sent.
"""

from typing import Any

import pytest

from notifications.models import Notification, Suppression
from notifications.tasks import send_email
from recovery import inbox, invariants
from recovery.inbox import process_inbox
from recovery.models import AuditEntry, Case, InboxEvent
from recovery.rowqueue import MAX_DEATHS
from slotbase.accounts.models import ProfileFetch, User
from slotbase.accounts.tasks import fetch_profiles
from slotbase.lib.clock import Now
from slotbase.providers.breaker import Breaker
from slotbase.providers.clerk import client as clerk
from slotbase.providers.resend import client as resend
from slotbase.providers.webhooks import Envelope
from tests.conftest import Sandbox
from tests.crashes.test_kill_points import kill
from tests.crashes.worker import KILLED, Workers, end_leases, is_settled
from tests.factories import make_customer
from tests.notifications.conftest import (
    calls,
    mails,
    make_device,
    make_due,
    queue,
    suppress,
)
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SEND, FETCH = "notifications.tasks.send_email", "slotbase.accounts.tasks.fetch_profiles"
PROCESS = "recovery.tasks.process_inbox"
# The call was made before the worker died, so the next one makes it again.
AFTER_THE_CALL = {"called", "recorded"}
WITH_A_LEASE = ("claimed", "rendered", "called", "recorded")


@pytest.fixture(autouse=True)
def _closed_breakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "breaker", Breaker("resend"))
    monkeypatch.setattr(clerk, "breaker", Breaker("clerk"))


def sweep() -> None:
    """What beat asks for, and living workers do; twice, as it goes on for ever."""
    for _ in range(2):
        fetch_profiles()
        send_email()


def fault(sandbox: Sandbox, kind: str, **options: Any) -> None:
    one = {"provider": "resend", "operation": "emails.send", "count": 1}
    sandbox.post("/_sandbox/faults", {**one, "fault": kind, **options})


def require_one_mail(sandbox: Sandbox) -> None:
    (mail,) = mails(sandbox)
    message = Notification.objects.get()
    assert (message.status, message.provider_id) == ("SENT", mail["id"])
    assert is_settled()
    assert invariants.find_violations() == []
    assert Case.objects.count() == 0


@pytest.mark.parametrize(
    ("point", "times"),
    [
        *((point, times) for point in WITH_A_LEASE for times in (0, 1, 2)),
        ("settled", 1),
    ],
)
def test_one_mail_wherever_its_worker_dies(
    workers: Workers, sandbox: Sandbox, point: str, times: int
) -> None:
    """F75: killed before the id is saved, and elsewhere."""
    queue()

    kill(workers, f"email.{point}", times, SEND)
    sweep()

    require_one_mail(sandbox)
    assert calls(sandbox) == 1 + times * (point in AFTER_THE_CALL)
    assert Notification.objects.get().deaths == times * (point != "settled")


@pytest.mark.parametrize("point", ["claimed", "failed", "settled"])
@pytest.mark.parametrize("kind", ["reset_after_effect", "malformed", "stored_500"])
def test_one_mail_if_its_worker_dies_over_an_answer_that_never_came(
    workers: Workers, sandbox: Sandbox, point: str, kind: str
) -> None:
    fault(sandbox, kind)
    queue()

    kill(workers, f"email.{point}", 1, SEND)
    make_due()
    sweep()
    make_due()
    sweep()

    require_one_mail(sandbox)


def test_one_mail_if_its_worker_dies_while_resend_answers(
    workers: Workers, sandbox: Sandbox
) -> None:
    fault(sandbox, "accept_then_hang")
    queue()

    caller = workers.start(SEND)
    eventually(lambda: mails(sandbox))
    assert workers.kill(caller) == KILLED
    end_leases()
    sweep()

    require_one_mail(sandbox)
    assert calls(sandbox) == 2


def test_a_worker_that_was_paused_past_its_lease_records_nothing(
    workers: Workers, sandbox: Sandbox
) -> None:
    queue()

    paused = workers.start(SEND, failpoints="email.called=stop")
    workers.wait(paused)
    end_leases()
    sweep()
    workers.go_on(paused)

    require_one_mail(sandbox)


def bounce(message: Notification) -> None:
    """Resend says that the mail came back for good."""
    mail = Notification.objects.get(pk=message.pk).provider_id
    data = {"email_id": mail, "bounce": {"type": "Permanent"}}
    inbox.store(
        Envelope(
            provider="resend",
            event_id="msg_1",
            type="email.bounced",
            created_at=None,
            account="",
            api_version="",
            livemode=None,
            payload={"type": "email.bounced", "data": data},
        )
    )


def require_one_fallback(*, devices: int) -> None:
    """It was pushed once to each device; where there is none, a person is called."""
    pushes = Notification.objects.filter(channel="PUSH")
    assert pushes.count() == pushes.values("device").distinct().count() == devices
    cases = Case.objects.filter(kind="notification_undeliverable")
    assert (cases.count(), Case.objects.count()) == (int(not devices),) * 2
    assert Suppression.objects.count() == 1
    assert invariants.find_violations() == []


with_devices = pytest.mark.parametrize("devices", [0, 2])
where_and_how_often = pytest.mark.parametrize(
    ("point", "times"),
    [
        *((p, n) for p in ("claimed", "called", "recorded") for n in (1, 2)),
        ("settled", 1),
    ],
)


@with_devices
@where_and_how_often
def test_a_mail_that_came_back_has_one_sequel_wherever_the_worker_dies(
    workers: Workers, sandbox: Sandbox, point: str, times: int, devices: int
) -> None:
    """F76: one address on the list, one push to each device, or one case."""
    message = queue()
    sweep()
    for _ in range(devices):
        make_device(message.recipient)
    bounce(message)

    kill(workers, f"inbox.{point}", times, PROCESS)
    for _ in range(2):
        process_inbox()

    assert InboxEvent.objects.get().status == "PROCESSED"
    assert Notification.objects.get(channel="EMAIL").status == "BOUNCED"
    for action in ("notification.bounced", "suppression.added"):
        assert AuditEntry.objects.filter(action=action).count() == 1
    require_one_fallback(devices=devices)
    assert len(mails(sandbox)) == 1


@with_devices
@where_and_how_often
def test_what_is_not_sent_is_told_otherwise_once_wherever_the_worker_dies(
    workers: Workers, sandbox: Sandbox, point: str, times: int, devices: int
) -> None:
    """F76: its address takes no mail."""
    message = queue()
    suppress(message.recipient)
    for _ in range(devices):
        make_device(message.recipient)

    kill(workers, f"email.{point}", times, SEND)
    sweep()

    assert Notification.objects.get(channel="EMAIL").status == "SUPPRESSED"
    require_one_fallback(devices=devices)
    assert calls(sandbox) == 0


@pytest.mark.breaks_invariants
def test_if_the_fallback_had_a_transaction_of_its_own_a_death_would_lose_it(
    workers: Workers,
) -> None:
    """The positive control: the state is written, and then the worker dies."""
    message = queue()
    suppress(message.recipient)

    end = workers.run("tests.crashes.worker.put_aside_and_tell_later")

    assert end == KILLED
    end_leases()
    sweep()
    assert not Case.objects.exists()
    assert "I18.notification" in {each.id for each in invariants.find_violations()}


def test_a_mail_that_kills_its_workers_is_unknown_and_has_a_case(
    workers: Workers, sandbox: Sandbox
) -> None:
    queue()

    kill(workers, "email.called", MAX_DEATHS, SEND)
    sweep()

    assert Notification.objects.get().status == "UNKNOWN"
    assert Case.objects.get().kind == "notification_undeliverable"
    assert len(mails(sandbox)) == 1
    assert invariants.find_violations() == []


def test_one_that_was_never_begun_failed(workers: Workers, sandbox: Sandbox) -> None:
    queue()

    kill(workers, "email.claimed", MAX_DEATHS, SEND)
    sweep()

    assert Notification.objects.get().status == "FAILED"
    assert mails(sandbox) == []


def test_with_a_new_key_at_each_attempt_there_would_be_two(
    workers: Workers, sandbox: Sandbox, settings: Any
) -> None:
    """The positive control: the call after the death has another key."""
    queue()

    kill(workers, "email.called", 1, SEND)
    settings.SLOTBASE_ENV = "another"
    sweep()

    assert len(mails(sandbox)) == 2


@pytest.mark.parametrize(
    ("point", "times"),
    [
        *((p, n) for p in ("claimed", "called", "recorded") for n in (1, 2)),
        ("settled", 1),
    ],
)
def test_a_customer_becomes_known_wherever_the_worker_dies(
    workers: Workers, sandbox: Sandbox, point: str, times: int
) -> None:
    alice = make_customer("", email="")
    queue(alice)

    kill(workers, f"profiles.{point}", times, FETCH)
    sweep()
    make_due()
    sweep()

    assert User.objects.get(pk=alice.pk).email == f"{alice.clerk_id[5:]}@example.com"
    require_one_mail(sandbox)


def test_a_customer_becomes_known_though_the_worker_died_over_a_failure(
    workers: Workers, sandbox: Sandbox
) -> None:
    alice = make_customer("", email="")
    queue(alice)
    told = {"provider": "clerk", "operation": "users.get", "fault": "5xx", "count": 1}
    sandbox.post("/_sandbox/faults", told)

    kill(workers, "profiles.failed", 1, FETCH)
    ProfileFetch.objects.update(next_run_at=Now())
    sweep()
    make_due()
    sweep()

    require_one_mail(sandbox)
