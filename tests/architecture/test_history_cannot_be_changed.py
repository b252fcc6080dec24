"""PostgreSQL itself keeps the audit: entries are added and never touched again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from recovery import audit, privileges
from recovery.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry() -> AuditEntry:
    with transaction.atomic():
        audit.record(
            actor=audit.Actor.system("test"), action="a.b", subject="a", ids=[1]
        )
    return AuditEntry.objects.get(action="a.b")


def execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recovery_auditentry SET reason = 'another'",
        "DELETE FROM recovery_auditentry",
        "TRUNCATE recovery_auditentry",
    ],
)
def test_not_even_the_owner_of_the_table_changes_it(
    entry: AuditEntry, statement: str
) -> None:
    with pytest.raises(ProgrammingError, match="append-only"):
        execute(statement)

    assert AuditEntry.objects.get(pk=entry.pk).reason == ""


@pytest.mark.breaks_invariants
def test_without_the_trigger_it_could_be_changed(entry: AuditEntry) -> None:
    execute("DROP TRIGGER recovery_auditentry_append_only ON recovery_auditentry")

    execute("UPDATE recovery_auditentry SET reason = 'another'")

    assert AuditEntry.objects.get(pk=entry.pk).reason == "another"


# --- As the application -------------------------------------------------------

APPEND_ONLY = ("recovery_auditentry", "notifications_notificationattempt")
FOR_EVER = (
    *("payments_payable", "payments_payableline", "payments_cardpayment"),
    *("payments_offlinepayment", "payments_refund", "payments_dispute"),
    *("payments_receiptcounter", "bookings_booking", "notifications_notification"),
    *("recovery_case", "recovery_inboxevent"),
)
ENTRY = (
    "INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type,"
    " subject_id, from_state, to_state, reason, request_id {more})"
    " VALUES ('system', 'app', 'a.b', 'a', '1', '', '', '', '' {values})"
)


@contextmanager
def application() -> Iterator[psycopg.Connection]:
    """What web, worker and beat are to PostgreSQL; leaves nothing behind."""
    name = connection.settings_dict["NAME"]
    address = urlsplit(os.environ["APP_DATABASE_URL"])._replace(path=f"/{name}")
    with psycopg.connect(address.geturl()) as app:
        yield app
        app.rollback()


def refusal(statement: str) -> str:
    """Why the application may not do this; empty if it may."""
    with application() as app:
        try:
            app.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            return str(error.diag.message_primary)
        return ""


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_the_application_has_no_right_to_change_history(
    table: str, statement: str
) -> None:
    assert refusal(statement.format(table)) == f"permission denied for table {table}"


@pytest.mark.parametrize("table", FOR_EVER)
def test_the_application_has_no_right_to_delete_what_is_kept(table: str) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        assert "permission denied" in refusal(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE recovery_auditentry DISABLE TRIGGER ALL",
        "DROP TRIGGER recovery_auditentry_append_only ON recovery_auditentry",
        "SET session_replication_role = replica",
        "GRANT ALL ON recovery_auditentry TO slotbase_app",
        (
            "CREATE OR REPLACE FUNCTION recovery_refuse_change() RETURNS trigger"
            " LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        ),
        (
            "CREATE OR REPLACE FUNCTION slotbase_now() RETURNS timestamptz"
            " LANGUAGE sql AS 'SELECT timestamptz ''2000-01-01'''"
        ),
        "ALTER TABLE recovery_auditentry ALTER at SET DEFAULT '2000-01-01'",
        "SET ROLE slotbase_owner",
        "CREATE TABLE more (id int)",
    ],
)
def test_the_application_cannot_take_the_guard_away(statement: str) -> None:
    # A GRANT of rights that one does not have is a warning and gives none.
    is_grant = statement.startswith("GRANT")
    if is_grant:
        with application() as app:
            app.execute(statement)
            app.commit()
        statement = "UPDATE recovery_auditentry SET id = id"
    assert refusal(statement)


def test_the_application_says_what_happened_and_neither_when_nor_in_which_order() -> (
    None
):
    assert refusal(ENTRY.format(more="", values="")) == ""

    for column, value in (("at", "'2000-01-01'"), ("id", "1")):
        forged = ENTRY.format(more=f", {column}", values=f", {value}")
        assert "permission denied" in refusal(forged)


def test_the_application_changes_other_rows() -> None:
    """The control: it is the tables, not the role, that are closed."""
    for statement in (
        "UPDATE bookings_booking SET version = version",
        "UPDATE payments_payable SET version = version",
        "UPDATE recovery_case SET version = version",
        "DELETE FROM recovery_heartbeat",
    ):
        assert refusal(statement) == ""


@pytest.mark.django_db(transaction=True)
def test_rights_that_came_back_are_taken_again_by_the_next_migrate() -> None:
    """As after a restore, which gives each new table its usual rights."""
    try:
        execute("GRANT ALL ON recovery_auditentry, payments_refund TO slotbase_app")
        # Only the trigger is left.
        with transaction.atomic():
            audit.record(
                actor=audit.Actor.system("x"), action="a.b", subject="a", ids=[1]
            )
        change = "UPDATE recovery_auditentry SET reason = ''"
        assert "append-only" in refusal(change)
        assert refusal("DELETE FROM payments_refund") == ""
    finally:
        privileges.write_privileges()

    assert "permission denied" in refusal(change)
    assert "permission denied" in refusal("DELETE FROM payments_refund")


def test_every_table_that_refuses_changes_is_closed_to_the_application() -> None:
    assert {*privileges._append_only_tables()} == {*APPEND_ONLY}
