"""The page Channels: what waits, what went out, what holds it back."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from notifications import queries
from notifications.models import Notification, SendBudget
from notifications.services import budget
from notifications.services.budget import find_pauses
from recovery import provider_status
from recovery.models import AuditEntry
from slotbase.lib.clock import Now, read_clock
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.reports import Report
from tests.architecture.test_sweeps_use_their_index import by_position, plan_of
from tests.conftest import Sandbox
from tests.factories import make_customer, make_staff
from tests.notifications.conftest import (
    mails,
    make_addressee,
    make_device,
    queue,
    send,
    suppress,
)

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = reverse("channels")


@pytest.fixture
def support(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("slotbase.lib.look.WAIT_SECONDS", 20)
    client.force_login(make_staff("support"))
    return client


def read(client: Client) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """What is said of mails: facts, and what became of them in an hour and a day."""
    answer: Any = client.get(PAGE)
    assert answer.status_code == 200
    mails = answer.context_data["channels"][0]
    facts = {name: str(value) for name, value in mails["facts"]}
    return facts, {name: (hour, day) for name, hour, day in mails["lately"]}


def test_it_says_what_waits_and_what_became_of_the_rest(
    support: Client, sandbox: Sandbox
) -> None:
    queue(make_addressee())
    queue(make_customer(), dedupe_key="unaddressed")
    send()
    for number in range(2):
        due = queue(make_addressee(), dedupe_key=f"due-{number}")
    Notification.objects.filter(pk=due.pk).update(
        next_run_at=Now() - timedelta(minutes=7)
    )
    suppress(make_addressee(email="gone@example.com"))

    facts, lately = read(support)

    assert (facts["Waiting"], facts["Due"]) == ("3", "2")
    assert facts["Longest due"].startswith("for 7")
    assert facts["Address not known yet"] == "1"
    assert facts["Addresses that take no mail"] == "1"
    assert lately["Sent"] == (1, 1)
    assert lately["Failed"] == (0, 0)


def test_what_is_planned_for_later_does_not_wait(support: Client) -> None:
    alice, later = make_addressee(), read_clock() + timedelta(days=3)
    queue(alice)
    for number in range(2):
        queue(alice, dedupe_key=f"later-{number}", not_before=later)
    held = queue(alice, dedupe_key="held", not_before=later)
    Notification.objects.filter(pk=held.pk).update(last_error="resend.no_answer")

    facts, _ = read(support)

    assert (facts["Waiting"], facts["Planned for later"]) == ("2", "2")
    assert facts["Due"] == "1"


def test_pushes_have_no_budget(support: Client) -> None:
    answer: Any = support.get(PAGE)

    mails, pushes = (dict(each["facts"]) for each in answer.context_data["channels"])
    assert mails["Budget"] == "Nothing was sent yet"
    assert "Budget" not in pushes


def test_it_says_what_holds_mails_back(support: Client) -> None:
    tally = provider_status.Tally()
    error = ProviderError(Outcome.UNKNOWN, provider="resend", code="no_answer")
    tally.add(Report("resend", error, open_seconds=60))
    provider_status.write({"resend": tally})
    until = read_clock() + timedelta(hours=2)
    SendBudget.objects.update_or_create(
        provider="resend", defaults={"paused_until": until}
    )

    facts, _ = read(support)

    assert facts["Provider"] == "resend: Calls are held back."
    assert "nothing goes out before" in facts["Budget"]


def test_devices_are_counted_by_their_state(support: Client) -> None:
    alice = make_customer()
    make_device(alice)
    make_device(alice, status="INVALID", ended_at=read_clock())

    answer: Any = support.get(PAGE)

    facts = dict(answer.context_data["channels"][1]["facts"])
    assert (facts["Devices active"], facts["Devices invalid"]) == (1, 1)


def test_it_is_linked_from_the_page_health(support: Client) -> None:
    health = support.get(reverse("admin:recovery_providerstatus_changelist"))

    assert f'href="{PAGE}"' in health.content.decode()


@pytest.mark.parametrize("group", ["front_desk", "manager"])
def test_who_works_at_a_venue_does_not_see_it(client: Client, group: str) -> None:
    client.force_login(make_staff(group))

    assert client.get(PAGE).status_code == 403


def test_who_is_not_signed_in_is_sent_to_the_login(client: Client) -> None:
    for answer in (client.get(PAGE), client.post(PAGE)):
        assert answer.status_code == 302


@pytest.fixture
def operations(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("slotbase.lib.look.WAIT_SECONDS", 20)
    client.force_login(make_staff("operations"))
    return client


def pause() -> None:
    with transaction.atomic():
        budget.pause(quota="monthly_quota_exceeded", retry_after=None)


def paused_until() -> Any:
    return SendBudget.objects.get().paused_until


def says(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_operations_end_a_pause_and_mails_go_out(
    operations: Client, sandbox: Sandbox
) -> None:
    queue()
    pause()
    send()
    assert mails(sandbox) == []
    assert b"Send mails again" in operations.get(PAGE).content

    answer: Any = operations.post(PAGE, {"is_sure": "yes"})

    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert says(answer) == ["Mails go out again within seconds."]
    entry = AuditEntry.objects.get(action="send_budget.pause_ended")
    user_id = operations.session["_auth_user_id"]
    assert (entry.actor_kind, entry.actor_id) == ("staff", user_id)
    assert (entry.subject_type, entry.subject_id) == ("send_budget", "resend")
    assert find_pauses() == {}
    send()
    assert len(mails(sandbox)) == 1
    assert b"Send mails again" not in operations.get(PAGE).content


def test_if_the_quota_is_used_up_after_all_the_pause_comes_back(
    operations: Client, sandbox: Sandbox
) -> None:
    queue()
    pause()
    sandbox.post("/_sandbox/resend/limits", {"daily": 0})

    operations.post(PAGE, {"is_sure": "yes"})
    send()

    assert paused_until() > read_clock()
    assert Notification.objects.get().attempts == 0


def test_who_does_not_say_that_they_are_sure_ends_nothing(operations: Client) -> None:
    pause()

    answer: Any = operations.post(PAGE)

    assert says(answer) == ["Nothing was done: tick that Resend takes mails again."]
    assert paused_until() is not None
    assert not AuditEntry.objects.filter(subject_type="send_budget").exists()


def test_who_presses_it_twice_has_done_one_thing(operations: Client) -> None:
    pause()

    for _ in range(2):
        answer: Any = operations.post(PAGE, {"is_sure": "yes"})

    assert says(answer)[-1] == "Nothing is paused any more."
    assert AuditEntry.objects.filter(action="send_budget.pause_ended").count() == 1


@pytest.mark.parametrize("group", ["support", "auditor", "manager"])
def test_nobody_else_ends_a_pause(client: Client, group: str) -> None:
    client.force_login(make_staff(group))
    pause()

    answer = client.post(PAGE, {"is_sure": "yes"})

    assert answer.status_code == 403
    assert paused_until() is not None


def test_it_costs_two_statements_however_many_messages_there_are() -> None:
    alice = make_addressee()
    for number in range(5):
        queue(alice, dedupe_key=f"{number}")

    with CaptureQueriesContext(connection) as statements:
        queries.read_channels()

    assert len(statements) == 2


# --- What it costs ----------------------------------------------------------------

OLD_MAILS = """
INSERT INTO notifications_notification (id, recipient_id, template, template_version,
    context, subject_type, subject_id, reference, dedupe_key, next_run_at, status,
    sent_at, provider_id)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, %s, 't', 1, '{}',
    's', '1', '', n::text, NULL, 'SENT', slotbase_now(), n::text
FROM generate_series(1, 50000) n
"""


def tables_read_to_the_end() -> list[str]:
    """What the two statements of the page read without an index."""
    statements: list[tuple[str, tuple[Any, ...]]] = []

    def listen(execute: Any, text: str, values: Any, *more: Any) -> Any:
        statements.append(by_position(text, values))
        return execute(text, values, *more)

    with connection.execute_wrapper(listen):
        queries.read_channels()
    nodes = [node for each in statements for node in plan_of(*each)]
    return [n["Relation Name"] for n in nodes if n["Node Type"].endswith("Seq Scan")]


@pytest.mark.breaks_invariants
def test_old_messages_are_not_read_and_without_the_index_they_would_be() -> None:
    alice = make_addressee()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(OLD_MAILS, [alice.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE")
        assert tables_read_to_the_end() == []
        cursor.execute("DROP INDEX notifications_due, notifications_urgent")
        assert tables_read_to_the_end() == ["notifications_notification"]
        transaction.set_rollback(True)
