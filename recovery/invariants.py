"""What must always hold, as SQL that selects the rows that break it.

Apps register theirs when they start. `manage.py check_invariants` runs them, so do the
tests after every test that writes, and beat every five minutes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from django.db import connection

log = structlog.get_logger(__name__)

SHOWN_ROWS = 20


@dataclass(frozen=True)
class Invariant:
    """A rule: `sql` selects one text column, naming each row that breaks it.

    A safety rule may never be broken; a liveness rule heals within its time limit.
    """

    id: str
    says: str
    sql: str
    is_safety: bool = True


@dataclass(frozen=True)
class Violation:
    """A rule that is broken, and the first rows that break it."""

    id: str
    says: str
    rows: list[str]


_registry: list[Invariant] = []


def register(*invariants: Invariant) -> None:
    """Add rules to what is checked."""
    _registry.extend(invariants)


def registered() -> list[Invariant]:
    """All rules, by id."""
    return sorted(_registry, key=lambda invariant: invariant.id)


def find_violations(*, safety_only: bool = False) -> list[Violation]:
    """Run every rule and return the broken ones."""
    return [
        violation
        for invariant in registered()
        if invariant.is_safety or not safety_only
        for violation in _check(invariant)
    ]


def _check(invariant: Invariant) -> Iterable[Violation]:
    with connection.cursor() as cursor:
        cursor.execute(f"{invariant.sql} LIMIT {SHOWN_ROWS}")
        rows = [str(row[0]) for row in cursor.fetchall()]
    if rows:
        yield Violation(invariant.id, invariant.says, rows)


def report_violations() -> None:
    """Log each broken rule as an error."""
    for violation in find_violations():
        log.error("invariant_violated", id=violation.id, rows=violation.rows)


register(
    Invariant(
        id="I9",
        says="An Idempotency-Key has one answer.",
        sql="SELECT principal || ' ' || key FROM recovery_idempotencyrecord"
        " GROUP BY principal, key HAVING count(*) > 1",
    )
)
