"""`slotbase_now()` is the only clock that decides anything (ADR 0005)."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import (
    PACKAGES,
    ROOT,
    Source,
    breaches,
    dotted,
    planted,
)

OTHER_CLOCKS = re.compile(
    r"(^|\.)((date)?time(zone)?\.(now|utcnow|today|time|time_ns)|date\.today)$"
)
CLOCKS_IN_SQL = re.compile(
    r"\b(now|(clock|statement|transaction)_timestamp|timeofday)\s*\("
    r"|\b(current|local)_?(date|timestamp|time)\b",
    re.IGNORECASE,
)

# Where another clock is right, and why.
WALL_CLOCK_IS_RIGHT = {
    "slotbase/lib/ids.py": "an id is only roughly in order; nothing is decided by it",
    "slotbase/accounts/sessions.py": "stamps what a cookie carries",
    "slotbase/accounts/pending.py": "stamps what a cookie carries",
    "slotbase/accounts/services/second_factors.py": "goes by the clocks of phones",
    "slotbase/lib/counts.py": "counts requests per minute of real time",
    "slotbase/accounts/services/signing_keys.py": "judges stamps that Clerk made",
    "slotbase/accounts/queries.py": "judges the age of keys that Clerk made",
    "slotbase/accounts/tokens.py": "judges stamps that Clerk made",
    "payments/services/stamps.py": "makes stamps such as Stripe would make",
    "recovery/health.py": "says when it looked, which a lost database cannot say",
    "slotbase/doctor/database.py": "compares the clocks",
    "slotbase/providers/envelope.py": "judges stamps that providers made",
    "slotbase/devstack/demo/": "asks, as a customer would, for a slot next week",
    "slotbase/devstack/summary.py": "prints a request that a person can try",
    "slotbase/sandbox/": "is another company's computer",
    "bench/": "is a client, and compares with a table that is not ours",
}
DEFINES_THE_CLOCK = {
    "slotbase/lib/migrations/0001_slotbase_now.py": "makes the function",
    "slotbase/devstack/clock.py": "replaces it by one that is offset",
}
ALLOWED = tuple({**WALL_CLOCK_IS_RIGHT, **DEFINES_THE_CLOCK})


def other_clocks(source: Source) -> Iterator[str]:
    if source.path.startswith(ALLOWED):
        return
    yield from _in_python(source)
    for node, text in source.strings():
        if found := CLOCKS_IN_SQL.search(text):
            yield source.at(node, found.group())


def _in_python(source: Source) -> Iterator[str]:
    for node in source.nodes(ast.Attribute, ast.keyword, ast.ImportFrom):
        if OTHER_CLOCKS.search(dotted(node)):
            yield source.at(node, dotted(node))
        if isinstance(node, ast.keyword) and node.arg in {"auto_now", "auto_now_add"}:
            yield source.at(node, node.arg)
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{each.name}" for each in node.names}
            for name in names & {
                "django.db.models.functions.Now",
                "django.utils.timezone.now",
                "time.time",
            }:
                yield source.at(node, name)


def test_the_product_reads_one_clock() -> None:
    assert breaches(other_clocks, *PACKAGES, "bench") == []


def test_the_product_s_sql_files_read_no_other_clock() -> None:
    files = list(ROOT.glob("slotbase/**/*.sql"))

    assert files
    assert [path for path in files if CLOCKS_IN_SQL.search(path.read_text())] == []


@pytest.mark.parametrize(
    "fault",
    [
        "x = timezone.now()",
        "x = datetime.now(UTC)",
        "x = datetime.datetime.utcnow()",
        "x = date.today()",
        "x = time.time()",
        "from time import time",
        "from django.db.models.functions import Now",
        "at = DateTimeField(auto_now_add=True)",
        'execute("SELECT now()")',
        'execute(f"DELETE FROM {x} WHERE at < CURRENT_TIMESTAMP")',
        'execute("SELECT clock_timestamp()")',
    ],
)
def test_another_clock_would_be_seen(fault: str) -> None:
    assert [*other_clocks(planted(fault))]


def test_our_own_clock_is_not_taken_for_another() -> None:
    fine = 'x = Now()\nexecute("WHERE at < (SELECT slotbase_now())")'

    assert [*other_clocks(planted(fine))] == []


@pytest.mark.parametrize("path", ALLOWED)
def test_every_exception_is_still_needed(path: str) -> None:
    def seen(source: Source) -> Iterator[str]:
        return other_clocks(Source(f"elsewhere/{source.path}", source.text))

    assert breaches(seen, path)
