"""Export and erase of a person (S32): complete, blocked by open money, for good."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from bookings.models import Booking
from bookings.services import cancelling
from bookings.services.waitlist import remove_entry
from notifications.models import Notification
from payments.models import OfflinePayment, Payable, Refund
from recovery import audit, cases, inbox, invariants
from recovery.models import AuditEntry, IdempotencyRecord
from slotbase.accounts.models import Erasure, User
from slotbase.accounts.services import personal_data
from slotbase.accounts.services.erasing import erase_people, request_erasure
from slotbase.lib.clock import Now
from slotbase.providers.webhooks import Envelope
from tests.adversity import Clock
from tests.bookings.routes import client_of
from tests.conftest import Sandbox
from tests.factories import (
    make_booking,
    make_customer,
    make_entry,
    make_resource,
    make_staff,
)
from tests.notifications.conftest import make_device, send, suppress
from tests.notifications.redis_dump import dump_redis, empty_redis
from tests.payments.money import (
    make_cash,
    make_paid_booking,
    make_payable,
    run_due_work,
)

pytestmark = pytest.mark.django_db(transaction=True)

NAME, EMAIL, PHONE = "Canarina Tweetman", "tweety@canary.example.com", "+49 30 776655"
CLERK_ID = "user_canaryclerk"
CANARIES = ("canarin", "tweet", "canary", "776655")
TYPED = "canary-words"
#: What stays is about nobody: 60 days are over by far.
LATER = {"days": 100}


def has_canary(text: object) -> bool:
    return any(each in str(text).lower() for each in CANARIES)


def places() -> set[tuple[str, str]]:
    """Every column of every table that tells who she is."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT to_jsonb(t) FROM "{table}" t')
            for (row,) in cursor.fetchall():
                values = json.loads(row) if isinstance(row, str) else row
                found |= {(table, k) for k, v in values.items() if has_canary(v)}
    return found


def receive(provider: str, type_: str, payload: dict[str, Any]) -> None:
    inbox.store(
        Envelope(
            provider=provider,
            event_id=f"evt_{uuid4().hex}",
            type=type_,
            created_at=None,
            account="",
            api_version="",
            livemode=False if provider == "stripe" else None,
            payload=payload,
        )
    )


@pytest.fixture
def canarina() -> User:
    return make_customer("Tweetman", clerk_id=CLERK_ID, email=EMAIL, phone=PHONE)


@pytest.fixture
def api(canarina: User) -> APIClient:
    return client_of(canarina)


def ask(user: User, **over: Any) -> None:
    request_erasure(user_id=user.pk, actor=audit.Actor.customer(user.pk), **over)


def make_due() -> None:
    Erasure.objects.filter(ended_at=None).update(next_run_at=Now())


def erase(user: User) -> User:
    """Ask, and let a worker do it."""
    ask(user)
    erase_people()
    user.refresh_from_db()
    return user


def export(api: APIClient) -> Any:
    answer = api.get("/api/v1/me/export/")
    assert answer.status_code == 200, answer.content
    return json.loads(b"".join(answer.streaming_content))


def live(sandbox: Sandbox, person: User) -> Booking:
    """Book, pay, cancel, be refunded, be told, and be written about."""
    rename(person)
    booking = make_paid_booking(sandbox, customer=person)
    cancelling.cancel_booking(
        booking_id=booking.pk, customer_id=person.pk, reason=f"{TYPED} cancel"
    )
    run_due_work()
    for _ in range(3):
        Notification.objects.exclude(next_run_at=None).update(next_run_at=Now())
        send()
    payment = booking.payable.card_payments.get()
    for type_ in ("charge.updated", "payment_intent.created"):
        receive(
            "stripe",
            type_,
            {
                "data": {
                    "object": {
                        "id": payment.provider_id,
                        "billing_details": {"name": NAME, "email": EMAIL},
                    }
                }
            },
        )
    receive("clerk", "user.created", {"data": {"id": CLERK_ID, "first_name": "Tweety"}})
    receive("resend", "email.opened", {"data": {"to": [EMAIL.upper()]}})
    run_due_work()
    leave_words(booking, person)
    return booking


