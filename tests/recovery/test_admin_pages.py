"""What holds for every page of the back office, whichever app it belongs to."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from bookings.models import (
    Booking,
    BookingHold,
    CancellationPolicy,
    DateException,
    Drill,
    Resource,
    SessionFeedback,
    Skill,
    TokenBudget,
    WaitlistEntry,
)
from notifications.models import Notification, PushDevice, Suppression
from payments.models import (
    CardPayment,
    Dispute,
    OfflinePayment,
    Payable,
    ReconciledDay,
    Reconciliation,
    Refund,
    RefundFailure,
)
from recovery import approvals, dead_letters, heartbeats, lookout, provider_status
from recovery.approvals import Proposal
from recovery.models import (
    Alert,
    AlertNotice,
    Approval,
    AuditEntry,
    Case,
    DeadLetter,
    EventDelivery,
    Heartbeat,
    InboxEvent,
    OutboxEvent,
    ProviderStatus,
    WebhookFailure,
    WorkflowRun,
)
from recovery.work import work_of
from slotbase.accounts.models import User, Venue
from slotbase.lib.backoffice import BackOfficeAdmin
from slotbase.lib.clock import read_clock
from tests.bookings.sessions import make_feedback_rows
from tests.factories import make_booking, make_entry, make_staff
from tests.notifications.conftest import make_device, queue, suppress
from tests.payments.told import make_some_of_each
from tests.recovery.trouble import fail_delivery, fail_webhook
from tests.workflow import Script, registered, start

pytestmark = pytest.mark.django_db

MONEY = (Payable, CardPayment, OfflinePayment, Refund, Dispute, RefundFailure)
PAGES = {
    *(Booking, BookingHold, Resource, DateException, AuditEntry),
    CancellationPolicy,
    *(User, Venue, Group, PeriodicTask),
    *(Case, WebhookFailure, InboxEvent, OutboxEvent, EventDelivery, Heartbeat),
    *(Notification, WorkflowRun, ProviderStatus, Alert, AlertNotice, DeadLetter),
    *(WaitlistEntry, Reconciliation, ReconciledDay, Suppression, PushDevice),
    *MONEY,
    Approval,
    *(SessionFeedback, Skill, Drill, TokenBudget),
}
EACH_PAGE = pytest.mark.parametrize("model", sorted(PAGES, key=lambda m: m.__name__))


@pytest.fixture(scope="module")
def superuser(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """With a row on every page, made once; each test undoes what it changed."""
    all_tests = transaction.atomic()
    all_tests._from_testcase = True  # what must be outermost may be inside
    with django_db_blocker.unblock(), all_tests:
        superuser = make_staff(is_superuser=True)
        with override_settings(ALERT_WEBHOOK_URL="https://ops.example.com/"):
            make_rows(superuser)
        yield superuser
        transaction.set_rollback(True)


def make_rows(superuser: User) -> None:
    venue = make_booking().resource.venue
    CancellationPolicy.objects.create(venue=venue, name="Until the day before")
    DateException.objects.create(venue=venue, date=date(2030, 1, 1), kind="CLOSED")
    minutely = IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.create(name="sweep", task="x.sweep", interval=minutely)
    fail_webhook()
    fail_delivery()
    dead_letters.record_failure(work_of("bookings.expire_holds"), ValueError())
    booking = Booking.objects.get()
    make_entry(resource=booking.resource)
    Reconciliation.objects.get_or_create(name="payments")
    ReconciledDay.objects.create(
        name="payments", day=date(2030, 1, 1), currency="EUR", began_at=read_clock()
    )
    with registered(Script()):
        start()
    heartbeats.record_heartbeat("worker@host default")
    provider_status.write({"stripe": provider_status.Tally()})
    queue(venue_id=venue.pk)
    make_device(booking.customer)
    suppress(booking.customer)
    proposal = Proposal("refund_amount", "Refund", "t", "1", {"refunds": []})
    approvals.propose(proposal, staff_id=make_staff().pk, reason="It broke.")
    make_some_of_each(venue, superuser)
    make_feedback_rows(venue)
    lookout.look()


@pytest.fixture
def rows(client: Client, superuser: User) -> Client:
    """A superuser's client, where every page has a row."""
    client.force_login(superuser)
    return client


def address(model: Any, view: str, *args: Any) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{view}", args=args)


def addresses(model: Any) -> Iterator[str]:
    pk = model.objects.order_by("pk")[0].pk
    yield address(model, "changelist")
    yield address(model, "add")
    for view in ("change", "delete", "history"):
        yield address(model, view, pk)


