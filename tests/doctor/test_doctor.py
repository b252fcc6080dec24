"""The doctor: each thing that is broken is named, with what to do about it."""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask

from payments.models import Reconciliation
from payments.services import events
from recovery import (
    alerts,
    cases,
    dead_letters,
    health,
    heartbeats,
    notices,
    provider_status,
    senders,
)
from recovery.heartbeats import QUEUES
from recovery.work import work_of
from slotbase import schedule
from slotbase.accounts.models import SigningKeySet, Venue
from slotbase.celery import app
from slotbase.doctor import database, diagnosing, examining, installation, parts, work
from slotbase.doctor.examining import Diagnosis, Examination, Finding, Trouble, examine
from slotbase.lib.clock import Now
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.reports import Report
from tests.adversity import Clock
from tests.factories import make_resource, make_staff
from tests.recovery.alarm import sound
from tests.recovery.trouble import fail_webhook
from tests.silence import silent_server

pytestmark = pytest.mark.django_db(transaction=True)


def said(troubles: Iterable[Trouble]) -> str:
    """What is wrong, in one text; each trouble says what to do."""
    found = list(troubles)
    assert all(says.strip() and do.strip() for says, do in found)
    return "\n".join(says for says, _ in found)


# --- Each examination on its own ----------------------------------------------


def boom() -> Iterable[Trouble]:
    raise ValueError("the password is hunter2")


def test_an_examination_that_fails_is_a_finding_without_its_words() -> None:
    found = examine([Examination("a", boom), Examination("b", list)], set())

    [finding] = found.findings
    assert finding.name == "a"
    assert "ValueError" in finding.says
    assert "hunter2" not in str(found)
    assert found.well == ["b"]


def test_an_examination_that_hangs_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_go_on = threading.Event()
    monkeypatch.setattr(examining, "LIMIT_SECONDS", 0.2)

    def hang() -> Iterable[Trouble]:
        may_go_on.wait(30)
        return []

    found = examine([Examination("a", hang), Examination("b", list)], set())
    may_go_on.set()

    assert [(each.name, "hangs" in each.says) for each in found.findings] == [
        ("a", True)
    ]
    assert found.well == ["b"]


def test_what_needs_the_database_is_not_looked_at_without_it() -> None:
    found = examine(
        [Examination("a", boom, "tables"), Examination("b", boom, "database")],
        {"tables", "database"},
    )

    assert found == Diagnosis(skipped=["a", "b"])


# --- The parts of /health -----------------------------------------------------


def test_a_silent_beat_and_queues_without_a_worker_are_named() -> None:
    text = said(parts.troubles_of(health.look_now()))

    assert "Beat: Beat has never given a sign of life" in text
    assert "Worker: No worker serves money, inbox," in text


def test_a_well_product_has_no_troubled_part() -> None:
    heartbeats.record_heartbeat("beat@host")
    for queue in QUEUES:
        heartbeats.record_heartbeat(f"w@host {queue}")

    assert said(parts.troubles_of(health.look_now())) == ""


def test_a_provider_in_trouble_is_named_and_refused_credentials_say_what_to_do() -> (
    None
):
    tally = provider_status.Tally()
    refusal = ProviderError(Outcome.CONFIGURATION, provider="resend", code="http_401")
    tally.add(Report("resend", refusal))
    provider_status.write({"resend": tally})

    troubles = dict(parts.troubles_of(health.look_now()))

    assert troubles["Resend: The last call failed."] == parts.OF_CREDENTIALS


def test_a_silent_redis_is_named(settings: Any) -> None:
    with silent_server() as port:
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        text = said(parts.troubles_of(health.look_now()))

    assert "Redis: No answer of the broker." in text


def test_every_part_says_what_to_do() -> None:
    seen = health.look_now()

    of_ours = {check.name for check in seen.checks} - {*parts.DO}
    assert of_ours == set(provider_status.CONFIGURED_BY)


# --- PostgreSQL ---------------------------------------------------------------


def test_an_old_postgresql_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(database._version()) == ""
    monkeypatch.setattr(database, "OLDEST", 990_000)

    assert "is too old" in said(database._version())


def test_missing_migrations_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(database._migrations()) == ""
    monkeypatch.setattr(
        health, "find_missing_migrations", lambda _: ["payments.0009_x"]
    )

    assert "payments.0009_x" in said(database._migrations())


def test_a_role_without_limits_is_named() -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SET {name} = '5s'")
        assert said(database._limits()) == ""
        for name in names:
            cursor.execute(f"SET {name} = 0")
            assert f"This role has no {name}:" in said(database._limits())


