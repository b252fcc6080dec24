"""What the role of the application may not do in PostgreSQL, whatever its code says.

An installation with two roles (slotbase/devstack/roles.sql) migrates as the owner and
runs as `slotbase_app`, which may add to history and never touch it. The triggers refuse
the same to everybody; but whoever owns a table can take its trigger away.
"""

from django.db import connection, models

from recovery.models import AuditEntry, Case, InboxEvent

APP_ROLE = "slotbase_app"

_kept: list[type[models.Model]] = [Case, InboxEvent]

# The functions that refuse are found by what they do, so no list can be forgotten.
_APPEND_ONLY = """
SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
WHERE NOT tgisinternal AND tgfoid::regproc::text LIKE '%refuse_change'
"""


def never_delete(*kept: type[models.Model]) -> None:
    """The application gets no right to delete rows of these, such as money."""
    _kept.extend(kept)


def write_privileges() -> None:
    """Take from the application what it must not do; again changes nothing.

    Runs as the owner after each migrate, so that a restored database has it, too.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regrole(%s) IS NULL", [APP_ROLE])
        if cursor.fetchone() == (True,):
            return  # one role for everything, as in development
        for table in _append_only_tables():
            cursor.execute(
                f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {APP_ROLE}"
            )
        for model in _kept:
            table = model._meta.db_table  # noqa: SLF001 - Django's public name
            cursor.execute(f"REVOKE DELETE, TRUNCATE ON {table} FROM {APP_ROLE}")
        # Nobody says when something happened but the one clock, nor in which order.
        cursor.execute(
            f"REVOKE INSERT ON recovery_auditentry FROM {APP_ROLE};"
            f"GRANT INSERT ({_told()}) ON recovery_auditentry TO {APP_ROLE}"
        )


def _append_only_tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_APPEND_ONLY)
        return [table for (table,) in cursor.fetchall()]


def _told() -> str:
    fields = AuditEntry._meta.concrete_fields  # noqa: SLF001 - Django's public name
    return ", ".join(str(f.column) for f in fields if f.name not in {"id", "at"})
