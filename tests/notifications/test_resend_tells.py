"""What Resend tells of a mail is recorded, in any order, and what follows from it."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from notifications.handlers import _read, _record
from notifications.models import Notification, PushDevice, Suppression
from notifications.services.desk import resend, told_otherwise
from notifications.services.fallback import push_is_settled
from notifications.services.history import record_move
from notifications.services.messages import count_withdrawn
from notifications.services.suppression import find_suppression
from notifications.services.undeliverable import leave_untold
from recovery import audit, cases
from recovery.inbox import Ignored, NotPlaced
from recovery.models import AuditEntry, Case, InboxEvent
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.sandbox.resend.provider import _event
from tests.concurrency.race import at_once
from tests.conftest import Sandbox
from tests.factories import make_staff
from tests.notifications.conftest import (
    CONTEXT,
    let_time_pass,
    mails,
    make_addressee,
    make_due,
    queue,
    send,
)
from tests.notifications.test_sending import Fault, moves, now_of, withdraw_now

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sandbox"),
]

MONEY_OF_CANCELLED = (
    *("fee_kept_minor", "fee_due_minor", "refund_minor", "payout_minor"),
    "in_dispute_minor",
)


def tell(message: Notification, type_: str, *, id_: str = "", **more: Any) -> None:
    """A webhook about the mail, with its tag, as Resend sends it."""
    known = id_ or now_of(message).provider_id or "unknown-here"
    data = {"email_id": known, "tags": {"notification": str(message.pk)}, **more}
    with transaction.atomic():
        _record(InboxEvent(type=f"email.{type_}", payload={"data": data}), None)


@transaction.atomic
def count_withdrawn_of(message: Notification) -> int:
    return count_withdrawn(
        subject_type=message.subject_type,
        subject_id=message.subject_id,
        template=message.template,
    )


def device_of(message: Notification) -> PushDevice:
    return PushDevice.objects.create(
        user_id=message.recipient_id,
        token_hash=uuid4().hex,
        sealed_token="x",
        platform="WEB",
    )


@pytest.mark.parametrize(
    ("type_", "status", "reason"),
    [
        ("delivered", "DELIVERED", None),
        ("delivery_delayed", "DELAYED", None),
        ("complained", "COMPLAINED", "COMPLAINED"),
        ("failed", "BOUNCED", None),
        ("suppressed", "BOUNCED", "REFUSED"),
    ],
)
def test_what_became_of_a_mail_is_recorded_once(
    type_: str, status: str, reason: str | None
) -> None:
    message = queue()
    send()

    tell(message, type_)
    with pytest.raises(Ignored):
        tell(message, type_)

    assert now_of(message).status == status
    assert moves(message)[-2:] == ["SENT", status]
    found = Suppression.objects.values_list("reason", flat=True)
    assert list(found) == ([reason] if reason else [])


@pytest.mark.parametrize(("kind", "listed"), [("Permanent", 1), ("Temporary", 0)])
def test_only_a_permanent_bounce_puts_an_address_on_the_list(
    kind: str, listed: int
) -> None:
    """F76: what is permanent, and nothing else."""
    message = queue()
    send()

    tell(message, "bounced", bounce={"type": kind})

    assert now_of(message).status == "BOUNCED"
    assert Suppression.objects.count() == listed
    assert Case.objects.get().kind == "notification_undeliverable"


@pytest.mark.case("notification_undeliverable", "closes")
def test_a_mail_that_came_back_for_a_while_is_delivered_and_its_case_is_closed() -> (
    None
):
    message = queue()
    send()
    tell(message, "bounced", bounce={"type": "Temporary"})
    assert Case.objects.get().status == "OPEN"

    tell(message, "delivered")

    assert moves(message)[-2:] == ["BOUNCED", "DELIVERED"]
    assert Case.objects.get().status == "RESOLVED"
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("type_", "more"),
    [("bounced", {"bounce": {"type": "Permanent"}}), ("suppressed", {})],
)
def test_one_that_came_back_for_good_is_not_delivered_whatever_comes_late(
    type_: str, more: dict[str, Any]
) -> None:
    message = queue()
    send()
    tell(message, type_, **more)

    with pytest.raises(Ignored):
        tell(message, "delivered")

    assert now_of(message).status == "BOUNCED"
    assert Case.objects.get().status == "OPEN"


def test_an_address_on_the_list_gets_no_mail_and_nobody_is_called(
    sandbox: Sandbox,
) -> None:
    """F76: a complaint counts as well."""
    alice = make_addressee()
    first = queue(alice)
    send()
    tell(first, "complained")
    alice.email = "Alice@Example.com"
    alice.save()

    second = queue(alice, dedupe_key="second")
    send()

    assert now_of(second).status == "SUPPRESSED"
    assert len(mails(sandbox)) == 1
    assert Case.objects.count() == 1
    # Without the list it goes out.
    Suppression.objects.update(lifted_at=Now())
    third = queue(alice, dedupe_key="third")
    send()
    assert now_of(third).status == "SENT"


def bounce(message: Notification) -> None:
    tell(message, "bounced", bounce={"type": "Permanent"})


def test_an_address_stays_on_the_list_once_after_the_secret_key_was_changed(
    settings: Any,
) -> None:
    alice = make_addressee()
    first, second = (queue(alice, dedupe_key=key) for key in ("first", "second"))
    send()
    bounce(first)

    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "0123456789abcdef" * 4
    bounce(second)

    assert find_suppression("Alice@example.com ") == Suppression.objects.get()
    settings.SECRET_KEY_FALLBACKS = []
    assert find_suppression("alice@example.com") is None


def test_events_out_of_order_keep_the_later_state() -> None:
    message = queue()
    send()
    tell(message, "delivered")

    for late in ("sent", "delivery_delayed"):
        with pytest.raises(Ignored):
            tell(message, late)

    assert now_of(message).status == "DELIVERED"


def test_an_event_proves_that_a_mail_went_out_whose_answer_was_lost(
    sandbox: Sandbox, fault: Fault
) -> None:
    message = queue()
    fault("reset_after_effect")
    send()
    (mail,) = mails(sandbox)

    tell(message, "delivered", id_=mail["id"])
    make_due()

    assert send() == 0
    row = now_of(message)
    assert (row.status, row.provider_id) == ("DELIVERED", mail["id"])
    assert len(mails(sandbox)) == 1


def lose_answer(
    message: Notification, sandbox: Sandbox, fault: Fault, *, then: str
) -> str:
    """It goes out without our knowing, and is withdrawn or over; Resend's id of it."""
    fault("reset_after_effect")
    send()
    if then == "EXPIRED":
        make_due(not_after=Now())
        send()
    else:
        withdraw_now(message)
    assert now_of(message).status == then
    (mail,) = mails(sandbox)
    return str(mail["id"])


