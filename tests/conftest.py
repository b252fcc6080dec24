"""Fixtures of all tests: a clean database that keeps its invariants, and clients."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase

from recovery import invariants
from slotbase.accounts.services.groups import write_groups

KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs a whole product last, so that quick failures show first."""
    items.sort(key=lambda item: "stack" in item.keywords)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """After each test that used the database: every safety invariant holds."""
    yield
    uses_database = item.get_closest_marker("django_db") is not None
    if uses_database and "breaks_invariants" not in item.keywords:
        assert invariants.find_violations(safety_only=True) == []


def empty_database(_: TransactionTestCase) -> None:
    """Remove all rows but what migrations made, past the append-only trigger."""
    tables = sorted(set(connection.introspection.table_names()) - KEPT_TABLES)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        cursor.execute("SET session_replication_role = origin")
    write_groups()


# What `django_db(transaction=True)` does after a test; Django's own cannot empty the
# audit table and would remove the groups.
TransactionTestCase._fixture_teardown = empty_database  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()
