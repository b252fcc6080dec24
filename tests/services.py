"""A pytest plugin: PostgreSQL, Valkey and the sandbox for the tests, thrown away after.

Loaded with `-p tests.services`, before Django reads its settings from the environment.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg

from slotbase.devstack.postgres import Postgres
from slotbase.devstack.supervisor import running
from slotbase.devstack.valkey import Valkey

os.umask(0o022)
_exits = ExitStack()
STATE = Path(_exits.enter_context(tempfile.TemporaryDirectory(prefix="slotbase-test-")))


def _start() -> None:
    postgres, valkey = (
        Postgres(STATE / "services", durable=False),
        Valkey(STATE / "services"),
    )
    for service in (postgres, valkey):
        service.prepare()
        _exits.callback(service.discard)
    programs = [postgres.program(), valkey.program()]
    _exits.enter_context(running(programs, STATE))
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as superuser:
        # To empty the audit table between tests; nobody else may.
        superuser.execute(
            "GRANT SET ON PARAMETER session_replication_role TO slotbase_owner"
        )
    os.environ.update(
        {
            "DATABASE_URL": postgres.url("slotbase_owner"),
            "APP_DATABASE_URL": postgres.url("slotbase_app"),
            "REDIS_URL": valkey.url(0),
            "CACHE_URL": valkey.url(1),
        }
    )


def pytest_unconfigure() -> None:
    """Stop everything and remove it."""
    _exits.close()


os.environ.update(
    {
        "DEBUG": "false",
        "DEMO": "true",
        "SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "CLERK_JWKS_URL": "http://127.0.0.1:1/clerk/.well-known/jwks.json",
        "CLERK_ISSUER": "http://127.0.0.1:1/clerk",
        "CLERK_AUTHORIZED_PARTIES": "http://localhost",
        "LOG_LEVEL": "ERROR",
    }
)
_start()
