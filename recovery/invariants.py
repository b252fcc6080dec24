"""What must always hold, as SQL that selects the rows that break it.

Apps register theirs when they start. `manage.py check_invariants` runs them, so do the
tests after every test that writes, and beat every five minutes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from recovery.states import CASE_MOVES, DEAD_LETTER_MOVES, RUN_MOVES

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


def unbroken_history(table: str, subject: str, moves: dict[str, frozenset[str]]) -> str:
    """SQL of the rows whose audit is not a legal chain that ends in their state."""
    legal = ", ".join(
        f"('{start}', '{end}')"
        for start, ends in [("", [next(iter(moves))]), *moves.items()]
        for end in ends
    )
    # Only our own table and state names are put into the text.
    return f"""
        SELECT o.id FROM {table} o LEFT JOIN LATERAL (
            SELECT bool_and(e.from_state = coalesce(e.before, '')
                            AND (e.from_state, e.to_state) IN ({legal})) AS is_chain,
                (array_agg(e.to_state ORDER BY e.id DESC))[1] AS last_state
            FROM (SELECT id, from_state, to_state,
                         lag(to_state) OVER (ORDER BY id) AS before
                  FROM recovery_auditentry
                  WHERE subject_type = '{subject}' AND subject_id = o.id::text
                    AND to_state <> '') e
        ) history ON true
        WHERE history.is_chain IS NOT TRUE OR history.last_state <> o.status
    """  # noqa: S608


register(
    Invariant(
        id="I9",
        says="An Idempotency-Key has one answer.",
        sql="SELECT principal || ' ' || key FROM recovery_idempotencyrecord"
        " GROUP BY principal, key HAVING count(*) > 1",
    ),
    Invariant(
        "I6.case",
        "The history of a case is an unbroken legal chain that ends in its state.",
        unbroken_history("recovery_case", "case", CASE_MOVES),
    ),
    Invariant(
        "I6.workflow",
        "The history of a workflow is an unbroken legal chain that ends in its state.",
        unbroken_history("recovery_workflowrun", "workflowrun", RUN_MOVES),
    ),
    Invariant(
        "I3",
        "A webhook older than an hour is processed, ignored, or in a case.",
        # One that is in time between two attempts, as after a replay, is fine.
        "SELECT e.id FROM recovery_inboxevent e"
        " WHERE e.status NOT IN ('PROCESSED', 'IGNORED')"
        " AND e.received_at < slotbase_now() - interval '1 hour'"
        " AND (e.next_run_at IS NULL"
        "  OR e.next_run_at < slotbase_now() - interval '1 minute')"
        " AND NOT EXISTS (SELECT FROM recovery_case c"
        "  WHERE c.fingerprint = 'webhook_failure:' || e.id)",
        is_safety=False,
    ),
    Invariant(
        "I11",
        "What is due has been tried within five minutes.",
        # Analytics may be away for a day: nobody misses it.
        "SELECT 'recovery_eventdelivery ' || id FROM recovery_eventdelivery"
        " WHERE subscriber <> 'analytics' AND greatest(next_run_at, lease_until)"
        " < slotbase_now() - interval '5 minutes'"
        " UNION ALL SELECT 'recovery_inboxevent ' || id FROM recovery_inboxevent"
        " WHERE greatest(next_run_at, lease_until)"
        " < slotbase_now() - interval '5 minutes'"
        " UNION ALL SELECT 'recovery_workflowrun ' || id FROM recovery_workflowrun"
        " WHERE greatest(next_run_at, lease_until)"
        " < slotbase_now() - interval '5 minutes'"
        " UNION ALL SELECT 'recovery_deadletter ' || id FROM recovery_deadletter"
        " WHERE greatest(next_run_at, lease_until)"
        " < slotbase_now() - interval '5 minutes'",
        is_safety=False,
    ),
    Invariant(
        "I18",
        "What gave up has a case.",
        "SELECT fingerprint FROM ("
        " SELECT 'dead_letter:outbox:' || id AS fingerprint"
        " FROM recovery_eventdelivery WHERE status = 'DEAD'"
        " UNION ALL SELECT 'webhook_failure:' || id"
        " FROM recovery_inboxevent WHERE status = 'DEAD'"
        # Not finished and not due: it waits for a person.
        " UNION ALL SELECT 'workflow:' || id FROM recovery_workflowrun"
        " WHERE finished_at IS NULL AND next_run_at IS NULL"
        " UNION ALL SELECT 'dead_letter:dead_letter:' || id FROM recovery_deadletter"
        " WHERE status = 'OPEN' AND next_run_at IS NULL) dead"
        " WHERE NOT EXISTS (SELECT FROM recovery_case c"
        " WHERE c.fingerprint = dead.fingerprint)",
    ),
    Invariant(
        "I18.once",
        "A task with its arguments has one open dead letter.",
        "SELECT key FROM recovery_deadletter WHERE status = 'OPEN'"
        " GROUP BY key HAVING count(*) > 1",
    ),
    Invariant(
        "I18.age",
        "A dead letter that is open for a day has a case.",
        "SELECT l.id FROM recovery_deadletter l WHERE l.status = 'OPEN'"
        " AND l.first_failed_at < slotbase_now() - interval '24 hours 5 minutes'"
        # One that healed lately and fails again has its attempts, too.
        " AND l.next_run_at < slotbase_now() - interval '5 minutes'"
        " AND NOT EXISTS (SELECT FROM recovery_case c"
        "  WHERE c.fingerprint = 'dead_letter:dead_letter:' || l.id)",
        is_safety=False,
    ),
    Invariant(
        "I6.dead_letter",
        "The history of a dead letter is an unbroken chain that ends in its state.",
        unbroken_history("recovery_deadletter", "deadletter", DEAD_LETTER_MOVES),
    ),
    Invariant(
        "I18.workflow",
        "A workflow that is over its time limit has a case.",
        "SELECT r.id FROM recovery_workflowrun r WHERE r.finished_at IS NULL"
        " AND r.limit_at < slotbase_now() - interval '5 minutes'"
        " AND NOT EXISTS (SELECT FROM recovery_case c"
        "  WHERE c.fingerprint = 'workflow:' || r.id)",
        is_safety=False,
    ),
)
