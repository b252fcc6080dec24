"""S23, S24: what is secret or personal is blanked in any line, and a line stays one."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from slotbase.lib import logs, redaction
from slotbase.lib.redaction import BLANK, blank_out

SECRET = "a-key-of-this-installation-0123456789"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJlLXg"
CANARIES = {
    "a mail address": "tweety.canarina@example.com",
    "a phone": "+49 30 77665544",
    "a token of Clerk": JWT,
    "a header": "Bearer abcdef0123456789",
    "a password of Redis": "redis://:hunter2hunter2@cache.example:6379/0",
    "a card": "4242 4242 4242 4242",
    "a key of Stripe": "sk_live_" + "51Habcdefghijkl",
    "a key of a webhook": "whsec_c2VjcmV0c2VjcmV0",
    "a client secret": "pi_3NabcDEF_secret_XyZ012",
    "a setting": SECRET,
    "a link of a mail": "/unsubscribe/eyJ1c2VyIjoxfQ:1abc:signature/",
    "a private key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n",
}
PARTS = (
    *("canarina", "77665544", "eyJzdWIi", "abcdef0123456789", "hunter2", "4242 42"),
    *("51Habc", "c2VjcmV0", "secret_XyZ", SECRET, "eyJ1c2Vy", "MIIEvQ"),
)
EACH = pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES)


@pytest.fixture
def said(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logs as a process of the product has them, into a text."""
    settings.OPS_TOKEN = SECRET
    redaction._values.cache_clear()
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, text = [*root.handlers], io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    before = structlog.get_config()
    logs.configure({"level": "DEBUG"})
    yield text
    root.handlers[:], root.level = handlers, level
    structlog.configure(**before)
    redaction._values.cache_clear()


def lines_of(text: io.StringIO) -> list[dict[str, Any]]:
    """Every line is a JSON object of its own."""
    return [json.loads(line) for line in text.getvalue().splitlines()]


def has_canary(text: io.StringIO) -> bool:
    return any(part in text.getvalue() for part in PARTS)


@EACH
def test_a_line_of_our_own_is_blanked(said: io.StringIO, canary: str) -> None:
    log = structlog.get_logger("ours")
    log.warning("it_failed", why=canary, deep={"list": [canary], canary: 1}, odd={1})
    log.warning(canary)

    assert len(lines_of(said)) == 2
    assert not has_canary(said)


@EACH
@pytest.mark.parametrize("name", ["django.request", "celery.worker", "granian.access"])
def test_a_line_of_a_library_is_blanked(
    said: io.StringIO, canary: str, name: str
) -> None:
    logging.getLogger(name).error("Not Found: %s", canary, extra={"request": canary})

    assert len(lines_of(said)) == 1
    assert not has_canary(said)


@EACH
def test_a_traceback_is_blanked(said: io.StringIO, canary: str) -> None:
    try:
        raise ValueError(f"cannot use {canary}")
    except ValueError:
        structlog.get_logger("ours").exception("broken")
        logging.getLogger("django.request").exception("Internal Server Error")

    ours, theirs = lines_of(said)
    assert "ValueError: cannot use" in ours["exception"]
    assert "ValueError: cannot use" in theirs["exception"]
    assert not has_canary(said)


@pytest.mark.parametrize(
    "name", ["Authorization", "password", "api_key", "token", "set_cookie", "secret"]
)
def test_what_is_named_as_a_secret_is_blanked(said: io.StringIO, name: str) -> None:
    structlog.get_logger("ours").info("x", **{name: "whatever it is"})

    assert lines_of(said)[0][name] == BLANK


def test_a_logger_without_the_net_would_show_them(said: io.StringIO) -> None:
    bare = logging.StreamHandler(said)
    logging.getLogger("bare").addHandler(bare)
    logging.getLogger("bare").propagate = False
    logging.getLogger("bare").error(" ".join(CANARIES.values()))

    assert all(part in said.getvalue() for part in PARTS)


@pytest.mark.parametrize(
    "text",
    [
        "0192f0c1-0000-7000-8000-000000000001",
        "2026-11-26T10:00:00.123456+00:00",
        "re_3NabcDEF0123456789 of pi_3NabcDEF0123456789",
        "POST /api/v1/holds/0192f0c1-0000-7000-8000-000000000001/payment/",
        "celery@worker-1 of 12 tasks in 3.14s",
    ],
)
def test_what_operators_need_stays(text: str) -> None:
    assert blank_out(text) == text


def test_numbers_and_ids_of_requests_stay(said: io.StringIO) -> None:
    structlog.get_logger("ours").info(
        "x", request_id="4242424242424242", count=3, ok=True, none=None
    )

    (line,) = lines_of(said)
    assert line["request_id"] == "4242424242424242"
    assert (line["count"], line["ok"], line["none"]) == (3, True, None)


def test_no_web_process_keeps_an_access_log() -> None:
    """Its lines would hold what stands in addresses: links of mails, and searches."""
    root = Path(__file__).resolve().parents[2]
    for name in ("Dockerfile", "docker-compose.yml", "slotbase/devstack/stack.py"):
        assert "access-log" not in (root / name).read_text(), name


FORGED = [
    'a\n{"level":"CRITICAL"}',
    "a\r\nCRITICAL: all is lost",
    "\x1b[2J\x1b[31mCRITICAL\x1b[0m",
    "a\u2028{}\u2029b\x85c\x0bd\x0ce",
    "a\x00b\x08\x08",
]


@pytest.mark.parametrize("text", FORGED)
def test_nobody_writes_a_line_of_their_own(said: io.StringIO, text: str) -> None:
    structlog.get_logger("ours").warning("named", name=text)
    logging.getLogger("django.security").warning("Invalid host: %s", text)

    ours, theirs = lines_of(said)
    assert ours["name"] == text
    assert (ours["level"], theirs["level"]) == ("warning", "warning")
    assert said.getvalue().isascii()
    assert "\x1b" not in said.getvalue()
