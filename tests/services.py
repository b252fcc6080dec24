"""A pytest plugin: PostgreSQL, Valkey and the sandbox for the tests, thrown away after.

Loaded with `-p tests.services`, before Django reads its settings from the environment.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg

from slotbase.devstack.child import Program
from slotbase.devstack.environment import WEBHOOK_SECRETS
from slotbase.devstack.google import make_service_account
from slotbase.devstack.loopback import answers
from slotbase.devstack.ports import any_free_port
from slotbase.devstack.postgres import Postgres
from slotbase.devstack.supervisor import running
from slotbase.devstack.valkey import Valkey

os.umask(0o022)
_exits = ExitStack()
STATE = Path(_exits.enter_context(tempfile.TemporaryDirectory(prefix="slotbase-test-")))

PREVIOUS_WEBHOOK_SECRETS = {
    "STRIPE_WEBHOOK_SECRETS": "whsec_tests_stripe_previous",
    "RESEND_WEBHOOK_SECRETS": "whsec_dGVzdHMgcmVzZW5kIHByZXZpb3VzIGtleSAyNCBi",
    "CLERK_WEBHOOK_SECRETS": "whsec_dGVzdHMgY2xlcmsgcHJldmlvdXMga2V5IDI0IGI=",
}


def _start() -> None:
    postgres, valkey = (
        Postgres(STATE / "services", durable=False),
        Valkey(STATE / "services"),
    )
    for service in (postgres, valkey):
        service.prepare()
        _exits.callback(service.discard)
    port = any_free_port()
    programs = [postgres.program(), valkey.program(), sandbox(port)]
    _exits.enter_context(running(programs, STATE))
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as superuser:
        # To make the tests' own database.
        superuser.execute("ALTER ROLE slotbase_owner CREATEDB")
        # To empty the audit table between tests; nobody else may.
        superuser.execute(
            "GRANT SET ON PARAMETER session_replication_role TO slotbase_owner"
        )
        # To choose who loses a deadlock.
        superuser.execute("GRANT SET ON PARAMETER deadlock_timeout TO slotbase_owner")
    os.environ.update(
        {
            "DATABASE_URL": postgres.url("slotbase_owner"),
            "APP_DATABASE_URL": postgres.url("slotbase_app"),
            "REDIS_URL": valkey.url(0),
            "CACHE_URL": valkey.url(1),
            "SANDBOX_URL": f"http://127.0.0.1:{port}",
            "CLERK_API_URL": f"http://127.0.0.1:{port}/clerk",
            "CLERK_JWKS_URL": f"http://127.0.0.1:{port}/clerk/.well-known/jwks.json",
            "CLERK_ISSUER": f"http://127.0.0.1:{port}/clerk",
            "STRIPE_API_BASE": f"http://127.0.0.1:{port}/stripe",
            "RESEND_API_URL": f"http://127.0.0.1:{port}/resend",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/openai/v1",
            "FCM_API_URL": f"http://127.0.0.1:{port}/fcm",
            "FCM_CREDENTIALS": make_service_account(
                f"http://127.0.0.1:{port}/fcm/token"
            ),
        }
    )


def sandbox(port: int) -> Program:
    """The simulated providers, ready when they answer."""
    command = [sys.executable, "-m", "slotbase.sandbox", "--port", str(port)]
    return Program(
        name="sandbox",
        command=[*command, "--state-dir", str(STATE / "sandbox")],
        folder=Path.cwd(),
        is_ready=lambda _: answers(f"http://127.0.0.1:{port}/_sandbox/health"),
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
        "CLERK_AUTHORIZED_PARTIES": "http://localhost",
        "CLERK_SECRET_KEY": "sk_test_sandbox",
        "RESEND_REQUESTS_PER_SECOND": "10000",
        "RESEND_BURST": "1000",
        "RESEND_API_KEY": "re_sandbox",
        "OPENAI_API_KEY": "sk-slotbase-sandbox",
        "OPENAI_MODEL": "gpt-5.4-mini",
        "EMAIL_FROM": "SlotBase <noreply@slotbase.example>",
        "LOG_LEVEL": "ERROR",
        "STRIPE_SECRET_KEY": "sk_test_sandbox",
        # The current one is that of a product that a test starts.
        **{
            name: f"{current},{PREVIOUS_WEBHOOK_SECRETS[name]}"
            for name, current in WEBHOOK_SECRETS.items()
        },
    }
)
_start()