def test_a_role_that_owns_the_tables_is_named() -> None:
    # As whom the tests run; the product does not, as another test shows.
    assert "the owner of the tables" in said(database._role())


def test_a_guard_of_the_audit_that_is_off_is_named() -> None:
    guard = "recovery_auditentry DISABLE TRIGGER recovery_auditentry_append_only"
    with connection.cursor() as cursor:
        assert "guard of the audit is off" not in said(database._history())
        cursor.execute(f"ALTER TABLE {guard}")
        try:
            assert "guard of the audit is off" in said(database._history())
        finally:
            cursor.execute(f"ALTER TABLE {guard.replace('DISABLE', 'ENABLE')}")


def test_a_role_that_may_switch_the_guard_off_is_named() -> None:
    # The tests' role may, to empty the table after each of them.
    assert "may switch the guard of the audit off" in said(database._history())


def test_a_moved_clock_is_named(clock: Clock) -> None:
    clock.reset()
    assert said(database._clock()) == ""

    clock.move(days=1)

    assert "The clock has been moved, by 864" in said(database._clock())


def test_clocks_that_are_apart_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.time, "time", lambda: 1_000_000_000.0)

    assert "s apart." in said(database._clock())


def test_a_crowded_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(database._crowd()) == ""
    monkeypatch.setattr(database, "CROWDED", 0)

    assert "connections are in use" in said(database._crowd())


def test_the_crowd_is_that_of_every_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CROWDED", 0)
    before = int(said(database._crowd()).split()[0])

    with ExitStack() as open_sessions:
        for _ in range(9):
            another = psycopg.connect(os.environ["APP_DATABASE_URL"])
            open_sessions.enter_context(another)
        # Some of those before may have ended meanwhile.
        assert int(said(database._crowd()).split()[0]) > before + 4


def test_time_zones_that_only_one_of_both_knows_are_named() -> None:
    make_resource()
    assert said(database._time_zones()) == ""

    Venue.objects.update(time_zone="Mars/Olympus_Mons")

    assert "does not know the time zone Mars/Olympus_Mons" in said(
        database._time_zones()
    )


def test_rules_of_time_zones_that_differ_are_seen() -> None:
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert not database._differs("Europe/Berlin", summer, 7200)
    assert database._differs("Europe/Berlin", summer, 3600)
    assert database._differs("Mars/Olympus_Mons", summer, 3600)


# --- What whoever installs it sees to -----------------------------------------


def test_debug_is_named(settings: Any) -> None:
    settings.DEBUG = True

    assert "DEBUG is on" in said(installation._settings())


def test_outside_of_a_demonstration_django_s_checks_for_deployment_are_made(
    settings: Any,
) -> None:
    assert said(installation._settings()) == ""

    settings.DEMO, settings.SESSION_COOKIE_SECURE = False, False

    assert "secure-only session cookie" in said(installation._settings())


