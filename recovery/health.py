"""Whether this process can serve: the database answers and its schema is the code's."""

from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

_is_migrated = False


def find_unready_part() -> str | None:
    """The part that keeps this process from serving, None if it can."""
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '1s'")
            cursor.execute("SELECT 1")
        return None if _has_schema() else "migrations"
    except DatabaseError:
        return "database"


def _has_schema() -> bool:
    """Whether all migrations are applied; once they are, they stay applied."""
    global _is_migrated  # noqa: PLW0603 - remembered per process, by intent
    if not _is_migrated:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        _is_migrated = not plan
    return _is_migrated
