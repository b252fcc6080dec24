"""Sending mails: an id, or an error of a known kind in time."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import resend as sdk

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.resend import client
from slotbase.providers.resend.client import send_email
from tests.providers.conftest import OddServer, Script
from tests.sandbox.client import SandboxClient, free_port

Start = Callable[[Script], OddServer]
MAIL = {
    "sender": "SlotBase <noreply@slotbase.example>",
    "to": "alice@example.com",
    "subject": "Booked: Court 1",
    "html": "<p>Hello</p>",
    "text": "Hello",
    "idempotency_key": "sb:main:notif:1",
}


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("resend"))


@pytest.fixture(autouse=True)
def _to_the_sandbox(sandbox: SandboxClient) -> None:
    pass


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for ten seconds."""
    monkeypatch.setattr(client, "TIMEOUT", 0.5)


def fault(sandbox: SandboxClient, kind: str, **options: Any) -> None:
    sandbox.fault(kind, "emails.send", provider="resend", **options)


def failure(**changes: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        send_email(**{**MAIL, **changes})
    return caught.value


def sent(sandbox: SandboxClient) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def answer(
    status: str, *headers: str, body: bytes = b"", kind: str = "application/json"
) -> Script:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        f"Content-Type: {kind}",
        *headers,
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    return lambda connection: connection.sendall(head + body)


def test_a_mail_arrives_as_it_is(sandbox: SandboxClient) -> None:
    id_ = send_email(**MAIL, headers={"X-Entity-Ref-ID": "1"})

    (mail,) = sent(sandbox)
    assert mail == {
        "id": id_,
        "to": ["alice@example.com"],
        "subject": "Booked: Court 1",
        "text_length": 5,
        "idempotency_key": "sb:main:notif:1",
    }
    key = {"Authorization": "Bearer re_sandbox"}
    stored = sandbox.get(f"/resend/emails/{id_}", headers=key).json()
    assert (stored["html"], stored["from"]) == (MAIL["html"], MAIL["sender"])
    assert stored["headers"] == {"X-Entity-Ref-ID": "1"}


def test_sending_again_with_the_same_key_is_the_same_mail(
    sandbox: SandboxClient,
) -> None:
    assert send_email(**MAIL) == send_email(**MAIL)

    assert len(sent(sandbox)) == 1


def test_another_mail_with_the_same_key_is_refused() -> None:
    send_email(**MAIL)

    error = failure(subject="Another")

    assert (error.outcome, error.code) == (
        Outcome.REFUSED,
        "invalid_idempotent_request",
    )


def test_while_the_first_one_is_in_flight_the_outcome_is_unknown(
    sandbox: SandboxClient, hurried: None
) -> None:
    fault(sandbox, "slow", seconds=2, count=1)
    assert failure().code == "no_answer"

    error = failure()

    assert (error.outcome, error.http_status) == (Outcome.UNKNOWN, 409)
    assert error.code == "concurrent_idempotent_requests"
    assert error.retry_after == client.IN_FLIGHT_SECONDS
    assert len(sent(sandbox)) == 1


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "code", "effects"),
    [
        ("hang", {}, Outcome.UNKNOWN, "no_answer", 0),
        ("accept_then_hang", {}, Outcome.UNKNOWN, "no_answer", 1),
        ("slow", {"seconds": 2}, Outcome.UNKNOWN, "no_answer", 1),
        ("reset_after_effect", {}, Outcome.UNKNOWN, "no_answer", 1),
        ("malformed", {}, Outcome.UNKNOWN, "application_error", 1),
        ("5xx", {"status": 500}, Outcome.UNKNOWN, "application_error", 0),
        ("5xx", {"status": 503}, Outcome.UNKNOWN, "application_error", 0),
        ("stored_500", {}, Outcome.UNKNOWN, "application_error", 0),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED, "rate_limit_exceeded", 0),
        ("4xx", {"status": 400}, Outcome.REFUSED, "validation_error", 0),
        ("4xx", {"status": 422}, Outcome.REFUSED, "validation_error", 0),
        ("4xx", {"status": 451}, Outcome.REFUSED, "security_error", 0),
        ("4xx", {"status": 401}, Outcome.CONFIGURATION, "missing_api_key", 0),
        ("4xx", {"status": 403}, Outcome.CONFIGURATION, "invalid_api_key", 0),
        ("4xx", {"status": 404}, Outcome.CONFIGURATION, "not_found", 0),
        ("4xx", {"status": 408}, Outcome.UNKNOWN, "application_error", 0),
    ],
)
def test_failures_are_told_apart(
    sandbox: SandboxClient,
    hurried: None,
    kind: str,
    options: dict[str, int],
    outcome: Outcome,
    code: str,
    effects: int,
) -> None:
    fault(sandbox, kind, **options)

    error = failure()

    assert (error.outcome, error.code) == (outcome, code)
    assert len(sent(sandbox)) == effects