def leave_words(booking: Booking, person: User) -> None:
    """In every place where somebody can type something."""
    cash = make_cash(make_payable(500, customer=person), 500, note=f"{TYPED} note")
    assert cash.note
    Refund.objects.update(evidence=f"{TYPED} evidence")
    entry = make_entry(resource=make_taken(), customer=person)
    remove_entry(
        entry_id=entry.pk, staff_id=make_staff().pk, reason=f"{TYPED} waitlist"
    )
    make_device(person, app_version="canary1.0")
    suppression = suppress(person)
    type(suppression).objects.update(
        lifted_at=Now(), lifted_by=make_staff(), lifted_because=f"{TYPED} lifted"
    )
    Notification.objects.filter(recipient=person).update(because=f"{TYPED} because")
    with transaction.atomic():
        case_id = cases.open_case(
            cases.Opening(
                kind="notification_undeliverable",
                fingerprint="about-her",
                title=f"About {NAME}",
                subject_type="booking",
                subject_id=str(booking.pk),
                customer_id=person.pk,
                cause=f"wrote to {EMAIL}",
                details={"who": [NAME]},
            )
        )
    cases.resolve_case(
        case_id=case_id,
        staff_id=make_staff().pk,
        version=1,
        reason=f"{TYPED} closed",
        evidence=f"{TYPED} evidence",
    )
    IdempotencyRecord.objects.create(
        principal=str(person.pk),
        key=TYPED,
        route="POST /",
        body_hash="",
        status=201,
        object_id=uuid4(),
    )


def rename(person: User) -> None:
    """Django's admin writes down whom staff changed, by name."""
    desk = Client()
    desk.force_login(make_staff("operations"))
    page = reverse("admin:accounts_user_change", args=[person.pk])
    answer = desk.post(page, {"name": NAME, "is_active": "on"})
    assert answer.status_code == 302, answer.content
    assert LogEntry.objects.filter(object_repr__contains=NAME).exists()
    person.refresh_from_db()


def make_taken() -> Any:
    resource = make_resource()
    make_booking(resource=resource)
    return resource


def ledger() -> list[Any]:
    """All sums, receipts and the whole audit."""
    shown: list[Any] = []
    for model, fields in (
        (Payable, ("pk", "owed_minor", "paid_minor", "refunded_minor", "customer")),
        (OfflinePayment, ("pk", "amount_minor", "receipt_number", "tax_minor")),
        (Refund, ("pk", "amount_minor", "status", "settled_at")),
    ):
        shown += model.objects.order_by("pk").values_list(*fields)
    return shown


def entries() -> list[Any]:
    return list(AuditEntry.objects.order_by("pk").values_list())


# --- The whole of S32 --------------------------------------------------------------


def test_a_whole_life_is_exported_and_then_nothing_tells_who_it_was(
    sandbox: Sandbox, canarina: User, clock: Clock, api: APIClient
) -> None:
    """S32: pay, refund, mail, push, webhooks; the sums and the history stay."""
    empty_redis()
    live(sandbox, canarina)
    held = {each for part in personal_data.parts() for each in part.holds}
    assert {"accounts.User", "payments.Refund", "bookings.Booking"} <= held
    before = places()
    assert {table for table, _ in before} >= {
        *("accounts_user", "bookings_booking", "bookings_waitlistentry"),
        *("payments_offlinepayment", "payments_refund", "recovery_case"),
        *("recovery_inboxevent", "notifications_notification"),
        *("notifications_suppression", "notifications_pushdevice"),
        *("recovery_idempotencyrecord", "django_admin_log"),
    }
    clock.move(**LATER)
    told = export(api)
    sums, history = ledger(), entries()

    erased = erase(canarina)

    assert erased.erased_at is not None
    assert places() == set()
    assert not has_canary(dump_redis())
    assert ledger() == sums
    assert entries()[: len(history)] == history
    assert invariants.find_violations(safety_only=True, full=True) == []
    assert str(erased) == "Erased person"
    assert_complete(told)


def assert_complete(told: dict[str, Any]) -> None:
    """Of each part what only it has."""
    written = json.dumps(told)
    for words in ("cancel", "note", "evidence", "waitlist", "lifted", "because"):
        assert f"{TYPED} {words}" in written, words
    assert told["accounts"]["person"][0]["email"] == EMAIL
    assert told["bookings"]["bookings"][0]["cancel_reason"] == f"{TYPED} cancel"
    assert told["payments"]["refunds"][0]["evidence"] == f"{TYPED} evidence"
    assert told["payments"]["card_payments"]
    assert any(each["rendered"] for each in told["notifications"]["messages"])
    assert told["notifications"]["devices"][0]["app_version"] == "canary1.0"
    assert {each["provider"] for each in told["recovery"]["webhooks"]} == {
        *("stripe", "clerk", "resend")
    }
    assert told["recovery"]["cases"]
    assert told["recovery"]["history"]


def test_without_a_part_its_words_would_be_found(
    sandbox: Sandbox,
    canarina: User,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: the look into every table sees what payments leaves behind."""
    live(sandbox, canarina)
    clock.move(**LATER)
    others = {part.name: part for part in personal_data.parts()[::-1]}
    others.pop("payments")
    monkeypatch.setattr(personal_data, "_parts", others)

    erase(canarina)

    assert places() >= {
        ("payments_offlinepayment", "note"),
        ("payments_refund", "evidence"),
    }
