"""The one clock: the SQL function `slotbase_now()`, the same for every process.

Expiries, leases and due times are decided by it alone, read after the lock is held.
Tests and drills replace the function with an offset version and so move all processes
at once (ADR 0005).
"""

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Func


class Now(Func):
    """`slotbase_now()` in an ORM expression, evaluated once per statement.

    Written as a sub-select so that PostgreSQL sees one value instead of a volatile
    function and may serve a comparison with an index.
    """

    template = "(SELECT slotbase_now())"
    output_field = DateTimeField()

    def __init__(self) -> None:
        super().__init__()


class DatabaseNow(Func):
    """`slotbase_now()` as a column default (a default may not hold a sub-select)."""

    function = "slotbase_now"
    output_field = DateTimeField()

    def __init__(self) -> None:
        super().__init__()


def read_clock() -> datetime:
    """The time in UTC, asked of the database at this moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT slotbase_now()")
        row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None, "a SELECT without FROM always has a row"  # noqa: S101
    now: datetime = row[0]
    return now