@pytest.mark.parametrize("then", ["CANCELLED", "EXPIRED"])
@pytest.mark.parametrize(
    ("type_", "status", "listed"),
    [
        ("sent", "SENT", []),
        ("delivered", "DELIVERED", []),
        ("complained", "COMPLAINED", ["COMPLAINED"]),
        ("bounced", "BOUNCED", ["BOUNCED"]),
    ],
)
def test_what_had_gone_out_before_nobody_wanted_it_is_told_of(
    sandbox: Sandbox,
    fault: Fault,
    then: str,
    type_: str,
    status: str,
    listed: list[str],
) -> None:
    """F76: who complains of it gets no more mails, though it was withdrawn."""
    message = queue()
    device_of(message)
    id_ = lose_answer(message, sandbox, fault, then=then)

    tell(message, type_, id_=id_, bounce={"type": "Permanent"})

    row = now_of(message)
    assert (row.status, row.provider_id, row.unsure_since) == (status, id_, None)
    assert moves(message)[3:5] == [then, "SENT"]
    assert list(Suppression.objects.values_list("reason", flat=True)) == listed
    # Nobody wants it any more: it is not pushed, and nobody is called.
    assert not Notification.objects.filter(channel="PUSH").exists()
    assert not Case.objects.exclude(status="RESOLVED").exists()


