"""Back office: operations compare with Stripe, and let senders go on."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from payments.models import Reconciliation
from payments.services import comparing, events, reconcile_desk
from recovery import senders
from recovery.models import AuditEntry, Case
from tests.adversity import Stripe
from tests.factories import make_staff, make_venue
from tests.payments.money import TESTER, make_paid, make_payable

pytestmark = pytest.mark.django_db(transaction=True)

DAYS = reverse("admin:payments_reconciledday_changelist")
ROWS = reverse("admin:payments_reconciliation_changelist")


@pytest.fixture
def operations(client: Client) -> Client:
    client.force_login(make_staff("operations", [make_venue()]))
    return client


@pytest.fixture
def case(stripe: Stripe) -> Case:
    """Senders are stopped."""
    make_paid(stripe._sandbox, make_payable())
    reconcile_desk.declare_restored(actor=TESTER)
    return Case.objects.get()


def page_of(case: Case) -> str:
    return reverse("admin:recovery_case_change", args=[case.pk])


def press(client: Client, case: Case, button: str, **typed: Any) -> Any:
    version = Case.objects.get(pk=case.pk).version
    return client.post(page_of(case), {"do": button, "version": version, **typed})


def buttons(client: Client, case: Case) -> set[str]:
    return set(client.get(page_of(case)).context["row_actions"])


def work() -> None:
    events.reconcile_events()
    while comparing.compare_with_stripe():
        pass


@pytest.mark.case("restore_detected", "reconcile")
@pytest.mark.case("restore_detected", "resolve")
def test_operations_reconcile_and_then_resume_with_a_reason(
    operations: Client, case: Case
) -> None:
    assert buttons(operations, case) == {"claim", "reconcile"}
    assert press(operations, case, "resolve", reason="In a hurry").status_code == 409

    assert press(operations, case, "reconcile").status_code == 302
    work()
    assert buttons(operations, case) == {"claim", "reconcile", "resolve"}
    assert press(operations, case, "resolve", reason="").status_code == 400
    assert press(operations, case, "resolve", reason="All is there").status_code == 302

    assert not senders.are_stopped()
    case.refresh_from_db()
    assert (case.status, case.close_reason) == ("RESOLVED", "All is there")
    assert AuditEntry.objects.filter(action="reconciliation.asked").exists()


def test_nothing_else_ends_it(operations: Client, case: Case) -> None:
    answer = press(operations, case, "discard", reason="It is nothing")

    assert answer.status_code == 409
    assert senders.are_stopped()


def test_support_sees_it_and_resumes_nothing(client: Client, case: Case) -> None:
    client.force_login(make_staff("support", [make_venue()]))

    assert client.get(page_of(case)).status_code == 200
    assert press(client, case, "resolve", reason="Why not").status_code == 403
    assert press(client, case, "reconcile").status_code == 403


def test_the_page_shows_both_sums(operations: Client, stripe: Stripe) -> None:
    make_paid(stripe._sandbox, make_payable())
    work()

    shown = operations.get(DAYS).content.decode()

    assert "24.00" in shown
    assert "agrees" in shown
    assert "compared as of" in operations.get(ROWS).content.decode()
    assert operations.get(f"{DAYS}?agreement=differs").status_code == 200


def test_reconcile_can_be_asked_for_without_a_case(
    operations: Client, stripe: Stripe
) -> None:
    make_paid(stripe._sandbox, make_payable())
    work()
    row = Reconciliation.objects.get(name="payments")
    address = reverse("admin:payments_reconciliation_change", args=[row.pk])

    assert operations.post(address, {"do": "reconcile"}).status_code == 302

    assert not reconcile_desk.is_done()
    work()
    assert reconcile_desk.is_done()


def test_the_front_desk_does_not_see_it(client: Client) -> None:
    client.force_login(make_staff("front_desk", [make_venue()]))

    assert client.get(ROWS).status_code == 403
    assert client.get(DAYS).status_code == 403
