"""Claims are made by one statement of `bookings/locks.py` (ADR 0004).

Django's own INSERT would deadlock with its rivals instead of losing to one of them.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import PACKAGES, Source, breaches, planted

ROOM = "bookings/locks.py"
MAKERS = {
    *("create", "bulk_create", "get_or_create", "update_or_create"),
    *("update", "bulk_update", "save", "acreate"),
}
WRITES_IN_SQL = re.compile(r"(INSERT INTO|UPDATE)\s+bookings_slotclaim", re.IGNORECASE)
# Fills a database of its own, before anybody else is there.
FILLS = "bench/__main__.py"


def other_ways_in(source: Source) -> Iterator[str]:
    if source.path in {ROOM, FILLS} or source.is_migration:
        return
    for node in source.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        if _makes_claims(ast.unparse(node.func)):
            yield source.at(node, ast.unparse(node.func))
    for node, text in source.strings():
        if WRITES_IN_SQL.search(text):
            yield source.at(node, "SQL that writes claims")


def _makes_claims(called: str) -> bool:
    makes = called.rsplit(".", 1)[-1] in MAKERS
    through_table = re.search(r"\bSlotClaim\b|\bclaims\b", called)
    return called.endswith("SlotClaim") or bool(makes and through_table)


def test_claims_are_made_in_locks_alone() -> None:
    assert breaches(other_ways_in, *PACKAGES, "bench") == []


@pytest.mark.parametrize(
    "fault",
    [
        "SlotClaim(unit=unit).save()",
        "models.SlotClaim(unit=unit)",
        "SlotClaim.objects.create(unit=unit)",
        "SlotClaim.objects.filter(hold=hold).update(during=later)",
        "hold.claims.create(unit=unit)",
        'execute("INSERT INTO bookings_slotclaim VALUES (1)")',
    ],
)
def test_another_way_in_would_be_seen(fault: str) -> None:
    assert [*other_ways_in(planted(fault))]


def test_deleting_claims_is_fine() -> None:
    fine = "SlotClaim.objects.filter(hold=hold).delete()"

    assert [*other_ways_in(planted(fine))] == []


def test_the_one_statement_is_where_the_rule_expects_it() -> None:
    moved = "elsewhere/locks.py"

    assert breaches(lambda s: other_ways_in(Source(moved, s.text)), ROOM)
