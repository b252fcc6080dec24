"""Fetching Clerk's keys: the right ones in time, or an error of a known kind."""

import gzip
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services import signing_keys
from slotbase.providers.clerk.client import fetch_signing_keys
from slotbase.providers.errors import Outcome, ProviderError
from tests.providers.conftest import OddServer, Script
from tests.sandbox.client import SandboxClient, free_port

Start = Callable[[Script], OddServer]


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def says(answer: bytes) -> Script:
    return lambda connection: connection.sendall(answer)


def answers_keys(keys: Any) -> Script:
    return says(http(json.dumps({"keys": keys}).encode()))


def failure() -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        fetch_signing_keys()
    return caught.value


def a_key(sandbox: SandboxClient, **changes: Any) -> dict[str, Any]:
    jwks = sandbox.get("/clerk/.well-known/jwks.json").json()
    return {**jwks["keys"][0], **changes}


def test_the_keys_come_reduced_to_what_is_needed(sandbox: SandboxClient) -> None:
    keys = fetch_signing_keys()["keys"]

    assert [set(key) for key in keys] == [{"kty", "kid", "n", "e"}]
    assert keys[0]["kid"] == sandbox.kid()


def test_the_api_gets_the_secret_key(sandbox: SandboxClient, settings: Any) -> None:
    settings.CLERK_API_URL = f"{sandbox.url}/clerk"
    settings.CLERK_JWKS_URL = f"{sandbox.url}/clerk/v1/jwks"
    settings.CLERK_SECRET_KEY = "sk_test_wrong"

    error = failure()

    assert (error.outcome, error.http_status) == (Outcome.CONFIGURATION, 401)
    assert sandbox.calls()


def test_the_public_key_set_does_not_get_the_secret_key(
    settings: Any, odd_server: Start
) -> None:
    server = odd_server(says(http(b"{}")))
    settings.CLERK_API_URL = "https://api.clerk.com"
    settings.CLERK_JWKS_URL = f"{server.url}/.well-known/jwks.json"
    settings.CLERK_SECRET_KEY = "sk_test_secret"

    failure()

    assert b"sk_test_secret" not in server.request


@pytest.mark.parametrize(
    ("fault", "options", "outcome"),
    [
        ("hang", {}, Outcome.NOT_EXECUTED),
        ("accept_then_hang", {}, Outcome.NOT_EXECUTED),
        ("reset_after_effect", {}, Outcome.NOT_EXECUTED),
        ("malformed", {}, Outcome.NOT_EXECUTED),
        ("slow", {"seconds": 4}, Outcome.NOT_EXECUTED),
        ("5xx", {"status": 502}, Outcome.NOT_EXECUTED),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED),
        ("4xx", {"status": 403}, Outcome.CONFIGURATION),
        ("4xx", {"status": 404}, Outcome.REFUSED),
    ],
)
def test_failures_are_told_apart_within_three_seconds(
    sandbox: SandboxClient, fault: str, options: dict[str, int], outcome: Outcome
) -> None:
    sandbox.fault(fault, **options)
    began = time.monotonic()

    error = failure()

    assert error.outcome is outcome
    assert error.http_status == options.get("status")
    assert time.monotonic() - began < 3.5


def test_a_refused_connection_is_not_executed(settings: Any) -> None:
    settings.CLERK_JWKS_URL = f"http://127.0.0.1:{free_port()}/jwks.json"

    assert failure().outcome is Outcome.NOT_EXECUTED


def test_a_redirect_is_not_followed(
    sandbox: SandboxClient, settings: Any, odd_server: Start
) -> None:
    target = f"Location: {settings.CLERK_JWKS_URL}"
    server = odd_server(says(http(b"", target, status="302 Found")))
    settings.CLERK_JWKS_URL = server.url

    error = failure()

    assert (error.outcome, error.http_status) == (Outcome.REFUSED, 302)
    assert sandbox.calls() == []


def test_the_time_to_wait_is_read(settings: Any, odd_server: Start) -> None:
    answer = http(b"", "Retry-After: 30", status="429 Too Many Requests")
    settings.CLERK_JWKS_URL = odd_server(says(answer)).url

    assert failure().retry_after == 30


