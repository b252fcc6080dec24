"""One id leads from a customer's request through workers to webhooks."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from bookings.models import Booking
from notifications.models import Notification
from payments.models import CardPayment
from recovery import inbox
from recovery.models import AuditEntry, InboxEvent, OutboxEvent, WorkflowRun
from slotbase.accounts.models import User
from slotbase.lib import request_id
from slotbase.providers.webhooks import Envelope
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_customer, make_resource, make_staff
from tests.payments.money import pay, run_due_work
from tests.payments.sweeps import sweep

pytestmark = pytest.mark.django_db(transaction=True)

ApiOf = Callable[[User], APIClient]


def post(
    api: APIClient, path: str, id_: str, body: dict[str, Any] | None = None
) -> Any:
    headers = {"Idempotency-Key": path, "X-Request-Id": id_}
    answer = api.post(f"/api/v1{path}", body or {}, "json", headers=headers)
    assert answer.status_code < 300, answer.content
    assert answer["X-Request-Id"] == id_
    return answer.json()


def buy_and_cancel(api: APIClient, sandbox: Sandbox) -> str:
    """Each request has an id of its own; returns the id of the booking."""
    court = make_resource(payment_mode="ONLINE", price_minor=1200)
    wish = {
        "resource": court.pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }
    hold = post(api, "/holds/", "request-hold", wish)
    payment = post(api, f"/holds/{hold['id']}/payment/", "request-payment")
    pay(sandbox, payment["payment"])
    booking = post(api, f"/holds/{hold['id']}/confirm/", "request-confirm")
    post(api, f"/bookings/{booking['id']}/cancel/", "request-cancel")
    run_due_work()
    sweep()
    return str(booking["id"])


def actions_of(id_: str) -> set[str]:
    entries = AuditEntry.objects.filter(request_id=id_)
    return set(entries.values_list("action", flat=True))


def test_what_workers_and_webhooks_do_carries_the_request_that_it_came_of(
    api_of: ApiOf, sandbox: Sandbox
) -> None:
    buy_and_cancel(api_of(make_customer(email="alice@example.com")), sandbox)

    assert {"hold.created"} <= actions_of("request-hold")
    assert {"card_payment.begun", "card_payment.succeeded"} <= (
        actions_of("request-payment") | actions_of("request-confirm")
    )
    # The request, the workflow, the call to Stripe and what came of it, the mail.
    assert {
        *("booking.cancelling", "refund.requested", "refund.sending"),
        *("refund.succeeded", "workflow.started", "workflow.done", "booking.cancelled"),
        *("notification.queued", "notification.sent"),
    } <= actions_of("request-cancel")
    assert WorkflowRun.objects.get().request_id == "request-cancel"
    events = OutboxEvent.objects.filter(request_id="request-cancel")
    assert {"booking.cancelling", "payments.refund_settled", "booking.cancelled"} <= {
        event.type for event in events
    }


def test_a_webhook_keeps_its_own_id_and_what_it_tells_belongs_to_who_asked(
    api_of: ApiOf, sandbox: Sandbox
) -> None:
    court = make_resource(payment_mode="ONLINE", price_minor=1200)
    wish = {
        "resource": court.pk,
        "start_time": in_two_days(12).isoformat(),
        "end_time": in_two_days(13).isoformat(),
    }
    api = api_of(make_customer(email="alice@example.com"))
    hold = post(api, "/holds/", "request-hold", wish)
    payment = post(api, f"/holds/{hold['id']}/payment/", "request-payment")
    pay(sandbox, payment["payment"])
    store_as("request-of-stripe", sandbox)

    sweep()

    assert InboxEvent.objects.filter(request_id="request-of-stripe").exists()
    # By the webhook alone: nobody asked again.
    assert "card_payment.succeeded" in actions_of("request-payment")
    assert request_id.current() == ""


def store_as(id_: str, sandbox: Sandbox) -> None:
    """The webhook of the payment comes in, by a request with this id."""
    intent = CardPayment.objects.get().provider_id
    with request_id.resumed(id_):
        inbox.store(
            Envelope(
                provider="stripe",
                event_id="evt_followed",
                type="payment_intent.succeeded",
                created_at=None,
                account="",
                api_version="",
                livemode=False,
                payload={"data": {"object": {"id": intent}}},
            )
        )


def test_every_entry_says_who_did_it_and_of_which_request(
    api_of: ApiOf, sandbox: Sandbox
) -> None:
    alice = make_customer(email="alice@example.com")
    buy_and_cancel(api_of(alice), sandbox)

    entries = list(AuditEntry.objects.all())
    assert {entry.actor_kind for entry in entries} == {"customer", "system"}
    assert all(entry.actor_id for entry in entries)
    by_alice = [entry for entry in entries if entry.actor_kind == "customer"]
    assert {entry.actor_id for entry in by_alice} == {str(alice.pk)}
    # All of it came of four requests.
    assert {entry.request_id for entry in entries} == {
        *("request-hold", "request-payment"),
        *("request-confirm", "request-cancel"),
    }
    assert {"SENT"} <= {each.status for each in Notification.objects.all()}


def test_staff_follow_it_from_the_history_of_a_booking_to_all_that_came_of_it(
    api_of: ApiOf, sandbox: Sandbox, client: Client
) -> None:
    booking = buy_and_cancel(api_of(make_customer(email="a@example.com")), sandbox)
    client.force_login(make_staff("auditor"))

    page = client.get(f"/admin/bookings/booking/{booking}/change/").content.decode()
    link = "/admin/recovery/auditentry/?q=request-cancel"
    assert f'href="{link}"' in page
    found = client.get(link).context["cl"].result_list
    assert {entry.action for entry in found} == actions_of("request-cancel")

    # Who must not see the audit sees the id, and no link that leads nowhere.
    client.force_login(make_staff("manager", venues=[venue_of(booking)]))
    page = client.get(f"/admin/bookings/booking/{booking}/change/").content.decode()
    assert "cancel" in page
    assert link not in page


def venue_of(booking: str) -> Any:
    return Booking.objects.get(pk=booking).resource.venue


def test_without_a_request_there_is_no_id() -> None:
    with request_id.resumed(""):
        assert request_id.current() == ""
    with request_id.resumed("request-one"):
        with request_id.resumed("request-two"):
            assert request_id.current() == "request-one"
        with request_id.resumed("request-two", instead=True):
            assert request_id.current() == "request-two"
        assert request_id.current() == "request-one"
    assert request_id.current() == ""
