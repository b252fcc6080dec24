"""A mail is sent once, whatever Resend answers, and whatever became of the answer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from notifications.models import Notification, NotificationAttempt
from notifications.services.messages import withdraw
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User
from slotbase.devstack.ports import any_free_port
from slotbase.lib.clock import Now, read_clock
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.conftest import (
    calls,
    let_time_pass,
    mails,
    make_due,
    queue,
    send,
    suppress,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]
Fault = Callable[..., None]


def now_of(message: Notification) -> Notification:
    return Notification.objects.get(pk=message.pk)


def attempts(message: Notification) -> list[tuple[int, str, str]]:
    made = NotificationAttempt.objects.filter(notification=message).order_by("number")
    return list(made.values_list("number", "outcome", "code"))


def moves(message: Notification) -> list[str]:
    entries = AuditEntry.objects.filter(
        subject_type="notification", subject_id=str(message.pk)
    )
    return list(entries.order_by("id").values_list("to_state", flat=True))


def test_a_mail_is_sent_once_and_its_id_is_kept(sandbox: Sandbox) -> None:
    message = queue()

    assert [send(), send()] == [1, 0]

    (mail,) = mails(sandbox)
    row = now_of(message)
    assert mail["to"] == ["alice@example.com"]
    assert mail["idempotency_key"] == f"sb:main:notif:{message.pk}"
    assert (row.status, row.provider_id, row.next_run_at) == ("SENT", mail["id"], None)
    assert row.sent_at is not None
    assert row.unsure_since is None
    assert moves(message) == ["PENDING", "SENDING", "SENT"]
    assert attempts(message) == [(1, "done", "")]


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "sent_at_first"),
    [
        ("5xx", {"status": 503}, "unknown", 0),
        ("stored_500", {}, "unknown", 0),
        ("4xx", {"status": 429}, "not executed", 0),
        ("4xx", {"status": 409}, "unknown", 0),
        ("reset_after_effect", {}, "unknown", 1),
        ("malformed", {}, "unknown", 1),
    ],
)
def test_a_failed_attempt_is_tried_again_and_one_mail_arrives(
    sandbox: Sandbox,
    fault: Fault,
    kind: str,
    options: dict[str, Any],
    outcome: str,
    sent_at_first: int,
) -> None:
    """F74: the same key and the same frozen body."""
    message = queue()
    fault(kind, **options)

    send()
    first = now_of(message)
    assert (first.status, len(mails(sandbox))) == ("RETRY", sent_at_first)
    assert (first.unsure_since is not None) == (outcome == "unknown")
    make_due()
    send()

    assert now_of(message).status == "SENT"
    assert len(mails(sandbox)) == 1
    assert now_of(message).rendered == first.rendered
    assert [each[1] for each in attempts(message)] == [outcome, "done"]
    assert now_of(message).last_error == ""


def test_a_hanging_answer_is_unknown_and_one_mail_arrives(
    sandbox: Sandbox, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F75: accepted, and then no answer."""
    monkeypatch.setattr("slotbase.providers.resend.client.TIMEOUT", 0.5)
    message = queue()
    fault("accept_then_hang")

    send()
    assert now_of(message).status == "RETRY"
    make_due()
    send()

    assert now_of(message).status == "SENT"
    assert len(mails(sandbox)) == 1


def test_a_changed_name_or_template_does_not_change_what_is_sent_again(
    sandbox: Sandbox, fault: Fault
) -> None:
    """F74: the body is frozen."""
    message = queue()
    fault("reset_after_effect")
    send()

    User.objects.update(name="Another Name", email="another@example.com")
    make_due()
    send()

    (mail,) = mails(sandbox)
    assert now_of(message).provider_id == mail["id"]
    assert mail["to"] == ["alice@example.com"]


@pytest.mark.parametrize("kind", [{"status": 403}, {"status": 429}])
def test_what_surely_did_not_go_out_goes_to_where_its_recipient_is_now(
    sandbox: Sandbox, fault: Fault, kind: dict[str, int]
) -> None:
    """And it is today's address that must not be on the list."""
    message = queue()
    fault("4xx", **kind)
    send()
    suppress(message.recipient)

    User.objects.update(email="another@example.com")
    try_again()

    (mail,) = mails(sandbox)
    assert mail["to"] == ["another@example.com"]
    assert now_of(message).address_snapshot == "another@example.com"