def test_a_drip_ends_after_three_seconds(settings: Any, odd_server: Start) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    settings.CLERK_JWKS_URL = odd_server(drip).url
    began = time.monotonic()

    assert failure().code == "answer_too_slow"
    assert time.monotonic() - began < 3.5


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b" " * (1024 * 1024 + 1), []),
        (gzip.compress(b" " * 50_000_000), ["Content-Encoding: gzip"]),
    ],
    ids=["as it is", "compressed"],
)
def test_a_flood_ends_at_a_megabyte(
    settings: Any, odd_server: Start, body: bytes, headers: list[str]
) -> None:
    settings.CLERK_JWKS_URL = odd_server(says(http(body, *headers))).url

    assert failure().code == "answer_too_large"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>maintenance</html>",
        b'{"keys": 5}',
        b'{"keys": "abc"}',
        b'{"keys": []}',
        b'{"keys": [null, 1, [], {}]}',
        b"[" * 100_000,
        b'{"keys": [{"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}]}',
        b'{"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]}',
        b"\xff\xfe",
    ],
)
def test_an_answer_without_a_usable_key_is_an_error(
    settings: Any, odd_server: Start, body: bytes
) -> None:
    settings.CLERK_JWKS_URL = odd_server(says(http(body))).url

    assert failure().outcome is Outcome.NOT_EXECUTED


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        b" " * (1024 * 1024 + 1),
        b"<html>maintenance</html>",
        b'{"keys": "abc"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=["huge", "HTML", "another type", "deep", "no text"],
)
def test_whatever_clerk_answers_a_request_is_503_and_shows_nothing_of_it(
    sandbox: SandboxClient, settings: Any, odd_server: Start, body: bytes
) -> None:
    """S11: no 500, and nothing raw."""
    token = sandbox.token("user_alice")
    settings.CLERK_JWKS_URL = odd_server(says(http(body))).url
    signing_keys.forget_cached_keys()

    answer = Client().get(
        "/api/v1/bookings/", headers={"Authorization": f"Bearer {token}"}
    )

    assert (answer.status_code, answer.json()["code"]) == (503, "auth_unavailable")
    assert b"maintenance" not in answer.content


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"kid": None},
        {"kid": 7},
        {"n": 12345},
        {"e": None},
        {"d": "AQAB"},
        {"d": 5},
        {"kid": ""},
        {"kid": "a\u0000b"},
        {"kid": "\ud800"},
        {"kid": "k" * 129},
        {"n": "\ud800"},
        {"n": "w" * 1365 + "\u0000"},
        {"n": "_" * 66_667},
        {"n": "_" * 1400},
        {"e": "AQ\u0000AB"},
        {"e": "_" * 1000},
    ],
)
def test_other_keys_are_left_out(
    sandbox: SandboxClient, settings: Any, odd_server: Start, change: dict[str, Any]
) -> None:
    good = a_key(sandbox)
    odd = a_key(sandbox, **change)
    settings.CLERK_JWKS_URL = odd_server(answers_keys([odd, good])).url

    assert [key["kid"] for key in fetch_signing_keys()["keys"]] == [good["kid"]]


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"kid": "a\u0000b"}, {"kid": "\ud800"}])
def test_a_key_that_cannot_be_stored_does_not_cost_the_good_ones(
    sandbox: SandboxClient, settings: Any, odd_server: Start, change: dict[str, Any]
) -> None:
    """F84."""
    odd, good = a_key(sandbox, **change), a_key(sandbox)
    settings.CLERK_JWKS_URL = odd_server(answers_keys([odd, good])).url

    signing_keys.refresh_signing_keys()

    [stored] = SigningKeySet.objects.get().jwks["keys"]
    assert stored["kid"] == good["kid"]


def test_no_text_of_the_provider_is_in_the_error(
    settings: Any, odd_server: Start
) -> None:
    answer = http(b"secret words of the provider", status="500 secret words")
    settings.CLERK_JWKS_URL = odd_server(says(answer)).url

    assert str(failure()) == "clerk: not executed (http_error, HTTP 500)"
