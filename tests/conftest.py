"""Fixtures of all tests: a clean database that keeps its invariants, and clients."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.cache import cache
from django.db import connection
from django.test import Client, TransactionTestCase
from rest_framework.test import APIClient
from whitenoise.middleware import WhiteNoiseMiddleware

from recovery import alerting, banner, health, invariants
from recovery.models import Case
from slotbase.accounts import sessions
from slotbase.accounts.models import User
from slotbase.accounts.services.groups import write_groups
from slotbase.lib import counts
from slotbase.providers import reports

pytest_plugins = [
    *("tests.product", "tests.row_queue", "tests.adversity"),
    "tests.recovery.alarm",
]

DO_MUCH_OFTEN = {"concurrency", "crashes", "security"}
KEPT_TABLES = (
    *("django_migrations", "django_content_type"),
    *("auth_permission", "auth_group", "auth_group_permissions"),
)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Run what needs a whole product last, so that quick failures show first.

    What is reached is measured with the first case of a test alone, and not where the
    same is done over and over: measuring makes a test half as long again.
    """
    items.sort(key=lambda item: "stack" in item.keywords)
    seen = set()
    for item in items:
        test = (item.path, item.cls, item.originalname)
        if test in seen or item.path.parent.name in DO_MUCH_OFTEN:
            item.add_marker("no_cover")
        seen.add(test)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """After each test that used the database: every safety invariant holds."""
    yield
    uses_database = item.get_closest_marker("django_db") is not None
    if uses_database and "breaks_invariants" not in item.keywords:
        assert not broken_rules(), invariants.find_violations(full=True)
    for mark in item.iter_markers("case"):
        see_that_it_was_shown(*mark.args)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """The tests' database, and a function in it that asks for all safety rules at once.

    PostgreSQL keeps its plans. To ask rule by rule, as the product does, would take
    longer than most tests.
    """
    asked = " UNION ALL ".join(
        f"(SELECT '{rule.id}' FROM ({rule.sql}) broken LIMIT 1)"
        for rule in invariants.registered()
        if rule.is_safety
    )
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA tests")
        cursor.execute(
            "CREATE FUNCTION tests.broken_rules() RETURNS SETOF text LANGUAGE plpgsql"
            f" AS $function$ BEGIN RETURN QUERY {asked}; END $function$"
        )


def broken_rules() -> set[str]:
    """Ids of the safety rules that some row breaks."""
    with connection.cursor() as cursor:
        return {id_ for (id_,) in cursor.execute("SELECT tests.broken_rules()")}


def see_that_it_was_shown(kind: str, what: str) -> None:
    """A test that says so has opened a case, or seen one that closed itself."""
    there = Case.objects.filter(kind=kind)
    if what == "opens":
        assert there.exists(), kind
    if what == "closes":
        assert there.filter(status="RESOLVED", closed_by="engine").exists(), kind


# A small table is emptied by DELETE: TRUNCATE makes new files for it and its indexes,
# which for all tables takes longer than most tests.
EMPTY = """
DO $$
DECLARE it regclass; is_filled boolean;
BEGIN
    FOR it IN SELECT oid FROM pg_class WHERE relkind = 'r'
        AND relnamespace = 'public'::regnamespace AND relname <> ALL ('{%s}')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %%s)', it) INTO is_filled;
        IF pg_relation_size(it) > 1000000 THEN
            EXECUTE format('TRUNCATE %%s CASCADE', it);
        ELSIF is_filled THEN
            EXECUTE format('DELETE FROM %%s', it);
        END IF;
    END LOOP;
END $$
"""
RIGHTS = """
SELECT string_agg(name || permission_id, ',' ORDER BY name, permission_id)
FROM auth_group LEFT JOIN auth_group_permissions ON group_id = auth_group.id
"""
_as_written: set[str] = set()


def empty_database(_: TransactionTestCase) -> None:
    """Remove all rows but what migrations made, past the append-only trigger."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(EMPTY % ",".join(KEPT_TABLES))
        cursor.execute("SET session_replication_role = origin")
        if cursor.execute(RIGHTS).fetchone()[0] not in _as_written:
            write_groups()
            _as_written.add(cursor.execute(RIGHTS).fetchone()[0])


# What `django_db(transaction=True)` does after a test; Django's own cannot empty the
# audit table and would remove the groups.
TransactionTestCase._fixture_teardown = empty_database  # type: ignore[method-assign]


# Guesses must be slow, tests need not be. Every million rounds take half a second.
PBKDF2PasswordHasher.iterations = 1000

_find_static_files = WhiteNoiseMiddleware.add_files_from_finders
_static_files: dict[str, Any] = {}


def find_static_files_once(middleware: WhiteNoiseMiddleware) -> None:
    """Each client has a middleware of its own; the files are the same for all."""
    if not _static_files:
        _find_static_files(middleware)
        _static_files.update(middleware.files)
    middleware.files.update(_static_files)


WhiteNoiseMiddleware.add_files_from_finders = find_static_files_once


_force_login = Client.force_login


def sign_in_at_once(client: Client, user: User, backend: str | None = None) -> None:
    """`client.force_login` stands for all steps of a sign-in, as the pages end them.

    The real pages: tests/accounts/test_staff_sign_in.py. Nobody is told of superusers:
    tests/accounts/test_sessions.py.
    """
    _force_login(client, user, backend)
    session = client.session
    session.update(dict.fromkeys(sessions.STAMPS, time.time()))
    session.save()


Client.force_login = sign_in_at_once  # type: ignore[method-assign]


class Sandbox:
    """The simulated providers, over their control API."""

    url = os.environ["SANDBOX_URL"]

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Call the control API and return its JSON."""
        answer = requests.post(f"{self.url}{path}", json=body, timeout=5)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str, **query: str) -> Any:
        """What the control API answers."""
        return requests.get(f"{self.url}{path}", params=query, timeout=5).json()

    def token(self, sub: str, ttl: int = 60, **overrides: Any) -> str:
        """A customer's session token, as Clerk would give it to an app."""
        body = {"sub": sub, "ttl": ttl, "overrides": overrides}
        token: str = self.post("/_sandbox/tokens", body)["token"]
        return token


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The sandbox, without faults before and after."""
    sandbox = Sandbox()
    sandbox.post("/_sandbox/reset", {})
    yield sandbox
    sandbox.post("/_sandbox/reset", {})


@pytest.fixture
def api_of(sandbox: Sandbox) -> Callable[[User], APIClient]:
    """Makes API clients of customers: `api_of(alice).get("/api/v1/bookings/")`."""

    def client_of(customer: User) -> APIClient:
        assert customer.clerk_id is not None
        client = APIClient()
        bearer = f"Bearer {sandbox.token(customer.clerk_id, ttl=3600)}"
        client.credentials(HTTP_AUTHORIZATION=bearer)
        return client

    return client_of


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    counts.forget()
    monkeypatch.setattr(banner, "SECONDS", 0)  # each page costs the same
    banner.forget()


@pytest.fixture(autouse=True)
def _nothing_goes_on_beside_a_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread writes how providers are, and none keeps a look at the database."""
    monkeypatch.setattr(reports, "_listeners", [])
    yield
    health.forget()


@pytest.fixture(autouse=True)
def reporter(monkeypatch: pytest.MonkeyPatch) -> alerting.Reporter:
    """Reports wait for `write_once`: no thread writes while a test does something."""
    monkeypatch.setattr(alerting.Reporter, "_wake", lambda _: None)
    alerting._reporter.start_afresh()
    return alerting._reporter