def test_mails_without_a_link_to_unsubscribe_are_named(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    assert "PUBLIC_URL" not in said(installation._settings())

    settings.DEMO = False

    assert "PUBLIC_URL is not set" in said(installation._settings())
    settings.PUBLIC_URL = "https://booking.example.com"
    assert "PUBLIC_URL" not in said(installation._settings())


@pytest.mark.parametrize(
    "name",
    [
        *("STRIPE_WEBHOOK_SECRETS", "RESEND_WEBHOOK_SECRETS", "CLERK_WEBHOOK_SECRETS"),
        *("RESEND_API_KEY", "EMAIL_FROM", "CLERK_SECRET_KEY"),
    ],
)
def test_a_secret_that_is_missing_is_named(settings: Any, name: str) -> None:
    assert said(installation._secrets()) == ""
    setattr(settings, name, "")

    assert f"{name} is not set" in said(installation._secrets())


def test_who_takes_no_cards_needs_no_secret_of_stripe(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRETS = "", []

    assert said(installation._secrets()) == ""


def test_nobody_who_watches_is_named(settings: Any) -> None:
    settings.OPS_TOKEN = ""
    assert "OPS_TOKEN is not set" in said(installation._operators())

    settings.OPS_TOKEN, settings.DEMO = "x" * 24, False
    settings.ALERT_WEBHOOK_URL, settings.ALERT_EMAIL_TO = "", []
    assert "No channel for alerts" in said(installation._operators())

    settings.ALERT_WEBHOOK_URL = "https://alerts.example/"
    assert said(installation._operators()) == ""


def test_keys_that_are_old_or_never_came_are_named() -> None:
    assert said(installation._keys()) == ""  # nobody has asked for any yet

    now = datetime.now(UTC)
    row = SigningKeySet.objects.create(pk=1, jwks={"keys": []}, failed_at=now)
    assert said(installation._keys()) == ""  # the part "sign in" tells

    row.fetched_at = now
    row.save()
    assert said(installation._keys()) == ""

    row.fetched_at = now - timedelta(hours=2)
    row.save()
    assert "keys of Clerk are 120 min old" in said(installation._keys())

    row.fetched_at = now - timedelta(hours=25)
    row.save()
    assert said(installation._keys()) == ""


def test_rights_that_are_not_those_of_the_code_are_named() -> None:
    make_staff()
    assert said(installation._people()) == ""

    support = Group.objects.get(name="support")
    support.permissions.add(Permission.objects.get(codename="delete_booking"))
    Group.objects.get(name="auditor").delete()

    assert "The rights of support, auditor are not" in said(installation._people())


def test_a_back_office_without_people_is_named() -> None:
    assert "Nobody can sign in" in said(installation._people())


@pytest.fixture
def broker(settings: Any) -> Iterator[redis.Redis]:
    with redis.from_url(settings.REDIS_URL) as broker:
        was = broker.config_get("maxmemory*")
        yield broker
        for name in ("maxmemory-policy", "maxmemory"):
            broker.config_set(name, was[name])


def test_a_broker_that_may_forget_is_named(broker: redis.Redis) -> None:
    broker.config_set("maxmemory-policy", "noeviction")
    assert said(installation._broker()) == ""

    broker.config_set("maxmemory-policy", "allkeys-lru")

    assert "its policy is allkeys-lru" in said(installation._broker())


def test_a_broker_that_is_nearly_full_is_named(broker: redis.Redis) -> None:
    used = broker.info("memory")["used_memory"]
    broker.config_set("maxmemory-policy", "noeviction")
    broker.config_set("maxmemory", used)

    assert "memory is nearly full" in said(installation._broker())


def test_a_cache_that_is_the_broker_is_named(settings: Any) -> None:
    settings.REDIS_URL = settings.CACHES["default"]["LOCATION"]

    assert "Queues and cache are one" in said(installation._broker())


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "LEAST_FREE_BYTES", 2**70)

    assert "are free on this disk" in said(installation._disk())


def test_missing_style_sheets_are_named(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path)
    assert "no style sheets" in said(installation._style_sheets())

    (tmp_path / "slotbase").mkdir()
    assert said(installation._style_sheets()) == ""


# --- What runs by itself, and what waits --------------------------------------


@pytest.fixture
def _schedule_is_written() -> None:
    schedule.Scheduler(app=app, lazy=True).setup_schedule()


@pytest.mark.usefixtures("_schedule_is_written")
def test_a_schedule_that_is_that_of_the_code_is_well() -> None:
    assert said(work._schedule()) == ""


@pytest.mark.usefixtures("_schedule_is_written")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"enabled": False}, "Somebody paused: send mails."),
        ({"queue": "money"}, "differently than the code says: send mails."),
        ({"kwargs": '{"id": "1"}'}, "differently than the code says: send mails."),
        ({"task": "x.y"}, "differently than the code says: send mails."),
        ({"name": "sent mails"}, "what is not of this version: sent mails."),
        ({"name": "sent mails"}, "Beat does not know: send mails."),
    ],
)
def test_an_entry_that_is_not_that_of_the_code_is_named(
    change: dict[str, Any], words: str
) -> None:
    PeriodicTask.objects.filter(name="send mails").update(**change)

    assert words in said(work._schedule())


def test_senders_that_are_stopped_are_named_with_what_to_do() -> None:
    assert said(work._senders()) == ""
    with transaction.atomic():
        senders.stop(cause="A backup was put back.")

    [(says, do)] = work._senders()

    assert says.startswith("Senders are stopped since 20")
    assert says.endswith(" UTC: nothing is sent, nobody can pay.")
    assert "restore-detected.md" in do


def test_a_list_of_events_that_was_not_read_is_named() -> None:
    Reconciliation.objects.create(name=events.NAME, read_at=Now())
    assert said(work._senders()) == ""

    events.read_first()

    assert "wait until Stripe's list of events is read" in said(work._senders())


def test_severe_alerts_that_nobody_has_acknowledged_are_named() -> None:
    sound(severity="medium")
    assert said(work._alerts()) == ""
    seen = sound(severity="critical")
    sound(severity="high")

    first, second = said(work._alerts()).splitlines()
    assert first == "Nobody has acknowledged: 1 critical alerts payment_mismatch."
    assert second == "Nobody has acknowledged: 1 high alerts provider_down."

    alerts.acknowledge(alert_id=seen.pk, staff_id=make_staff().pk)
    assert said(work._alerts()) == second