def test_what_was_withdrawn_without_a_call_stays_so(fault: Fault) -> None:
    message = queue()
    fault("4xx", status=403)
    send()
    withdraw_now(message)

    with pytest.raises(Ignored):
        tell(message, "delivered", id_="x")

    assert now_of(message).status == "CANCELLED"


def test_a_complaint_counts_whatever_became_of_its_mail(fault: Fault) -> None:
    message = queue()
    fault("4xx", status=422)
    send()
    assert now_of(message).status == "FAILED"

    tell(message, "complained", id_="x")

    assert Suppression.objects.get().reason == "COMPLAINED"
    with pytest.raises(Ignored):
        tell(message, "complained", id_="x")


@pytest.mark.parametrize("is_out", [False, True])
def test_of_what_was_withdrawn_it_is_said_whether_it_may_have_gone_out(
    fault: Fault, *, is_out: bool
) -> None:
    message = queue()
    if is_out:
        fault("reset_after_effect")
        send()

    withdraw_now(message)

    last = AuditEntry.objects.filter(subject_id=str(message.pk)).latest("id")
    assert last.reason == ("it may have gone out before" if is_out else "")


def test_what_was_withdrawn_stays_counted_when_it_turns_out_to_be_sent(
    sandbox: Sandbox, fault: Fault
) -> None:
    """The count is part of the next key: if it sank, that would be taken already."""
    message = queue()
    id_ = lose_answer(message, sandbox, fault, then="CANCELLED")
    assert count_withdrawn_of(message) == 1

    tell(message, "delivered", id_=id_)

    assert count_withdrawn_of(message) == 1


def test_an_event_closes_the_case_of_what_was_unknown(
    sandbox: Sandbox, fault: Fault
) -> None:
    message = queue()
    fault("reset_after_effect")
    send()
    let_time_pass(message, 23.5)
    send()
    assert now_of(message).status == "UNKNOWN"

    tell(message, "sent", id_=mails(sandbox)[0]["id"])

    assert now_of(message).status == "SENT"
    assert Case.objects.get().status == "RESOLVED"
    assert send() == 0


def test_a_mail_that_is_being_sent_is_told_of_later() -> None:
    message = queue()
    _lease()

    with pytest.raises(NotPlaced):
        tell(message, "delivered", id_="x")


def _lease() -> None:
    until = Now() + timedelta(minutes=1)
    Notification.objects.update(lease_token=uuid4(), lease_until=until)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"email_id": 7},
        {"email_id": "none-of-ours"},
        {"email_id": "x", "tags": {"notification": "no uuid"}},
        {"email_id": "x", "tags": [{"name": "notification"}]},
    ],
)
def test_what_is_none_of_ours_is_ignored(data: dict[str, Any]) -> None:
    event = InboxEvent(type="email.delivered", payload={"data": data})

    with pytest.raises(Ignored), transaction.atomic():
        _record(event, None)


def test_a_mail_that_came_back_is_said_by_push_and_nobody_is_called() -> None:
    message = queue()
    send()
    device_of(message)

    tell(message, "bounced", bounce={"type": "Permanent"})

    push = Notification.objects.get(channel="PUSH")
    assert (push.status, push.template) == ("PENDING", message.template)
    assert not Case.objects.exists()
    settle(push, "SENT", provider_id="p", sent_at=Now())
    assert not Case.objects.exists()


def test_if_every_push_failed_as_well_a_person_is_called() -> None:
    message = queue()
    send()
    device_of(message)
    device_of(message)
    tell(message, "bounced", bounce={"type": "Permanent"})
    first, second = Notification.objects.filter(channel="PUSH")

    settle(first, "FAILED")
    assert not Case.objects.exists()
    settle(second, "FAILED")

    assert Case.objects.get().subject_id == str(message.pk)


def test_what_is_withdrawn_while_a_push_is_the_last_hope_leaves_a_closed_case() -> None:
    message = queue()
    send()
    device_of(message)
    tell(message, "bounced", bounce={"type": "Permanent"})

    withdraw_now(message)

    assert Notification.objects.get(channel="PUSH").status == "CANCELLED"
    case = Case.objects.get()
    assert (case.subject_id, case.status) == (str(message.pk), "RESOLVED")


