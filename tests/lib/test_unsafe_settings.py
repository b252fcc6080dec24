"""With DEBUG off, nothing starts with unsafe settings, and each of them is named."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from slotbase.devstack.environment import WEBHOOK_SECRETS
from slotbase.lib.checks import refuse_unsafe_settings

ROOT = Path(__file__).resolve().parents[2]
SAFE = {
    "DEBUG": "false",
    "DEMO": "false",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": "slotbase.example",
    "CLERK_ISSUER": "https://clerk.slotbase.example",
    "CLERK_JWKS_URL": "https://clerk.slotbase.example/.well-known/jwks.json",
    "CLERK_AUTHORIZED_PARTIES": "https://app.slotbase.example",
}


NAMES = [name for name in SAFE if name != "DEBUG"]


def start(command: str = "check", **over: str) -> subprocess.CompletedProcess[str]:
    """Start a process of the product with these settings and nothing else."""
    return subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **SAFE, **over},
        capture_output=True,
        text=True,
        check=False,
    )


def test_safe_settings_start() -> None:
    done = start()

    assert done.returncode == 0, done.stderr


def test_all_unsafe_values_stop_the_start_and_are_named_at_once() -> None:
    unsafe = dict.fromkeys(NAMES, "") | {"DEMO": "true", "SECRET_KEY": "letmein"}
    done = start(**unsafe, HTTPS_ONLY="false")

    assert done.returncode != 0
    assert "ImproperlyConfigured: Unsafe settings." in done.stderr
    for name in (*NAMES, "HTTPS_ONLY"):
        assert f"{name}:" in done.stderr
    assert "letmein" not in done.stderr


def test_a_check_before_deployment_says_that_mails_would_have_no_link() -> None:
    sending = {"RESEND_API_KEY": "re_leads_nowhere"}

    missing = start("check --deploy", **sending)
    known = start("check --deploy", **sending, PUBLIC_URL="https://booking.example")

    assert "(slotbase.W001) PUBLIC_URL is not set" in missing.stderr
    assert missing.returncode == known.returncode == 0
    assert "slotbase.W001" not in known.stderr + start("check --deploy").stderr


@pytest.mark.parametrize("command", ["migrate", "shell"])
def test_no_command_starts_unsafe(command: str) -> None:
    done = start(command, SECRET_KEY="")

    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr


def test_a_developer_may_start_with_nothing() -> None:
    nothing = dict.fromkeys(NAMES, "") | {"SECRET_KEY": "x", "DEMO": "false"}
    done = start(**nothing, DEBUG="true")

    assert done.returncode == 0, done.stderr


def is_refused(settings: Settings, **over: Any) -> str:
    """Why these settings are refused; empty if they are not."""
    safe = {
        "DEMO": False,
        "HTTPS_ONLY": True,
        "STRIPE_API_BASE": "https://api.stripe.com",
        "FCM_API_URL": "https://fcm.googleapis.com",
        "FCM_CREDENTIALS": "",
        "STRIPE_SECRET_KEY": "",
        "RESEND_API_KEY": "",
        "CLERK_SECRET_KEY": "",
        "BACK_OFFICE_URL": "",
        "STRIPE_LIVEMODE": False,
        **{name: [] for name in WEBHOOK_SECRETS},
        "CLERK_API_URL": "https://api.clerk.com",
        "RESEND_API_URL": "https://api.resend.com",
        "OPENAI_BASE_URL": "https://api.openai.com/v1",
        "OPENAI_API_KEY": "",
        **{n: SAFE[n] for n in ("SECRET_KEY", "CLERK_ISSUER", "CLERK_JWKS_URL")},
        **{
            name: [SAFE[name]] for name in ("ALLOWED_HOSTS", "CLERK_AUTHORIZED_PARTIES")
        },
    }
    for name, value in {**safe, **over}.items():
        setattr(settings, name, value)
    try:
        refuse_unsafe_settings()
    except ImproperlyConfigured as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "x"),
        ("SECRET_KEY", "x" * 64),
        ("SECRET_KEY", SAFE["SECRET_KEY"][:49]),
        ("SECRET_KEY", "django-insecure-" + SAFE["SECRET_KEY"]),
        ("SECRET_KEY_FALLBACKS", ["a"]),
        ("STRIPE_SECRET_KEY", "sk_test_sandbox"),
        ("RESEND_API_KEY", "re_sandbox"),
        ("OPENAI_API_KEY", "sk-slotbase-sandbox"),
        ("CLERK_SECRET_KEY", "sk_test_sandbox"),
        *((name, [secret]) for name, secret in WEBHOOK_SECRETS.items()),
        ("OPS_TOKEN", "operator-of-the-demo-on-this-computer"),
        ("CLERK_AUTHORIZED_PARTIES", ["*"]),
        ("CLERK_ISSUER", "http://clerk.slotbase.example"),
        ("HOLD_TTL_SECONDS", -5),
        ("MAX_ACTIVE_HOLDS", 0),
        ("SWEEP_INTERVAL_SECONDS", 0),
        ("CLERK_KEYS_REFRESH_SECONDS", 301),
        ("IDEMPOTENCY_RETENTION_HOURS", 23),
        ("DEAD_LETTER_RETENTION_DAYS", 0),
        ("DEAD_LETTER_RETRY_SECONDS", []),
        ("DEAD_LETTER_RETRY_SECONDS", [0]),
        ("DEAD_LETTER_RETRY_SECONDS", [72_000, 1]),
        ("ALLOWED_HOSTS", []),
        ("ALLOWED_HOSTS", ["*"]),
        ("ALLOWED_HOSTS", ["slotbase.example", "*.example"]),
        ("ALLOWED_HOSTS", [".slotbase.example"]),
        ("CSRF_TRUSTED_ORIGINS", ["https://*"]),
        ("CSRF_TRUSTED_ORIGINS", ["https://a.example", "https://*.example"]),
        ("CLERK_ISSUER", "https://clerk.slotbase.example/"),
        ("CLERK_ISSUER", "https://clerk.slotbase.example,https://b.example"),
        ("CLERK_AUTHORIZED_PARTIES", ["https://a.example", "http://localhost:3000"]),
        ("CLERK_AUTHORIZED_PARTIES", ["https://*.example"]),
        ("BACK_OFFICE_URL", "http://booking.example"),
        ("OPS_TOKEN", "a" * 40),
        ("OPS_TOKEN", "abcdefg" * 6),
        ("DEMO", True),
        ("HTTPS_ONLY", False),
        ("CLERK_ISSUER", ""),
        ("CLERK_JWKS_URL", ""),
        ("CLERK_JWKS_URL", "http://clerk.slotbase.example/jwks.json"),
        ("CLERK_AUTHORIZED_PARTIES", []),
        ("STRIPE_API_BASE", "http://api.stripe.com"),
        ("STRIPE_API_BASE", ""),
        ("FCM_API_URL", "http://fcm.googleapis.com"),
        ("PUSH_RETRY_SECONDS", []),
        ("PUSH_RETRY_SECONDS", [10, 0]),
        ("PUSH_TTL_SECONDS", 59),
        ("MAX_DEVICES", 0),
        ("PROVIDER_CONNECT_SECONDS", 0),
        ("PROVIDER_TIMEOUT_SECONDS", 10.5),
        ("PROVIDER_WORKER_TIMEOUT_SECONDS", 61),
        ("WEB_THREADS", 0),
        ("OPS_TOKEN", "23-characters-are-short"),
        ("PUBLIC_URL", "http://booking.example"),
        ("ALERT_WEBHOOK_URL", "http://ops.example/hook"),
        ("ALERT_EMAIL_TO", ["ops@example.com", "Ops <ops>"]),
        ("AI_RETRY_SECONDS", []),
        ("AI_RETRY_SECONDS", [0]),
        ("AI_DAILY_TOKENS", -1),
        ("ALERT_RETRY_SECONDS", []),
        ("ALERT_RETRY_SECONDS", [0]),
    ],
)
def test_a_single_unsafe_value_is_refused_by_its_name(
    settings: Settings, name: str, value: Any
) -> None:
    assert is_refused(settings, **{name: value}).startswith(f"Unsafe settings. {name}:")


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"], "DEMO": True},
        {"ALLOWED_HOSTS": ["localhost"], "HTTPS_ONLY": False},
        {"STRIPE_SECRET_KEY": ""},
        {"OPS_TOKEN": ""},
        {"OPS_TOKEN": "24-characters-are-enough"},
        {
            "ALLOWED_HOSTS": ["localhost"],
            "DEMO": True,
            "CLERK_JWKS_URL": "http://127.0.0.1:9/jwks.json",
            "CLERK_AUTHORIZED_PARTIES": ["http://localhost:8000"],
            "BACK_OFFICE_URL": "http://localhost:8000",
            "STRIPE_API_BASE": "http://127.0.0.1:9/stripe",
        },
    ],
)
def test_what_is_safe_is_not_refused(settings: Settings, over: dict[str, Any]) -> None:
    assert is_refused(settings, **over) == ""


@pytest.mark.parametrize(
    "over",
    [
        {"DEMO": True, "ALLOWED_HOSTS": ["localhost"]},
        {"CLERK_SECRET_KEY": "sk_test_abc"},
    ],
)
def test_a_live_key_is_not_for_tests(settings: Settings, over: dict[str, Any]) -> None:
    live = {"STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_LIVEMODE": True}

    assert is_refused(settings, **live) == ""
    assert "STRIPE_SECRET_KEY: a live one" in is_refused(settings, **live, **over)


def test_a_start_without_anybody_to_be_alerted_is_warned_of() -> None:
    word = "alerts_are_told_to_nobody"

    assert word in start().stderr
    assert word not in start(ALERT_EMAIL_TO="ops@example.com").stderr


def test_a_database_that_is_no_postgresql_is_refused() -> None:
    assert "DATABASE_URL:" in start(DATABASE_URL="sqlite:///x.db").stderr


def test_a_number_that_cannot_be_read_is_named_without_its_text() -> None:
    done = start(HOLD_TTL_SECONDS="abc")

    assert done.returncode != 0
    assert "HOLD_TTL_SECONDS: it cannot be read." in done.stderr
    assert "'abc'" not in done.stderr
