"""Back office: the front desk sees to mails that did not arrive."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from notifications.models import Notification
from notifications.services import desk as services
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from slotbase.lib.errors import InvalidState
from tests.conftest import Sandbox
from tests.factories import make_customer, make_staff, make_venue
from tests.notifications.conftest import (
    let_time_pass,
    mails,
    make_due,
    queue,
    send,
)

pytestmark = pytest.mark.django_db

Fault = Callable[..., None]


@pytest.fixture
def venue() -> Venue:
    return make_venue()


@pytest.fixture
def desk(client: Client, venue: Venue) -> Client:
    client.force_login(make_staff("front_desk", [venue]))
    return client


@pytest.fixture
def failed(venue: Venue, fault: Fault) -> Notification:
    """A mail whose address Resend did not take."""
    message = queue(venue_id=venue.pk)
    fault("4xx", status=422)
    send()
    return message


def press(client: Client, button: str, **typed: Any) -> Any:
    case = Case.objects.order_by("id").last()
    assert case is not None
    page = reverse("admin:recovery_case_change", args=[case.pk])
    return client.post(page, {"do": button, "version": case.version, **typed})


def offered(client: Client) -> list[str]:
    page = reverse("admin:recovery_case_change", args=[Case.objects.get().pk])
    return list(client.get(page).context["row_actions"])


@pytest.mark.case("notification_undeliverable", "resend")
def test_it_is_sent_again_to_the_address_of_now(
    desk: Client, failed: Notification, sandbox: Sandbox
) -> None:
    User.objects.filter(pk=failed.recipient_id).update(email="right@example.com")

    assert press(desk, "resend").status_code == 302
    send()

    (mail,) = mails(sandbox)
    assert mail["to"] == ["right@example.com"]
    assert Case.objects.get().close_reason == "It is sent again."
    assert AuditEntry.objects.filter(action="notification.resent").exists()


def test_one_that_fails_again_has_a_case_of_its_own(
    desk: Client, failed: Notification, fault: Fault
) -> None:
    press(desk, "resend")
    fault("4xx", status=422)
    send()

    states = Case.objects.order_by("id").values_list("status", flat=True)
    assert list(states) == ["RESOLVED", "OPEN"]
    assert press(desk, "resend").status_code == 302


def test_it_is_sent_again_once(failed: Notification) -> None:
    bob = make_staff()
    services.resend(message_id=failed.pk, staff_id=bob.pk)
    with pytest.raises(InvalidState):
        services.resend(message_id=failed.pk, staff_id=bob.pk)

    assert Notification.objects.count() == 2


def test_what_nobody_can_want_any_more_is_not_sent_again(
    desk: Client, failed: Notification
) -> None:
    Notification.objects.update(not_after=read_clock())

    assert "resend" not in offered(desk)
    with pytest.raises(InvalidState):
        services.resend(message_id=failed.pk, staff_id=make_staff().pk)


@pytest.mark.case("notification_undeliverable", "called")
def test_whoever_was_called_gets_no_mail_any_more(
    desk: Client, venue: Venue, sandbox: Sandbox
) -> None:
    alice = make_customer(email="")
    let_time_pass(queue(alice, venue_id=venue.pk), hours=24)
    send()
    assert "resend" not in offered(desk)  # it still waits for the address

    assert press(desk, "called").status_code == 400
    assert press(desk, "called", reason="By phone.").status_code == 302

    case = Case.objects.get()
    assert (case.status, case.close_reason) == ("RESOLVED", "By phone.")
    assert Notification.objects.get().status == "CANCELLED"
    User.objects.filter(pk=alice.pk).update(email="alice@example.com")
    make_due()
    send()
    assert mails(sandbox) == []


def test_a_mail_that_failed_stays_failed_when_they_were_called(
    desk: Client, failed: Notification
) -> None:
    assert press(desk, "called", reason="By phone.").status_code == 302

    assert Notification.objects.get().status == "FAILED"
    assert Case.objects.get().status == "RESOLVED"