def bounce_late(message: Notification) -> None:
    """With a device that did not hear of it when it was said."""
    send()
    device_of(message)
    tell(message, "bounced", bounce={"type": "Permanent"})


def closed_case_of(message: Notification) -> Case:
    case = Case.objects.get(subject_id=str(message.pk))
    assert case.status == "RESOLVED"
    return case


def test_what_is_true_no_more_is_told_neither_by_push_nor_by_a_person() -> None:
    message = queue()
    send()
    cancelled = {**CONTEXT, **dict.fromkeys(MONEY_OF_CANCELLED, 0)}
    queue(
        User.objects.get(pk=message.recipient_id),
        template="booking_cancelled",
        context=cancelled,
        dedupe_key="booking_cancelled:1",
    )

    bounce_late(message)

    assert not Notification.objects.filter(channel="PUSH").exists()
    closed_case_of(message)


def test_what_came_back_is_told_by_its_copy_if_staff_sent_it_again() -> None:
    message = queue()
    send()
    resend(message_id=message.pk, staff_id=uuid4())

    bounce_late(message)

    assert not Notification.objects.filter(channel="PUSH").exists()
    closed_case_of(message)


def test_the_case_of_what_came_back_is_closed_once_nobody_wants_it() -> None:
    message = queue()
    send()
    tell(message, "bounced", bounce={"type": "Permanent"})
    assert Case.objects.get().status == "OPEN"

    withdraw_now(message)

    assert closed_case_of(message).close_reason == "Nobody wants it any more."


def test_what_a_person_wrote_into_a_case_stays() -> None:
    message = queue()
    send()
    tell(message, "bounced", bounce={"type": "Permanent"})
    case, bob = Case.objects.get(), make_staff("support")
    cases.claim_case(case_id=case.pk, staff_id=bob.pk, version=case.version)
    told_otherwise(
        message_id=message.pk,
        case_id=case.pk,
        staff_id=bob.pk,
        version=case.version + 1,
        reason="I called her.",
    )

    with transaction.atomic():
        leave_untold(now_of(message), cause="it came back")

    assert closed_case_of(message).close_reason == "I called her."


def settle(push: Notification, status: str, **values: Any) -> None:
    by = audit.Actor.system("push")
    with transaction.atomic():
        record_move(push.pk, push.status, "SENDING", actor=by)
        record_move(push.pk, "SENDING", status, actor=by)
        row = Notification.objects.filter(pk=push.pk)
        row.update(status=status, next_run_at=None, **values)
        push_is_settled(Notification.objects.get(pk=push.pk))


def test_what_need_not_arrive_opens_no_case(fault: Fault) -> None:
    message = queue(template="booking_reminder", context={**CONTEXT, "due_minor": 0})
    written = {"subject": "Soon", "html": "Soon", "text": "Soon"}
    Notification.objects.update(rendered=written)
    fault("4xx", status=422)

    send()

    assert now_of(message).status == "FAILED"
    assert not Case.objects.exists()


def test_what_the_sandbox_tells_is_understood(sandbox: Sandbox) -> None:
    message = queue()
    send()
    (mail,) = mails(sandbox)
    tags = [{"name": "notification", "value": str(message.pk)}]
    sent = {"created_at": "", "from": "", "to": [], "subject": "", "tags": tags}
    body = _event("email.bounced", mail["id"], sent, "Permanent")

    event = InboxEvent(type="email.bounced", payload=json.loads(body))
    fact = _read(event)

    assert (fact.provider_id, fact.message_id) == (mail["id"], str(message.pk))
    assert (fact.to, fact.suppresses) == ("BOUNCED", "BOUNCED")


def test_many_copies_of_one_event_change_one_thing() -> None:
    message = queue()
    send()

    def bounce() -> None:
        tell(message, "bounced", bounce={"type": "Permanent"})

    outcomes = at_once([bounce for _ in range(4)])

    assert sum(isinstance(each, Ignored) for each in outcomes) == 3
    assert moves(message).count("BOUNCED") == 1
    assert Suppression.objects.count() == 1