def test_what_surely_did_not_go_out_is_not_sent_to_a_new_address_on_the_list(
    sandbox: Sandbox, fault: Fault
) -> None:
    message = queue()
    fault("4xx", status=403)
    send()
    suppress(message.recipient, address="another@example.com")

    User.objects.update(email="another@example.com")
    try_again()

    assert (now_of(message).status, mails(sandbox)) == ("SUPPRESSED", [])


def test_what_surely_did_not_go_out_waits_when_there_is_no_address_any_more(
    sandbox: Sandbox, fault: Fault
) -> None:
    message = queue()
    fault("4xx", status=403)
    send()

    User.objects.update(email="")
    try_again()

    assert now_of(message).status == "WAITING_FOR_ADDRESS"
    User.objects.update(email="another@example.com")
    try_again()
    assert [mail["to"] for mail in mails(sandbox)] == [["another@example.com"]]


def try_again() -> None:
    """A minute later, as far as the case of our credentials is concerned."""
    Case.objects.update(last_seen_at=read_clock() - timedelta(minutes=2))
    make_due()
    send()


def test_if_it_were_written_anew_resend_would_refuse_it(
    sandbox: Sandbox, fault: Fault
) -> None:
    """F74: the positive control of the frozen body."""
    message = queue()
    fault("reset_after_effect")
    send()

    User.objects.update(name="Another Name")
    make_due(rendered=None, status="RETRY")
    send()

    row = now_of(message)
    assert (row.status, len(mails(sandbox))) == ("UNKNOWN", 1)
    assert attempts(message)[-1][1:] == ("refused", "invalid_idempotent_request")


@pytest.mark.case("notification_undeliverable", "opens")
def test_what_is_refused_for_good_fails_with_a_case(
    sandbox: Sandbox, fault: Fault
) -> None:
    """F77: such as a bad address."""
    message = queue()
    fault("4xx", status=422)

    send()

    case = Case.objects.get()
    assert now_of(message).status == "FAILED"
    assert (case.kind, case.severity) == ("notification_undeliverable", "medium")
    assert (case.audience, case.reference) == ("front_desk", message.reference)
    assert case.customer_id == message.recipient_id
    assert mails(sandbox) == []
    assert send() == 0


def test_while_our_key_is_refused_mails_wait_and_go_out_afterwards(
    sandbox: Sandbox, fault: Fault, settings: Any
) -> None:
    """F77: a case for all of them, and none is lost."""
    message = queue()
    settings.RESEND_API_KEY = "re_wrong"

    send()

    row = now_of(message)
    assert (row.status, row.attempts, row.unsure_since) == ("RETRY", 0, None)
    assert Case.objects.get().kind == "provider_configuration"
    make_due()
    assert send() == 0  # one try a minute
    settings.RESEND_API_KEY = "re_sandbox"
    settings.EMAIL_FROM = "SlotBase <noreply@other.example>"
    Case.objects.update(last_seen_at=read_clock() - timedelta(minutes=2))
    send()
    assert now_of(message).status == "SENT"
    assert now_of(message).rendered["sender"] == "SlotBase <noreply@other.example>"
    assert Case.objects.get().status == "RESOLVED"


@pytest.mark.parametrize("name", ["RESEND_API_KEY", "EMAIL_FROM"])
def test_without_its_settings_nothing_is_called_and_nothing_moves(
    sandbox: Sandbox, settings: Any, name: str
) -> None:
    message = queue()
    setattr(settings, name, "")

    send()

    row = now_of(message)
    assert (row.status, row.attempts, row.rendered) == ("PENDING", 0, None)
    assert calls(sandbox) == 0
    assert attempts(message) == []
    assert Case.objects.get().kind == "provider_configuration"


def test_a_mail_that_waits_does_not_close_the_case_of_our_key(settings: Any) -> None:
    queue()
    settings.RESEND_API_KEY = "re_wrong"
    send()
    Notification.objects.update(not_after=Now())
    make_due()
    Case.objects.update(last_seen_at=read_clock() - timedelta(minutes=2))

    send()

    assert Notification.objects.get().status == "EXPIRED"
    assert Case.objects.get().status == "OPEN"