def test_notices_that_do_not_go_out_are_named(clock: Clock, settings: Any) -> None:
    settings.ALERT_WEBHOOK_URL = "https://alerts.example/"
    sound(severity="medium")
    clock.move(minutes=15)
    assert notices.write_notices() == 1
    clock.move(minutes=4)
    assert said(work._alerts()) == ""

    clock.move(minutes=2)

    assert said(work._alerts()) == (
        "Notices by webhook have been due for over 5 min: 1."
    )


def test_tasks_that_fail_are_named_and_those_that_are_not_run_at_all() -> None:
    dead_letters.record_failure(work_of("bookings.expire_holds"), ValueError())
    task = work_of("bookings.offer_free_slots")
    for _ in range(2):
        dead_letters.record_death(task)
    text = said(work._dead_letters())
    assert "bookings.expire_holds has failed since 20" in text
    assert "quarantined" not in text

    dead_letters.record_death(task)

    _, second = said(work._dead_letters()).splitlines()
    assert second.startswith("bookings.offer_free_slots has failed since 20")
    assert second.endswith(" UTC; quarantined: it is not run at all.")


def test_open_critical_cases_are_named() -> None:
    fail_webhook()
    assert said(work._critical_cases()) == ""

    with transaction.atomic():
        cases.open_case(
            cases.Opening("provider_configuration", "x", "x", "provider", "stripe")
        )

    assert "1 of kind provider_configuration" in said(work._critical_cases())


@pytest.mark.breaks_invariants
def test_broken_invariants_are_named() -> None:
    assert said(work._invariants()) == ""
    fail_webhook()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE recovery_case SET version = 7, status = 'RESOLVED',"
            " closed_at = slotbase_now(), close_reason = 'x'"
        )

    assert "I6.case is broken:" in said(work._invariants())


# --- The command --------------------------------------------------------------


def run(*options: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("doctor", *options, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_command_tells_machines_what_is_wrong() -> None:
    code, text = run("--json")

    found = json.loads(text)
    assert (code, found["is_well"]) == (1, False)
    names = {finding["name"] for finding in found["findings"]}
    assert {"parts", "rights of the database role", "schedule"} <= names
    assert found["skipped"] == []
    assert "clock" in found["well"]


def test_the_command_tells_people_what_to_do() -> None:
    code, text = run()

    assert code == 1
    assert "parts: Worker: No worker serves money" in text
    assert parts.START["worker"] in text


def test_the_command_is_well_if_nothing_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "slotbase.doctor.management.commands.doctor.diagnose",
        lambda: Diagnosis(well=["a", "b"]),
    )

    assert run() == (0, "All is well: a, b.\n")
    assert run("--json")[0] == 0


def test_with_a_silent_database_the_command_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = connection.get_connection_params()
    connection.ensure_connection()
    with silent_server() as port, monkeypatch.context() as misled:
        misled.setattr(
            "django.db.backends.postgresql.base.DatabaseWrapper.get_connection_params",
            lambda _: {**there, "host": "127.0.0.1", "port": port},
        )
        code, text = run()

    assert code == 1
    assert "parts: Database: It does not answer." in text
    assert "Not looked at, since the database is away: database version" in text


def test_no_secret_is_told(settings: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2@broker.internal.example:1/0"

    told = run()[1] + run("--json")[1]

    assert "No answer of the broker" in told
    for secret in ("hunter2", "internal.example", settings.SECRET_KEY):
        assert secret not in told


def test_as_the_product_s_own_role_nothing_is_wrong_with_it() -> None:
    """The tests are the owner of their database; the product is not."""
    address = os.environ["APP_DATABASE_URL"]
    there = psycopg.conninfo.conninfo_to_dict(address)
    name = connection.settings_dict["NAME"]
    with psycopg.connect(**{**there, "dbname": name}, autocommit=True) as ours:

        def ask(sql: str, *values: Any) -> list[tuple[Any, ...]]:
            return ours.execute(sql, values or None).fetchall()

        with pytest.MonkeyPatch.context() as as_app:
            as_app.setattr(database, "ask", ask)
            found = [*database._role(), *database._limits(), *database._history()]

    assert found == []


def test_every_examination_has_a_name_of_its_own() -> None:
    names = [each.name for each in diagnosing.EXAMINATIONS]

    assert len(set(names)) == len(names)
    assert Finding("a", "b", "c") == Finding("a", "b", "c")