def test_the_time_to_wait_is_read(sandbox: SandboxClient) -> None:
    fault(sandbox, "4xx", status=429)

    assert failure().retry_after == 1


@pytest.mark.parametrize(
    "script",
    [
        answer("200 OK", body=b"{}"),
        answer("200 OK", body=b'{"id": 7}'),
        answer("200 OK", body=b"null"),
        answer("200 OK", body=b"[]"),
        answer("200 OK", body=b"[" * 100_000),
        answer("200 OK", body=b"<html>", kind="text/html"),
        answer("200 OK", body=b"x" * 100_000),
        answer("502 Bad Gateway", body=b"<html>", kind="text/html"),
        answer("307 Temporary", "Location: http://127.0.0.1:1/"),
        lambda connection: connection.sendall(b"hello\r\n\r\n"),
    ],
)
def test_answers_that_say_nothing_are_unknown(
    settings: Any, odd_server: Start, script: Script
) -> None:
    settings.RESEND_API_URL = odd_server(script).url

    assert failure().outcome is Outcome.UNKNOWN


def test_an_answer_that_drips_ends_after_ten_seconds(
    settings: Any, odd_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TOTAL_SECONDS", 1)

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    settings.RESEND_API_URL = odd_server(drip).url
    began = time.monotonic()

    assert failure().outcome is Outcome.UNKNOWN
    assert time.monotonic() - began < 2


def test_the_time_outs_are_three_and_ten_seconds() -> None:
    assert (client.TIMEOUT.connect_timeout, client.TIMEOUT.total) == (3, 10)


@pytest.mark.parametrize("place", ["127.0.0.1", "nowhere.invalid"])
def test_what_was_not_reached_was_not_executed(settings: Any, place: str) -> None:
    settings.RESEND_API_URL = f"http://{place}:{free_port()}"

    error = failure()

    assert (error.outcome, error.code) == (Outcome.NOT_EXECUTED, "not_reached")


@pytest.mark.parametrize("name", ["RESEND_API_KEY", "EMAIL_FROM"])
def test_without_its_settings_nothing_is_called(
    sandbox: SandboxClient, settings: Any, name: str
) -> None:
    setattr(settings, name, "")

    error = failure()

    assert (error.outcome, error.code) == (Outcome.CONFIGURATION, "not_configured")
    assert sandbox.calls() == []


def test_nothing_of_the_mail_or_the_answer_is_in_the_error(
    settings: Any, odd_server: Start
) -> None:
    body = b'{"statusCode": 422, "name": "odd name!", "message": "alice@example.com"}'
    settings.RESEND_API_URL = odd_server(answer("422 secret", body=body)).url

    error = failure()

    assert str(error) == "resend: refused (unrecognised, HTTP 422)"
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_after_five_failures_it_is_left_alone(sandbox: SandboxClient) -> None:
    fault(sandbox, "5xx", count=5)
    for _ in range(5):
        assert failure().was_tried

    error = failure()

    assert (error.code, error.was_tried) == ("breaker_open", False)
    assert len(sandbox.calls()) == 5


def test_what_it_refuses_does_not_stop_other_mails(sandbox: SandboxClient) -> None:
    for _ in range(6):
        assert failure(to="nobody").outcome is Outcome.REFUSED

    assert send_email(**MAIL)


def test_if_the_sdk_itself_breaks_the_outcome_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("alice@example.com")

    monkeypatch.setattr(sdk.Emails, "send", broken)

    error = failure()

    assert (error.outcome, error.code) == (Outcome.UNKNOWN, "sdk_error")
    assert "alice" not in str(error)
