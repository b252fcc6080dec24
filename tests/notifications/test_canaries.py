"""A whole story with a person whose every datum is unlike all else: where it stands.

It may stand in the rows that can be emptied, and at the provider that needs it. It is
looked for everywhere else: every other table (so the audit, cases, alerts, dead letters
and events), what is logged, what is told of alerts, and all of Redis. The tokens of
devices stand nowhere as they are.
"""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from notifications import tokens
from notifications.kinds import Topic
from notifications.models import Notification, PushDevice
from notifications.states import Channel
from recovery import dead_letters, lookout, notices
from recovery.models import Alert, AuditEntry, Case, DeadLetter
from recovery.work import work_of
from slotbase.accounts.models import User
from slotbase.accounts.services import profiles
from slotbase.lib.clock import Now
from slotbase.lib.enqueue import _publisher, after_commit
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client as fcm
from tests.bookings.routes import client_of
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_customer, make_resource, make_staff
from tests.notifications import pushes
from tests.notifications.conftest import make_device, make_due, send, suppress
from tests.notifications.redis_dump import dump_redis, empty_redis

pytestmark = pytest.mark.django_db(transaction=True)

NAME, EMAIL = "Canarina", "tweety.canarina@example.com"
PHONE, TOKEN = "+49 30 77665544", "canarina-token"
DEVICES = ("canarina-phone", "canarina-tablet", "canarina-watch")
CARD = "4242 4242 4242 4242"
CANARIES = ("canarina", "tweety", "77665544", "4242 4242")
#: Where it belongs: the person, and the mail until it is emptied.
BELONGS = {
    ("accounts_user", "name"),
    ("accounts_user", "email"),
    ("accounts_user", "phone"),
    ("notifications_notification", "rendered"),
    ("notifications_notification", "address_snapshot"),
}


def has_canary(text: object) -> bool:
    return any(canary in str(text).lower() for canary in CANARIES)


def places() -> set[tuple[str, str]]:
    """Every column of every table with one of them in it."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT to_jsonb(t) FROM "{table}" t')
            for (row,) in cursor.fetchall():
                values = json.loads(row) if isinstance(row, str) else row
                found |= {(table, k) for k, v in values.items() if has_canary(v)}
    return found


@pytest.fixture(autouse=True)
def _only_ours_in_redis() -> Iterator[None]:
    empty_redis()
    yield
    empty_redis()


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcm, "breaker", Breaker("fcm"))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def said_by(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, by any logger on any level."""
    return " ".join(
        f"{each.getMessage()} {each.msg} {each.args} {each.exc_text}"
        for each in caplog.records
    )


@pytest.fixture
def canarina(sandbox: Sandbox) -> User:
    """Known by her Clerk id; her profile comes as for any other customer."""
    person = make_customer("", clerk_id="user_x", phone=PHONE)
    sandbox.post(
        "/_sandbox/clerk/users",
        {"id": person.clerk_id, "first_name": NAME, "last_name": CARD, "email": EMAIL},
    )
    return person


def register_devices(api: APIClient) -> None:
    for token in DEVICES:
        wish = {"token": token, "platform": "IOS", "app_version": "1.0"}
        assert api.post("/api/v1/devices/", wish, "json").status_code == 201


def book_and_cancel(api: APIClient) -> None:
    wish = {
        "resource": make_resource().pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }
    held = api.post("/api/v1/holds/", wish, "json", headers={"Idempotency-Key": "k1"})
    confirm = f"/api/v1/holds/{held.json()['id']}/confirm/"
    booked = api.post(confirm, {}, "json", headers={"Idempotency-Key": "k2"})
    cancel = f"/api/v1/bookings/{booked.json()['id']}/cancel/"
    refused = api.post(cancel, {"reason": f"use {CARD}"}, "json")
    assert refused.status_code == 400
    answer = api.post(cancel, {"reason": "ill"}, "json")
    assert answer.status_code in {200, 202}


def break_every_push(sandbox: Sandbox) -> None:
    """FCM takes no keys, quotes what it was sent, says nonsense, or knows no device."""
    phone, tablet, watch = DEVICES
    pushes.fault(sandbox, "4xx", status=401)
    pushes.send()
    Case.objects.update(last_seen_at=Now() - timedelta(minutes=2))
    field = f"message.data[{phone}]"
    pushes.trouble(sandbox, "INVALID_ARGUMENT", phone, field=field)
    pushes.fault(sandbox, "malformed", match=tablet)
    pushes.trouble(sandbox, "UNAVAILABLE", watch, count=1)
    make_due()
    pushes.send()
    pushes.trouble(sandbox, "UNREGISTERED", watch)
    make_due()
    pushes.send()


def push_after_all(api: APIClient) -> None:
    """It reaches her tablet, and then she signs out of it."""
    device = PushDevice.objects.get(pk=told_by_nonsense().device_id)
    pushes.queue_push(device)
    pushes.send()
    assert api.delete(f"/api/v1/devices/{device.pk}/").status_code == 204


def told_by_nonsense() -> Notification:
    return Notification.objects.get(status="UNKNOWN", channel="PUSH")


