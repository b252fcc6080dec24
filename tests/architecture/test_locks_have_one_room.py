"""Row locks are taken in `locks.py` alone: there stands the one lock order."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import Source, breaches, planted

ROOMS = ("/locks.py", "slotbase/lib/db.py")
LOCKS_IN_SQL = re.compile(
    r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b|\bFOR\s+(KEY\s+)?SHARE\b"
    r"|\bLOCK\s+TABLE\b|\bpg_(try_)?advisory",
    re.IGNORECASE,
)


def locks_elsewhere(source: Source) -> Iterator[str]:
    if source.path.endswith(ROOMS):
        return
    for node in source.nodes(ast.Attribute):
        if node.attr == "select_for_update":
            yield source.at(node, "select_for_update")
    for node, text in source.strings():
        if found := LOCKS_IN_SQL.search(text):
            yield source.at(node, found.group())


def locks_without_a_transaction(source: Source) -> Iterator[str]:
    """Functions of a locks room that do not insist on a transaction."""
    if not source.path.endswith("/locks.py"):
        return
    for function in source.nodes(ast.FunctionDef):
        names = {ast.unparse(each) for each in function.decorator_list}
        if _locks_or_writes(function) and "transaction_required" not in names:
            yield source.at(function, function.name)


def _locks_or_writes(function: ast.FunctionDef) -> bool:
    body = ast.unparse(function)
    has_lock = "select_for_update" in body or LOCKS_IN_SQL.search(body)
    return bool(has_lock) or "_INSERT_" in body


def test_rows_are_locked_in_locks_alone() -> None:
    assert breaches(locks_elsewhere) == []


def test_a_lock_in_another_room_would_be_seen() -> None:
    for fault in (
        "Booking.objects.select_for_update().get()",
        'cursor.execute("SELECT 1 FROM x FOR UPDATE")',
        'cursor.execute(f"SELECT 1 FROM {x} FOR NO KEY\\n UPDATE SKIP LOCKED")',
        'cursor.execute("SELECT pg_advisory_xact_lock(1)")',
    ):
        assert [*locks_elsewhere(planted(fault))], fault


def test_every_lock_insists_on_a_transaction() -> None:
    assert breaches(locks_without_a_transaction) == []


def test_a_lock_without_a_transaction_would_be_seen() -> None:
    fault = "def lock_hold():\n    BookingHold.objects.select_for_update()\n"

    found = [*locks_without_a_transaction(planted(fault, "bookings/locks.py"))]

    assert found == ["bookings/locks.py:1: lock_hold"]
