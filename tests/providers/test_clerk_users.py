"""Asking Clerk who somebody is: a profile, nobody, or an error of a known kind."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from slotbase.providers.breaker import Breaker
from slotbase.providers.clerk import client
from slotbase.providers.clerk.client import Profile, get_user
from slotbase.providers.errors import Outcome, ProviderError
from tests.providers.conftest import OddServer, Script
from tests.sandbox.client import SandboxClient, free_port

Start = Callable[[Script], OddServer]


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("clerk"))


def describe(sandbox: SandboxClient, **facts: Any) -> None:
    answer = sandbox.post("/_sandbox/clerk/users", {"id": "user_alice", **facts})
    assert answer.status_code == 201, answer.text


def profile_of_alice() -> Profile | None:
    account = get_user("user_alice")
    return account.profile if account else None


def failure() -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        get_user("user_alice")
    return caught.value


def says(body: Any, status: str = "200 OK") -> Script:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n".encode()
    return lambda connection: connection.sendall(head + text)


def test_everybody_has_a_name_and_an_address(sandbox: SandboxClient) -> None:
    profile = profile_of_alice()

    assert profile is not None
    assert profile.name.startswith("Alice ")
    assert profile.email == "alice@example.com"
    assert (profile.phone, profile.locale) == ("", "")


def test_what_clerk_knows_is_read(sandbox: SandboxClient) -> None:
    describe(
        sandbox,
        first_name="Ada",
        last_name="Lovelace",
        email="ada@example.org",
        phone="+49301234",
        locale="de-DE",
    )

    assert profile_of_alice() == Profile(
        "Ada Lovelace", "ada@example.org", "+49301234", "de-DE"
    )


def test_an_address_that_is_not_verified_is_none(sandbox: SandboxClient) -> None:
    describe(sandbox, verified=False)

    profile = profile_of_alice()

    assert profile is not None
    assert profile.email == ""


def test_who_is_gone_is_nobody(sandbox: SandboxClient) -> None:
    describe(sandbox, gone=True)

    assert get_user("user_alice") is None


@pytest.mark.parametrize("mark", ["banned", "locked"])
def test_who_is_banned_or_locked_is_told_so(sandbox: SandboxClient, mark: str) -> None:
    describe(sandbox, **{mark: True})

    account = get_user("user_alice")

    assert account is not None
    assert (account.is_banned, account.is_locked) == (
        mark == "banned",
        mark == "locked",
    )


def test_an_odd_id_stays_in_its_place(sandbox: SandboxClient) -> None:
    assert get_user("../jwks?x=/") is not None
    (call,) = sandbox.calls()
    assert call["operation"] == "users.get"


@pytest.mark.parametrize(
    ("kind", "options", "outcome"),
    [
        ("hang", {}, Outcome.NOT_EXECUTED),
        ("reset_after_effect", {}, Outcome.NOT_EXECUTED),
        ("malformed", {}, Outcome.NOT_EXECUTED),
        ("5xx", {"status": 503}, Outcome.NOT_EXECUTED),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED),
        ("4xx", {"status": 401}, Outcome.CONFIGURATION),
        ("4xx", {"status": 403}, Outcome.CONFIGURATION),
        ("4xx", {"status": 422}, Outcome.REFUSED),
    ],
)
def test_failures_are_told_apart(
    sandbox: SandboxClient, kind: str, options: dict[str, int], outcome: Outcome
) -> None:
    sandbox.fault(kind, "users.get", **options)

    assert failure().outcome is outcome


def test_a_wrong_key_is_configuration(sandbox: SandboxClient, settings: Any) -> None:
    settings.CLERK_SECRET_KEY = "sk_wrong"

    assert failure().outcome is Outcome.CONFIGURATION


def test_a_refused_connection_is_not_executed(settings: Any) -> None:
    settings.CLERK_API_URL = f"http://127.0.0.1:{free_port()}"

    assert failure().outcome is Outcome.NOT_EXECUTED


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": "no such page"}, "404 Not Found"),
        ({"errors": [{"code": "other"}]}, "404 Not Found"),
        ([], "404 Not Found"),
        ({"object": "session"}, "200 OK"),
    ],
)
def test_what_is_not_clerk_is_configuration(
    settings: Any, odd_server: Start, body: Any, status: str
) -> None:
    settings.CLERK_API_URL = odd_server(says(body, status)).url

    error = failure()

    assert (error.outcome, error.code) == (Outcome.CONFIGURATION, "not_clerk")


ODD = {
    "object": "user",
    "first_name": "A\x00d\u200ca\u202e",
    "last_name": 7,
    "locale": "../../etc",
    "primary_email_address_id": "1",
    "primary_phone_number_id": "2",
    "email_addresses": [
        None,
        {
            "id": "1",
            "email_address": "a@example.com\r\nBcc: b@example.com",
            "verification": {"status": "verified"},
        },
    ],
    "phone_numbers": {"id": "2"},
}


def test_what_cannot_be_used_is_left_out(settings: Any, odd_server: Start) -> None:
    settings.CLERK_API_URL = odd_server(says(ODD)).url

    assert profile_of_alice() == Profile("Ad\u200ca", "", "", "")


def test_after_five_failures_clerk_is_left_alone(sandbox: SandboxClient) -> None:
    sandbox.fault("5xx", "users.get")
    for _ in range(5):
        failure()

    assert failure().code == "breaker_open"
    assert len(sandbox.calls()) == 5