def break_every_way(sandbox: Sandbox) -> None:
    """Mails meet each kind of trouble, and one is refused for good."""
    for kind, options in (
        ("5xx", {"status": 500}),
        ("malformed", {}),
        ("4xx", {"status": 429}),
        ("4xx", {"status": 422}),
    ):
        one = {"provider": "resend", "operation": "emails.send", "count": 1}
        sandbox.post("/_sandbox/faults", {**one, "fault": kind, **options})
        make_due()
        send()
    make_due()
    send()


def leave_a_dead_letter(person: User) -> None:
    """A bug that carries what it failed over, in its text and in its arguments."""
    kwargs = {"id": str(person.pk), "to": EMAIL, "name": NAME, "token": TOKEN}
    work = work_of("notifications.send_email", kwargs)
    dead_letters.record_failure(work, ValueError(f"no mail for {NAME} at {EMAIL}"))


def choose_and_unsubscribe(api: APIClient, person: User) -> None:
    wish = {"topic": "REMINDERS", "channel": "PUSH", "is_wanted": False}
    assert api.patch("/api/v1/me/notifications/", wish, "json").status_code == 200
    about = tokens.Subscription(person.pk, Topic.WAITLIST, Channel.EMAIL)
    page = f"/unsubscribe/{tokens.sign(about)}/"
    assert Client().post(page, {"List-Unsubscribe": "One-Click"}).status_code == 200


def let_staff_work(person: User) -> None:
    """Somebody writes her name where only ours should stand: it stays erasable."""
    desk = Client()
    desk.force_login(make_staff("support", is_superuser=True))
    message = Notification.objects.get(status="UNKNOWN", channel="EMAIL")
    press(desk, message, "resend")
    press(desk, suppress(person), "lift")


def press(desk: Client, row: Any, button: str) -> None:
    meta = row._meta
    address = f"admin:{meta.app_label}_{meta.model_name}_change"
    page = reverse(address, args=[row.pk])
    answer = desk.post(page, {"do": button, "reason": f"{NAME} asked"})
    assert answer.status_code == 302


def live_the_story(sandbox: Sandbox, person: User) -> None:
    api = client_of(person)
    register_devices(api)
    book_and_cancel(api)
    profiles.fetch_profiles()
    person.refresh_from_db()
    assert (person.name.split()[0], person.email) == (NAME, EMAIL)
    break_every_push(sandbox)
    break_every_way(sandbox)
    push_after_all(api)
    leave_a_dead_letter(person)
    choose_and_unsubscribe(api, person)
    lookout.look()
    Alert.objects.update(tell_at=Now())
    notices.write_notices()
    notices.deliver_by_webhook()
    let_staff_work(person)
    send()
    assert Notification.objects.filter(status="SENT").exists()
    assert _publisher.flush(10)


def test_a_whole_story_leaves_the_person_only_where_they_can_be_erased(
    sandbox: Sandbox,
    said: pytest.LogCaptureFixture,
    canarina: User,
    settings: Any,
) -> None:
    settings.ALERT_WEBHOOK_URL = f"{sandbox.url}/alerts/notices"
    settings.PUBLIC_URL = "https://booking.example.com"

    live_the_story(sandbox, canarina)

    # What should have been seen was there to be seen.
    assert Case.objects.filter(kind="notification_undeliverable").exists()
    assert DeadLetter.objects.exists()
    assert Alert.objects.exists()
    assert AuditEntry.objects.filter(action="notification.resent").exists()
    assert [each["token"] for each in pushes.sent(sandbox)] == ["canarina-tablet"] * 2
    assert {code for _, code in all_attempts()} >= {
        *("UNAUTHENTICATED", "INVALID_ARGUMENT", "no_answer"),
        *("UNAVAILABLE", "UNREGISTERED", ""),
    }
    told = sandbox.get("/_sandbox/effects", provider="alerts")
    assert told["effects"]
    assert said_by(said)

    typed = {
        ("notifications_notification", "because"),
        ("notifications_suppression", "lifted_because"),
    }
    assert places() == BELONGS | typed
    assert not has_canary(said_by(said))
    assert not has_canary(told)
    assert not has_canary(dump_redis())


def all_attempts() -> list[tuple[str, str]]:
    return [each for push in pushes_made() for each in pushes.attempts(push)]


def pushes_made() -> QuerySet[Notification]:
    return Notification.objects.filter(channel=Channel.PUSH)


# --- Each place is really looked at -----------------------------------------------


def test_one_in_any_table_would_be_found() -> None:
    make_device(make_customer(), why=NAME)

    assert ("notifications_pushdevice", "why") in places()


def test_one_in_the_log_would_be_found(said: pytest.LogCaptureFixture) -> None:
    logging.getLogger("slotbase").debug("to %s", EMAIL)

    assert has_canary(said_by(said))


def test_one_in_the_arguments_of_a_task_would_be_found_in_redis() -> None:
    with transaction.atomic():
        after_commit("notifications.send_email", id=EMAIL)
    assert _publisher.flush(10)

    assert has_canary(dump_redis())
