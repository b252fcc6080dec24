"""PostgreSQL itself keeps the audit: entries are added and never touched again."""

import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from recovery import audit
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


def test_without_the_trigger_it_could_be_changed(entry: AuditEntry) -> None:
    execute("DROP TRIGGER recovery_auditentry_append_only ON recovery_auditentry")

    execute("UPDATE recovery_auditentry SET reason = 'another'")

    assert AuditEntry.objects.get(pk=entry.pk).reason == "another"
