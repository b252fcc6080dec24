"""Health: what is told to whom, and that nobody is asked for it."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from recovery import cases, dead_letters, health, heartbeats, vitals
from recovery.heartbeats import QUEUES
from recovery.models import (
    Case,
    DeadLetter,
    EventDelivery,
    Heartbeat,
    InboxEvent,
    WorkflowRun,
)
from recovery.provider_status import Tally, write
from recovery.vitals import Health, find_vitals
from recovery.work import work_of
from slotbase.lib.clock import Now
from slotbase.lib.look import ask
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.reports import CONFIGURED_BY, Report
from tests.adversity import Clock
from tests.conftest import Sandbox
from tests.recovery.trouble import fail_delivery, fail_webhook, open_case
from tests.silence import silent_server
from tests.workflow import Script, registered, start

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "a-token-of-the-operators-0123456789"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """This computer may be busy: a look that does not hang is waited for."""
    monkeypatch.setattr("slotbase.lib.look.WAIT_SECONDS", 20)
    settings.OPS_TOKEN = TOKEN


def get(path: str = "/health", token: str | None = None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return Client(SERVER_NAME="localhost").get(path, headers=headers)


def all_is_well() -> None:
    heartbeats.record_heartbeat("beat@host")
    for queue in QUEUES:
        heartbeats.record_heartbeat(f"worker@host {queue}")


def check(name: str) -> vitals.Check:
    return next(each for each in find_vitals(ask) if each.name == name)


def fail(provider: str, outcome: Outcome = Outcome.UNKNOWN, **more: Any) -> None:
    tally = Tally()
    error = ProviderError(outcome, provider=provider, code="no_answer")
    tally.add(Report(provider, error, **more))
    write({provider: tally})


# --- Who is told what ---------------------------------------------------------


def test_everybody_is_told_the_state_of_each_part_and_nothing_else(
    settings: Any,
) -> None:
    settings.OPENAI_API_KEY = ""
    all_is_well()

    body = get().json()

    assert set(body) == {"status", "checks", "timestamp"}
    assert body["status"] == "healthy"
    assert set(body["checks"]) == {"database", "redis", *CONFIGURED_BY, *vitals.NAMES}
    assert set(body["checks"].values()) <= {*Health}
    assert body["checks"]["openai"] == "not_configured"
    assert body["checks"]["stripe"] == "unknown"


def test_operators_are_told_what_was_measured() -> None:
    all_is_well()
    fail("stripe", open_seconds=15)

    body = get(token=TOKEN).json()

    assert body["checks"]["database"].keys() == {"status", "detail_code", "latency_ms"}
    stripe = body["checks"]["stripe"]
    assert (stripe["breaker"], stripe["detail_code"]) == ("open", "no_answer")
    assert stripe["last_success_at"] is None
    assert body["checks"]["worker"]["queues"].keys() == {*QUEUES}
    assert body["checks"]["cases"]["count"] == 0


@pytest.mark.parametrize(
    "given", ["", "x", TOKEN[:-1], TOKEN + "x", "Ünïcode", TOKEN.upper()]
)
def test_a_wrong_token_is_told_no_more_than_none(given: str) -> None:
    assert set(get(token=given).json()["checks"].values()) <= {*Health}


@pytest.mark.parametrize("given", ["", " ", "None"])
def test_without_a_token_of_ours_nobody_is_an_operator(
    settings: Any, given: str
) -> None:
    settings.OPS_TOKEN = ""

    assert set(get(token=given).json()["checks"].values()) <= {*Health}


def test_no_address_secret_or_text_of_an_error_is_told(settings: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2@broker.internal.example:1/0"
    fail("stripe")

    told = get(token=TOKEN).content.decode()

    database = connection.settings_dict
    for secret in ("hunter2", "internal", database["USER"], database["HOST"]):
        assert secret not in told
    assert "Error" not in told
    assert json.loads(told)["checks"]["redis"]["detail_code"] == "broker_away"


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live"])
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_other_methods_are_refused_as_by_the_api(path: str, method: str) -> None:
    client = Client(SERVER_NAME="localhost", enforce_csrf_checks=True)

    answer = getattr(client, method)(path)

    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/live"])
def test_head_is_answered_and_nothing_is_kept_by_caches(path: str) -> None:
    all_is_well()

    answer = Client(SERVER_NAME="localhost").head(path)

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


def test_no_provider_and_no_table_is_asked_by_a_request(
    sandbox: Sandbox, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        for _ in range(5):
            assert get(token=TOKEN).status_code == 200

    for provider in ("stripe", "resend", "clerk"):
        assert sandbox.get("/_sandbox/calls", provider=provider)["calls"] == []


# --- What makes which state ---------------------------------------------------


def test_a_provider_that_fails_degrades_and_never_makes_unready() -> None:
    all_is_well()
    for provider in ("stripe", "clerk", "resend"):
        fail(provider, open_seconds=15)

    answer = get()

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["resend"] == "degraded"
    assert get("/health/ready").status_code == 200


def test_a_redis_that_is_silent_degrades(settings: Any) -> None:
    all_is_well()
    with silent_server() as port:
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"

        answer = get()

        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["checks"]["redis"] == "degraded"
        assert get("/health/ready").json() == {"status": "ready"}


@pytest.fixture
def _silent_database() -> Any:
    """New connections of looks are taken and never answered."""
    connection.ensure_connection()
    there = connection.get_connection_params()
    with silent_server() as port, pytest.MonkeyPatch.context() as misled:
        wrong = {**there, "host": "127.0.0.1", "port": port}
        misled.setattr(
            "django.db.backends.postgresql.base.DatabaseWrapper.get_connection_params",
            lambda _: {**wrong},
        )
        yield


@pytest.mark.usefixtures("_silent_database")
def test_a_silent_database_makes_unhealthy_and_unready() -> None:
    answer = get()

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["checks"]["database"] == "unhealthy"
    assert answer.json()["checks"]["redis"] == "healthy"
    assert answer.json()["checks"]["cases"] == "unknown"
    ready = get("/health/ready")
    assert (ready.status_code, ready.json()["missing"]) == (503, "database")
    assert get("/health/live").status_code == 200


@pytest.mark.usefixtures("_silent_database")
def test_a_request_does_not_wait_for_a_silent_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slotbase.lib.look.WAIT_SECONDS", 0)

    askers: list[threading.Thread] = []
    monkeypatch.setattr(
        health, "answers", lambda _: askers.append(threading.current_thread())
    )
    answer = get()
    assert threading.current_thread() not in askers
    assert (answer.status_code, answer.json()["checks"]["redis"]) == (503, "unknown")
    assert get("/health/ready").status_code == 503


def test_missing_migrations_make_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_is_migrated", False)
    monkeypatch.setattr(health, "find_missing_migrations", lambda _: ["x.0001_y"])

    assert get("/health/ready").json() == {"status": "unready", "missing": "migrations"}
    assert get(token=TOKEN).json()["checks"]["database"]["detail_code"] == "migrations"
    assert get().status_code == 503


def test_a_migration_that_is_not_applied_is_found() -> None:
    assert health.find_missing_migrations(ask) == []
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations"
            " WHERE app = 'recovery' AND name = '0004_workflows' RETURNING applied"
        )
    try:
        assert health.find_missing_migrations(ask) == ["recovery.0004_workflows"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied)"
                " VALUES ('recovery', '0004_workflows', slotbase_now())"
            )


def test_a_table_that_cannot_be_read_degrades(monkeypatch: pytest.MonkeyPatch) -> None:
    all_is_well()
    monkeypatch.setattr(vitals, "_SILENT_FOR", "SELECT 1/0")

    body = get(token=TOKEN).json()

    assert body["status"] == "degraded"
    assert body["checks"]["beat"]["detail_code"] == "not_readable"
    assert body["checks"]["database"]["status"] == "healthy"


def test_silent_parts_are_named(clock: Clock) -> None:
    assert (check("beat").code, check("worker").code) == ("silent", "silent")
    all_is_well()
    assert check("beat").status is check("worker").status is Health.HEALTHY

    clock.move(seconds=91)
    heartbeats.record_heartbeat("beat@host")
    for queue in set(QUEUES) - {"money"}:
        heartbeats.record_heartbeat(f"worker@host {queue}")

    assert check("beat").status is Health.HEALTHY
    assert check("worker").status is Health.DEGRADED
    assert "No worker serves money:" in check("worker").says


def test_of_two_workers_the_one_that_lives_counts(clock: Clock) -> None:
    all_is_well()
    clock.move(minutes=10)
    heartbeats.record_heartbeat("beat@other")
    for queue in QUEUES:
        heartbeats.record_heartbeat(f"worker@other {queue}")

    assert check("worker").status is check("beat").status is Health.HEALTHY
    assert Heartbeat.objects.count() == 2 * (len(QUEUES) + 1)


def test_events_that_nobody_delivers_are_a_backlog(clock: Clock) -> None:
    fail_delivery()
    EventDelivery.objects.update(
        status="PENDING", next_run_at=Now(), subscriber="bookings.settling"
    )
    clock.move(minutes=4)
    assert check("outbox").status is Health.HEALTHY
    assert check("outbox").details["count"] == 1

    clock.move(minutes=2)
    assert check("outbox").code == "backlog"
    assert check("outbox").details["age_seconds"] >= 360


def test_analytics_may_lag(clock: Clock) -> None:
    fail_delivery()
    EventDelivery.objects.update(
        status="PENDING", next_run_at=Now(), subscriber="analytics"
    )
    clock.move(hours=10)

    assert check("outbox").status is Health.HEALTHY


def test_webhooks_that_nobody_processes_are_a_backlog(clock: Clock) -> None:
    fail_webhook()
    InboxEvent.objects.update(status="RETRY", next_run_at=Now())
    assert check("inbox").status is Health.HEALTHY

    clock.move(minutes=6)
    assert check("inbox").code == "backlog"


@pytest.mark.parametrize("is_late", [True, False])
def test_workflows_over_their_limit_are_counted(is_late: bool) -> None:
    with registered(Script()):
        start()
    assert check("workflows").status is Health.HEALTHY

    WorkflowRun.objects.update(limit_at=Now() - timedelta(hours=1), is_late=is_late)

    assert check("workflows").code == "late"
    assert check("workflows").details["count"] == 1


def test_dead_letters_and_other_cases_are_counted_apart() -> None:
    fail_webhook()
    fail_delivery()

    kinds = set(Case.objects.values_list("kind", flat=True))
    assert kinds == {"webhook_failure", "dead_letter"}
    assert check("dead_letters").details["count"] == 1
    assert check("cases").details["count"] == Case.objects.count() - 1


def test_a_task_that_fails_for_more_than_ten_minutes_degrades(clock: Clock) -> None:
    task = work_of("bookings.offer_free_slots")
    dead_letters.record_failure(task, ValueError())
    clock.move(minutes=9)
    dead_letters.record_failure(task, ValueError())
    assert check("dead_letters").status is Health.HEALTHY
    assert check("dead_letters").details["letters"] == 1

    clock.move(minutes=2)
    assert check("dead_letters").status is Health.HEALTHY
    dead_letters.record_failure(task, ValueError())
    assert check("dead_letters").status is Health.DEGRADED
    assert check("dead_letters").code == "failing"

    dead_letters.record_success(DeadLetter.objects.get().pk)
    assert check("dead_letters").status is Health.HEALTHY


def test_a_quarantined_task_degrades_at_once() -> None:
    task = work_of("bookings.offer_free_slots")
    for _ in range(2):
        dead_letters.record_death(task)
    assert check("dead_letters").status is Health.HEALTHY

    dead_letters.record_death(task)

    assert check("dead_letters").code == "quarantined"
    assert "they are not run at all" in check("dead_letters").says


def test_an_open_case_is_healthy_until_it_is_overdue(clock: Clock) -> None:
    fail_webhook()
    assert check("cases").status is Health.HEALTHY

    clock.move(hours=cases.DUE_WITHIN[cases.CaseSeverity.LOW].total_seconds() / 3600)
    assert check("cases").code == "overdue"


def test_a_critical_case_degrades_as_long_as_it_is_open() -> None:
    critical = open_case()
    fail_webhook()
    assert (check("cases").status, check("cases").code) == (Health.DEGRADED, "critical")
    assert check("cases").details["critical"] == 1
    assert "2 cases are open, 1 of them critical" in check("cases").says

    with transaction.atomic():
        cases.close_by_itself(critical.fingerprint, "It is over.")

    assert check("cases").status is Health.HEALTHY


def test_a_closed_case_does_not_count() -> None:
    fail_webhook()
    with transaction.atomic():
        cases.close_by_itself(Case.objects.get().fingerprint, "It is over.")

    assert check("cases").details["count"] == 0
