"""What must always hold, as SQL that selects the rows that break it.

Apps register theirs when they start. `manage.py check_invariants` runs them, so do the
tests after every test that writes; beat checks what is new or open every five minutes,
and a due row has each rule checked over all rows once a night (`recovery.violations`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from recovery.states import (
    ALERT_MOVES,
    APPROVAL_MOVES,
    CASE_MOVES,
    DEAD_LETTER_MOVES,
    RUN_MOVES,
)
from slotbase.lib.db import sqlstate
from slotbase.lib.ids import oldest_id

SHOWN_ROWS = 20
NAMED_ROWS = 1000  # beyond that it is not this booking that is broken, but all of it
NEW = timedelta(days=2)
# For one statement. Again: over all rows, but beside all others, in one task.
RECENT_SECONDS, AGAIN_SECONDS, FULL_SECONDS = 2, 10, 60


@dataclass(frozen=True)
class Invariant:
    """A rule: `sql` selects the rows that break it, named by their first column.

    A safety rule may never be broken; a liveness rule heals within its time limit.
    Where it says `only`, the frequent check looks at what is new or open. If it
    `freezes`, each id in a row is of something that nobody changes until it is clear
    what happened.
    """

    id: str
    says: str
    sql: str
    is_safety: bool = True
    freezes: bool = False


@dataclass(frozen=True)
class Violation:
    """A rule that is broken, and the first rows that break it; or why nobody knows."""

    id: str
    says: str
    rows: list[str]
    frozen: list[str] = field(default_factory=list)
    not_checked: str = ""


_registry: list[Invariant] = []
_recent: dict[str, list[str]] = {}
_ONLY = re.compile(r"/\* only (\S+) of (\w+) \*/ true")


def register(*invariants: Invariant) -> None:
    """Add rules to what is checked."""
    _registry.extend(invariants)


def registered() -> list[Invariant]:
    """All rules, by id."""
    return sorted(_registry, key=lambda invariant: invariant.id)


def get(id: str) -> Invariant | None:  # noqa: A002 - of the rule
    """The rule with this id, if there still is one."""
    return next((each for each in _registry if each.id == id), None)


def recent(scope: str, *selects: str) -> None:
    """SQL of the ids that are new or open; upper floors may add theirs to a scope.

    `{since}` stands for an id: those that are not below it are new.
    """
    _recent.setdefault(scope, []).extend(selects)


def only(column: str, scope: str) -> str:
    """A condition: the frequent check looks at these ids alone, a full one at all."""
    return f"/* only {column} of {scope} */ true"


def find_violations(
    *, safety_only: bool = False, full: bool = False, in_full: Collection[str] = ()
) -> list[Violation]:
    """Run every rule and return those that are broken or could not be checked.

    Over all rows if `full`, or for the rules that are named in `in_full`.
    """
    rules = [each for each in registered() if each.is_safety or not safety_only]
    found = [
        check(rule, seconds=FULL_SECONDS if full else AGAIN_SECONDS)
        if full or rule.id in in_full
        else check(rule, full=False, seconds=RECENT_SECONDS)
        for rule in rules
    ]
    return [violation for violation in found if violation]


def check(
    invariant: Invariant, *, full: bool = True, seconds: int = FULL_SECONDS
) -> Violation | None:
    """Run one rule. One that is slow or broken says so and silences no other.

    Raises:
        DatabaseError: there is no database to ask.
    """
    try:
        rows = _select(sql_of(invariant, full=full), seconds)
    except DatabaseError as error:
        if not connection.is_usable():
            raise
        why = f"{type(error).__name__} ({sqlstate(error)})"
        return Violation(invariant.id, invariant.says, [], not_checked=why)
    if not rows:
        return None
    names = [str(row[0]) for row in rows[:SHOWN_ROWS]]
    ids = {str(value) for row in rows for value in row if isinstance(value, UUID)}
    frozen = sorted(ids) if invariant.freezes else []
    return Violation(invariant.id, invariant.says, names, frozen)


def sql_of(invariant: Invariant, *, full: bool) -> str:
    """The statement that checks a rule."""
    if full:
        return invariant.sql
    since = f"'{oldest_id(NEW)}'::uuid"

    def narrow(found: re.Match[str]) -> str:
        ids = " UNION ".join(_recent[found[2]]).format(since=since)
        return f"{found[1]} IN ({ids})"

    return _ONLY.sub(narrow, invariant.sql)


def _select(sql: str, seconds: int) -> list[tuple[object, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{seconds}s'")
        cursor.execute(f"{sql} LIMIT {NAMED_ROWS}")
        rows: list[tuple[object, ...]] = cursor.fetchall()
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")  # for who comes after
    return rows


def unbroken_history(
    table: str,
    subject: str,
    moves: dict[str, frozenset[str]],
    *,
    scope: str,
    columns: str = "id",
) -> str:
    """SQL of the rows whose audit is not a legal chain that ends in their state.

    `columns` are named in a violation; the last one is the id by which `scope` has it.
    """
    named = [f"o.{column}" for column in columns.split()]
    legal = ", ".join(
        f"('{start}', '{end}')"
        for start, ends in [("", [next(iter(moves))]), *moves.items()]
        for end in ends
    )
    # Only our own table and state names are put into the text.
    return f"""
        SELECT {", ".join(named)} FROM {table} o LEFT JOIN LATERAL (
            SELECT bool_and(e.from_state = coalesce(e.before, '')
                            AND (e.from_state, e.to_state) IN ({legal})) AS is_chain,
                (array_agg(e.to_state ORDER BY e.id DESC))[1] AS last_state
            FROM (SELECT id, from_state, to_state,
                         lag(to_state) OVER (ORDER BY id) AS before
                  FROM recovery_auditentry
                  WHERE subject_type = '{subject}' AND subject_id = o.id::text
                    AND to_state <> '') e
        ) history ON true
        WHERE {only(named[-1], scope)}
          AND (history.is_chain IS NOT TRUE OR history.last_state <> o.status)
    """


LATE = "(SELECT slotbase_now()) - interval '5 minutes'"


def overdue(*tables: str, more: str = "", waits_for: Collection[str] = ()) -> str:
    """SQL of the rows of due tables that should have been tried five minutes ago.

    `waits_for` are fingerprints of cases: while one is open, nothing is tried.
    """
    waits = f"AND NOT EXISTS ({_open_lately(waits_for)})" if waits_for else ""
    return " UNION ALL ".join(
        f"SELECT '{table} ' || id FROM {table} WHERE next_run_at < {LATE}"
        f" AND (lease_until IS NULL OR lease_until < {LATE}) {waits} {more}"
        for table in tables
    )


def _open_lately(fingerprints: Collection[str]) -> str:
    """SQL of cases that are open, or were: what waited for them has its time, too."""
    named = ", ".join(f"'{each}'" for each in fingerprints)
    return (
        f"SELECT FROM recovery_case WHERE fingerprint IN ({named})"
        f" AND (status IN ('OPEN', 'CLAIMED') OR closed_at > {LATE})"
    )


recent(
    "case",
    "SELECT id FROM recovery_case WHERE id >= {since}",
    "SELECT id FROM recovery_case WHERE status IN ('OPEN', 'CLAIMED')",
)
recent(
    "dead_letter",
    "SELECT id FROM recovery_deadletter WHERE id >= {since}",
    "SELECT id FROM recovery_deadletter WHERE status = 'OPEN'",
)
recent(
    "alert",
    "SELECT id FROM recovery_alert WHERE id >= {since}",
    "SELECT id FROM recovery_alert WHERE status <> 'RESOLVED'",
)
recent(
    "approval",
    "SELECT id FROM recovery_approval WHERE id >= {since}",
    "SELECT id FROM recovery_approval WHERE status = 'PROPOSED'",
)
recent(
    "workflow",
    "SELECT id FROM recovery_workflowrun WHERE id >= {since}",
    "SELECT id FROM recovery_workflowrun WHERE finished_at IS NULL",
)
recent(
    "webhook",
    "SELECT id FROM recovery_inboxevent WHERE next_run_at IS NOT NULL",
    "SELECT id FROM recovery_inboxevent WHERE status = 'DEAD'",
)
recent(
    "key",
    "SELECT id FROM recovery_idempotencyrecord"
    " WHERE created_at > (SELECT slotbase_now()) - interval '15 minutes'",
)
recent(
    "entry",
    "SELECT id FROM recovery_auditentry"
    " WHERE id > (SELECT max(id) - 5000 FROM recovery_auditentry)",
)

register(
    Invariant(
        id="I9",
        says="An Idempotency-Key has one answer.",
        sql="SELECT principal || ' ' || key FROM recovery_idempotencyrecord"
        f" WHERE {only('id', 'key')} GROUP BY principal, key HAVING count(*) > 1",
    ),
    Invariant(
        "I6.case",
        "The history of a case is an unbroken legal chain that ends in its state.",
        unbroken_history("recovery_case", "case", CASE_MOVES, scope="case"),
    ),
    Invariant(
        "I6.alert",
        "The history of an alert is an unbroken legal chain that ends in its state.",
        unbroken_history("recovery_alert", "alert", ALERT_MOVES, scope="alert"),
    ),
    Invariant(
        "I6.approval",
        "The history of a proposal is an unbroken legal chain that ends in its state.",
        unbroken_history(
            "recovery_approval", "approval", APPROVAL_MOVES, scope="approval"
        ),
    ),
    Invariant(
        "I11.alert",
        "A critical case that has been open for five minutes has an alert.",
        "SELECT c.id FROM recovery_case c WHERE c.severity = 'critical'"
        " AND c.status IN ('OPEN', 'CLAIMED')"
        # One that was opened again is seen at that time.
        " AND greatest(c.opened_at, c.last_seen_at)"
        " < slotbase_now() - interval '5 minutes'"
        " AND NOT EXISTS (SELECT FROM recovery_alert a"
        "  WHERE a.case_id = c.id AND a.status <> 'RESOLVED')",
        is_safety=False,
    ),
    Invariant(
        "I6.workflow",
        "The history of a workflow is an unbroken legal chain that ends in its state.",
        unbroken_history(
            "recovery_workflowrun", "workflowrun", RUN_MOVES, scope="workflow"
        ),
    ),
    Invariant(
        "I3",
        "A webhook older than an hour is processed, ignored, or in a case.",
        # One that is in time between two attempts, as after a replay, is fine.
        "SELECT e.id FROM recovery_inboxevent e"
        f" WHERE {only('e.id', 'webhook')} AND e.status NOT IN ('PROCESSED', 'IGNORED')"
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
        overdue("recovery_eventdelivery", more="AND subscriber <> 'analytics'")
        + " UNION ALL "
        + overdue("recovery_inboxevent", "recovery_workflowrun", "recovery_deadletter"),
        is_safety=False,
    ),
    Invariant(
        "I12",
        "Each entry of the history says who did it.",
        "SELECT id FROM recovery_auditentry"
        f" WHERE {only('id', 'entry')} AND (actor_kind = '' OR actor_id = '')",
    ),
    Invariant(
        "I12.guard",
        "PostgreSQL refuses to change history.",
        # Enabled, and for everybody: 'O' or 'A'.
        "SELECT name FROM (VALUES ('recovery_auditentry_append_only'),"
        " ('notifications_attempt_append_only')) AS guard (name)"
        " WHERE NOT EXISTS (SELECT FROM pg_trigger"
        "  WHERE tgname = name AND tgenabled IN ('O', 'A'))",
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
        # One that healed lately and fails again is due at once.
        " AND l.next_run_at < slotbase_now() - interval '5 minutes'"
        " AND NOT EXISTS (SELECT FROM recovery_case c"
        "  WHERE c.fingerprint = 'dead_letter:dead_letter:' || l.id)",
        is_safety=False,
    ),
    Invariant(
        "I6.dead_letter",
        "The history of a dead letter is an unbroken chain that ends in its state.",
        unbroken_history(
            "recovery_deadletter", "deadletter", DEAD_LETTER_MOVES, scope="dead_letter"
        ),
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