def test_while_the_breaker_is_open_no_row_is_touched(
    sandbox: Sandbox, fault: Fault
) -> None:
    for number in range(7):
        queue(dedupe_key=str(number))
    fault("5xx", count=100)

    send()
    send()

    assert calls(sandbox) == 5
    statuses = Notification.objects.order_by("status").values_list("status", flat=True)
    assert list(statuses) == ["PENDING"] * 2 + ["RETRY"] * 5


def test_when_all_attempts_are_used_up_it_failed(settings: Any) -> None:
    settings.NOTIFICATION_RETRY_SECONDS = [1]
    settings.RESEND_API_URL = f"http://127.0.0.1:{any_free_port()}"
    message = queue()

    send()
    make_due()
    send()

    assert now_of(message).status == "FAILED"
    assert Case.objects.get().kind == "notification_undeliverable"


def test_when_one_of_them_may_have_sent_it_it_is_unknown(
    sandbox: Sandbox, fault: Fault, settings: Any
) -> None:
    settings.NOTIFICATION_RETRY_SECONDS = [1]
    message = queue()
    fault("reset_after_effect")
    send()
    settings.RESEND_API_URL = f"http://127.0.0.1:{any_free_port()}"
    make_due()
    send()

    assert now_of(message).status == "UNKNOWN"
    assert len(mails(sandbox)) == 1


def test_too_many_calls_cost_no_attempt_however_often(
    sandbox: Sandbox, fault: Fault, settings: Any
) -> None:
    """F74: a rate limit is a matter of when, and the mail is asked for again."""
    settings.NOTIFICATION_RETRY_SECONDS = [1]
    message = queue()
    fault("4xx", status=429, count=4)

    for tried in range(1, 5):
        send()
        row = now_of(message)
        assert (row.status, row.attempts, row.unsure_since) == ("RETRY", 0, None)
        assert (calls(sandbox), mails(sandbox)) == (tried, [])
        make_due()
    send()

    assert now_of(message).status == "SENT"
    assert len(mails(sandbox)) == 1
    assert not Case.objects.exists()


def test_while_its_first_call_is_in_flight_it_is_soon_asked_for_again(
    sandbox: Sandbox, fault: Fault, settings: Any
) -> None:
    """However often: who asks finds out what came of that call, and sends nothing."""
    settings.NOTIFICATION_RETRY_SECONDS = [60]
    message = queue()
    fault("reset_after_effect")
    send()
    unsure_since = now_of(message).unsure_since
    fault("4xx", status=409, count=3)

    for _ in range(3):
        make_due()
        send()
        row = now_of(message)
        assert (row.status, row.attempts) == ("RETRY", 1)
        assert row.unsure_since == unsure_since
        assert 0 < seconds_until_due(message) < 10
    make_due()
    send()

    assert now_of(message).status == "SENT"
    assert len(mails(sandbox)) == 1


def seconds_until_due(message: Notification) -> float:
    due_at = now_of(message).next_run_at
    assert due_at is not None
    return (due_at - read_clock()).total_seconds()


def test_what_may_have_gone_out_stays_unsure_when_the_next_call_is_one_too_many(
    sandbox: Sandbox, fault: Fault
) -> None:
    message = queue()
    fault("reset_after_effect")
    send()
    unsure_since = now_of(message).unsure_since
    fault("4xx", status=429)
    make_due()
    send()

    row = now_of(message)
    assert (row.status, row.unsure_since) == ("RETRY", unsure_since)
    make_due()
    send()
    assert len(mails(sandbox)) == 1


def test_what_is_unsure_for_23_hours_is_never_sent_again(
    sandbox: Sandbox, fault: Fault
) -> None:
    """F75: by a machine, that is; a person may."""
    message = queue()
    fault("reset_after_effect")
    send()
    sandbox.post("/_sandbox/resend/expire_keys", {})  # as Resend does after a day

    let_time_pass(message, hours=23)
    send()

    assert now_of(message).status == "UNKNOWN"
    assert Case.objects.get().kind == "notification_undeliverable"
    assert len(mails(sandbox)) == calls(sandbox) == 1