def test_only_these_models_have_a_page_and_each_is_of_our_kind() -> None:
    assert set(admin.site._registry) == PAGES
    assert all(isinstance(p, BackOfficeAdmin) for p in admin.site._registry.values())


@EACH_PAGE
def test_the_list_and_the_page_of_a_row_open(rows: Client, model: Any) -> None:
    row = model.objects.order_by("pk")[0]

    assert rows.get(address(model, "changelist")).status_code == 200
    page = rows.get(address(model, "change", row.pk))
    assert page.status_code == 200
    assert str(row) in page.content.decode()


@EACH_PAGE
def test_every_filter_of_the_list_opens(rows: Client, model: Any) -> None:
    page = rows.get(address(model, "changelist"))

    links = {
        choice["query_string"]
        for spec in page.context["cl"].filter_specs
        for choice in spec.choices(page.context["cl"])
    }
    for link in links:
        assert rows.get(address(model, "changelist") + link).status_code == 200, link


@EACH_PAGE
def test_whoever_is_not_signed_in_is_sent_to_the_login(
    rows: Client, model: Any
) -> None:
    rows.logout()

    for each in [*addresses(model), reverse("admin:index")]:
        for answer in (rows.get(each), rows.post(each)):
            assert answer.status_code == 302, each
            assert answer["Location"].startswith("/admin/login/"), each


@EACH_PAGE
def test_customers_are_not_let_in(rows: Client, model: Any) -> None:
    rows.force_login(Booking.objects.earliest("pk").customer)

    assert rows.get(address(model, "changelist")).status_code == 302


@EACH_PAGE
def test_staff_without_a_group_see_nothing(rows: Client, model: Any) -> None:
    rows.force_login(make_staff(venues=Venue.objects.all()))

    assert "You have no rights yet" in rows.get("/admin/").content.decode()
    for each in addresses(model):
        assert rows.get(each).status_code == 403, each


@EACH_PAGE
def test_no_list_offers_to_delete(rows: Client, model: Any) -> None:
    ids = [str(pk) for pk in model.objects.values_list("pk", flat=True)]

    page = rows.get(address(model, "changelist"))
    rows.post(
        address(model, "changelist"),
        {"action": "delete_selected", "_selected_action": ids, "post": "yes"},
    )

    assert "delete_selected" not in page.content.decode()
    assert model.objects.filter(pk__in=ids).count() == len(ids)


@pytest.mark.parametrize(
    "model", sorted(PAGES - {DateException}, key=lambda m: m.__name__)
)
def test_not_even_a_superuser_deletes(rows: Client, model: Any) -> None:
    row = model.objects.order_by("pk")[0]

    answer = rows.post(address(model, "delete", row.pk), {"post": "yes"})

    assert answer.status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize(
    "model",
    [
        *(Booking, BookingHold, AuditEntry, Group, Case, WebhookFailure),
        *(InboxEvent, OutboxEvent, EventDelivery, Heartbeat, WorkflowRun),
        *(Notification, ProviderStatus, Alert, AlertNotice, DeadLetter),
        *MONEY,
    ],
)
def test_what_only_the_code_writes_is_read_only(rows: Client, model: Any) -> None:
    row = model.objects.order_by("pk")[0]

    assert rows.get(address(model, "add")).status_code == 403
    assert rows.post(address(model, "add"), {}).status_code == 403
    assert rows.post(address(model, "change", row.pk), {}).status_code == 403


@EACH_PAGE
def test_pages_come_with_the_strict_policy_and_load_our_look(
    rows: Client, model: Any
) -> None:
    page = rows.get(address(model, "changelist"))

    policy = page["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert page["X-Frame-Options"] == "DENY"
    assert "slotbase/backoffice.css" in page.content.decode()


def test_what_people_type_is_shown_as_text(rows: Client) -> None:
    User.objects.filter(clerk_id__isnull=False).update(name="<script>alert(1)</script>")
    booking = Booking.objects.earliest("pk")

    for model, pk in ((Booking, booking.pk), (BookingHold, booking.hold_id)):
        for each in (address(model, "changelist"), address(model, "change", pk)):
            page = rows.get(each).content.decode()
            assert "<script>alert" not in page
            assert "&lt;script&gt;alert" in page


def test_a_form_without_its_token_is_refused_with_a_page_of_ours() -> None:
    strict = Client(enforce_csrf_checks=True)

    answer = strict.post(reverse("admin:login"), {"username": "x", "password": "y"})

    assert answer.status_code == 403
    assert "<style" not in answer.content.decode()
    assert "Please try again" in answer.content.decode()
