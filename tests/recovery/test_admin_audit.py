"""Back office: the audit can be searched, and the schedule can be paused."""

from time import monotonic
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from bookings.models import Booking
from recovery.models import AuditEntry
from tests.factories import make_booking, make_hold, make_staff

pytestmark = pytest.mark.django_db

AUDIT = reverse("admin:recovery_auditentry_changelist")
SCHEDULE = reverse("admin:django_celery_beat_periodictask_changelist")


@pytest.fixture
def auditor(client: Client) -> Client:
    client.force_login(make_staff("auditor"))
    return client


@pytest.fixture
def booking() -> Booking:
    return make_booking()


def listed(client: Client, **query: str) -> list[str]:
    """The actions in the list, newest first."""
    answer = client.get(AUDIT, query)
    assert answer.status_code == 200
    return [entry.action for entry in answer.context["cl"].result_list]


def test_the_newest_comes_first_and_says_who_and_what(
    auditor: Client, booking: Booking
) -> None:
    assert listed(auditor) == [
        *("notification.queued", "notification.queued", "booking.confirmed"),
        *("hold.confirmed", "hold.created"),
    ]

    page = auditor.get(AUDIT).content.decode()
    assert f"{booking.customer.name} (customer)" in page
    assert reverse("admin:bookings_booking_change", args=[booking.pk]) in page
    assert "Booking confirmed" in page


MANY = 300_000
ENTRIES = f"""
INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type, subject_id,
    from_state, to_state, reason, request_id)
SELECT CASE WHEN n %% 3 = 0 THEN 'staff' ELSE 'system' END, %s, 'booking.confirmed',
    'booking', (n / 5)::text, '', 'CONFIRMED', '', 'request-' || (n / 7)
FROM generate_series(1, {MANY}) n
"""


def reads_all(statement: str) -> bool:
    """Whether PostgreSQL reads the audit from one end to the other for this."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    # The first thousand of all, as they come, are soon there.
    is_cut = "Limit" in plan and "Filter:" not in plan
    return "Seq Scan on recovery_auditentry" in plan and not is_cut


@pytest.fixture
def busy() -> str:
    """Somebody who did a hundred thousand things, among many more that others did."""
    bob = make_staff()
    with connection.cursor() as cursor:
        cursor.execute(ENTRIES, [str(bob.pk)])
        cursor.execute("ANALYZE recovery_auditentry")
    return str(bob.pk)


def test_no_list_and_no_search_reads_all_of_a_great_history(
    auditor: Client, busy: str
) -> None:
    queries = (
        {},
        {"p": "20"},
        *({"q": busy}, {"q": "request-77"}, {"q": "42"}, {"q": "nothing-of-the-kind"}),
        *({"action": "booking.confirmed"}, {"action": "no.such"}),
        *({"actor_kind": "customer"}, {"subject_type": "booking"}),
    )
    for query in queries:
        began = monotonic()
        with CaptureQueriesContext(connection) as captured:
            answer = auditor.get(AUDIT, query)
        took = monotonic() - began

        assert answer.status_code == 200
        assert took < 2, query  # on a computer that does much else
        about = [each["sql"] for each in captured if "auditentry" in each["sql"]]
        assert about
        assert not [sql for sql in about if reads_all(sql)], query
    assert reads_all("SELECT * FROM recovery_auditentry WHERE reason = 'x'")


def test_filters_say_how_far_they_look(auditor: Client, booking: Booking) -> None:
    page = auditor.get(AUDIT, {"action": "booking.confirmed"})

    assert "the newest 100,000 entries" in page.content.decode()
    assert listed(auditor, action="booking.confirmed") == ["booking.confirmed"]
    assert "the newest 100,000 entries" not in auditor.get(AUDIT).content.decode()


def test_search_finds_by_subject_request_and_member_of_staff(
    auditor: Client, booking: Booking
) -> None:
    bob = make_staff()
    AuditEntry.objects.create(
        actor_kind="staff",
        actor_id=str(bob.pk),
        action="resource.changed",
        subject_type="resource",
        subject_id="7",
        request_id="request-1234",
    )

    assert listed(auditor, q=str(booking.pk)) == ["booking.confirmed"]
    assert listed(auditor, q="request-1234") == ["resource.changed"]
    assert listed(auditor, q=str(bob.pk)) == ["resource.changed"]
    assert listed(auditor, q="7") == ["resource.changed"]
    assert listed(auditor, q="nothing") == []


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ({"subject_type": "booking"}, ["booking.confirmed"]),
        ({"action": "hold.created"}, ["hold.created"]),
        ({"actor_kind": "system"}, ["notification.queued"] * 2),
        ({"actor_kind": "staff"}, []),
    ],
)
def test_filters(
    auditor: Client, booking: Booking, query: dict[str, str], actions: list[str]
) -> None:
    assert listed(auditor, **query) == actions


def test_more_entries_cost_no_more_queries(auditor: Client, booking: Booking) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            listed(auditor)
        return len(captured)

    few = queries()
    for _ in range(5):
        make_hold()

    assert queries() == few <= 12


def test_the_page_of_an_entry_has_the_whole_ids(
    auditor: Client, booking: Booking
) -> None:
    entry = AuditEntry.objects.get(action="booking.confirmed")

    page = auditor.get(reverse("admin:recovery_auditentry_change", args=[entry.pk]))

    assert str(booking.pk) in page.content.decode()
    assert str(booking.customer_id) in page.content.decode()


# --- The schedule -------------------------------------------------------------


@pytest.fixture
def task() -> Any:
    minutely = IntervalSchedule.objects.create(every=60, period="seconds")
    return PeriodicTask.objects.create(name="sweep", task="x.sweep", interval=minutely)


def page_of(task: Any) -> str:
    return reverse("admin:django_celery_beat_periodictask_change", args=[task.pk])


def test_operations_pauses_an_entry_and_changes_nothing_else(
    client: Client, task: Any
) -> None:
    olga = make_staff("operations")
    client.force_login(olga)

    answer = client.post(page_of(task), {"name": "mine", "task": "x.evil"})

    assert answer.status_code == 302
    task.refresh_from_db()
    assert (task.enabled, task.name, task.task) == (False, "sweep", "x.sweep")
    entry = AuditEntry.objects.get(subject_type="periodic_task")
    assert (entry.actor_id, entry.reason) == (str(olga.pk), "changed enabled")


def test_a_pause_keeps_what_beat_wrote_meanwhile(client: Client, task: Any) -> None:
    client.force_login(make_staff("operations"))
    client.get(page_of(task))
    PeriodicTask.objects.filter(pk=task.pk).update(total_run_count=41)

    client.post(page_of(task), {})

    task.refresh_from_db()
    assert (task.enabled, task.total_run_count) == (False, 41)


def test_auditors_look_and_others_do_not(client: Client, task: Any) -> None:
    client.force_login(make_staff("auditor"))
    assert client.get(SCHEDULE).status_code == 200
    assert client.post(page_of(task), {}).status_code == 403

    client.force_login(make_staff("front_desk"))
    assert client.get(SCHEDULE).status_code == 403