@pytest.mark.breaks_invariants
def test_without_that_limit_it_would_be_sent_twice(
    sandbox: Sandbox, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifications.services.sending.KEY_LIFE", timedelta(days=9999))
    message = queue()
    fault("reset_after_effect")
    send()
    sandbox.post("/_sandbox/resend/expire_keys", {})

    let_time_pass(message, hours=25)
    send()

    assert len(mails(sandbox)) == 2


def test_what_was_not_executed_may_wait_for_days(
    sandbox: Sandbox, settings: Any
) -> None:
    message = queue()
    settings.RESEND_API_KEY = "re_wrong"
    send()
    Case.objects.update(last_seen_at=read_clock() - timedelta(minutes=2))
    settings.RESEND_API_KEY = "re_sandbox"

    let_time_pass(message, hours=50)
    send()

    assert now_of(message).status == "SENT"


def test_what_nobody_wants_any_more_is_not_sent(sandbox: Sandbox) -> None:
    message = queue(not_after=read_clock())

    send()

    assert now_of(message).status == "EXPIRED"
    assert calls(sandbox) == 0
    assert Case.objects.count() == 0


def test_a_mail_waits_for_the_address_and_that_is_no_attempt(
    sandbox: Sandbox,
) -> None:
    alice = make_customer(email="")
    message = queue(alice)

    send()
    waiting = now_of(message)
    assert (waiting.status, waiting.attempts) == ("WAITING_FOR_ADDRESS", 0)
    assert calls(sandbox) == 0
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    make_due()
    send()

    assert moves(message) == ["PENDING", "WAITING_FOR_ADDRESS", "SENDING", "SENT"]
    assert len(mails(sandbox)) == 1


@pytest.mark.case("notification_undeliverable", "closes")
def test_after_a_day_without_an_address_the_front_desk_has_a_case(
    sandbox: Sandbox,
) -> None:
    alice = make_customer(email="")
    message = queue(alice)
    let_time_pass(message, hours=24)

    send()

    assert now_of(message).status == "WAITING_FOR_ADDRESS"
    assert Case.objects.get().cause == "no address is known"
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    make_due()
    send()
    assert Case.objects.get().status == "RESOLVED"
    assert len(mails(sandbox)) == 1


def test_after_a_week_without_an_address_it_failed() -> None:
    message = queue(make_customer(email=""))
    let_time_pass(message, hours=7 * 24)

    send()

    assert now_of(message).status == "FAILED"
    assert Case.objects.count() == 1


def test_a_mail_that_cannot_be_written_goes_to_a_case(settings: Any) -> None:
    settings.NOTIFICATION_RETRY_SECONDS = []
    message = queue()
    Notification.objects.update(context={})

    send()

    assert now_of(message).status == "FAILED"
    assert "UnknownTemplate" in Case.objects.get().cause


def withdraw_now(message: Notification) -> None:
    with transaction.atomic():
        withdraw(dedupe_key=message.dedupe_key)


def test_a_withdrawn_mail_is_not_sent(sandbox: Sandbox) -> None:
    """F78: what it says changed meanwhile."""
    message = queue()

    withdraw_now(message)
    withdraw_now(message)
    send()

    assert moves(message) == ["PENDING", "CANCELLED"]
    assert calls(sandbox) == 0


def test_a_mail_that_failed_once_can_be_withdrawn(
    sandbox: Sandbox, fault: Fault
) -> None:
    """F78: also between two attempts."""
    message = queue()
    fault("4xx", status=429)
    send()

    withdraw_now(message)
    make_due()
    send()

    assert now_of(message).status == "CANCELLED"
    assert mails(sandbox) == []


def test_one_that_was_sent_stays_sent(sandbox: Sandbox) -> None:
    message = queue()
    send()

    withdraw_now(message)

    assert now_of(message).status == "SENT"


def test_one_that_was_on_its_way_is_not_tried_again(sandbox: Sandbox) -> None:
    message = queue()
    make_due(
        status="SENDING",
        rendered={"subject": "s", "html": "h", "text": "t", "sender": "a@example.com"},
        unsure_since=read_clock(),
    )
    with transaction.atomic():
        from notifications.services.history import record_move
        from recovery.audit import Actor

        record_move(message.pk, "PENDING", "SENDING", actor=Actor.system("test"))

    withdraw_now(message)
    send()

    assert now_of(message).status == "EXPIRED"
    assert calls(sandbox) == 0
    entries = AuditEntry.objects.filter(subject_id=str(message.pk)).order_by("id")
    why = [each.reason for each in entries if each.to_state == "EXPIRED"]
    assert why == ["nobody wants it any more, and it may have gone out"]
