"""How many tokens may be used in a day of UTC: one budget for all workers and venues.

They are taken before a call, as many as it may use at most, and corrected after it. So
a worker that dies in a call leaves too much taken, never too little (ADR 0044).
"""

from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection

from slotbase.lib.db import retry_on_conflict, transaction_required

# One statement: of several workers each sees what the others have taken.
_TAKE = """
INSERT INTO bookings_tokenbudget AS budget (day, taken)
SELECT (slotbase_now() AT TIME ZONE 'UTC')::date, %(tokens)s
WHERE %(tokens)s <= %(most)s
ON CONFLICT (day) DO UPDATE SET taken = budget.taken + %(tokens)s
WHERE budget.taken + %(tokens)s <= %(most)s
RETURNING day
"""
_CORRECT = """
UPDATE bookings_tokenbudget SET taken = greatest(taken + %(more)s, 0)
WHERE day = %(day)s
"""


@transaction_required
def take(tokens: int) -> date | None:
    """Take so many of today's tokens; returns the day, or None if too few are left."""
    rows = _run(_TAKE, tokens=tokens, most=settings.AI_DAILY_TOKENS)
    return rows[0][0] if rows else None


@retry_on_conflict
def correct(day: date, *, taken: int, used: int) -> None:
    """After a call that used more or fewer than were taken for it."""
    _run(_CORRECT, day=day, more=used - taken)


@transaction_required
def _run(statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
