"""Pushing to a device: an id, or an error of a known kind in time, after one call."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slotbase.devstack.google import make_service_account
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.fcm import client, transport
from slotbase.providers.fcm.client import Push, send_push
from slotbase.providers.fcm.outcomes import TOKEN_IS_DEAD
from tests.providers.conftest import OddServer, Script
from tests.providers.test_resend import answer
from tests.sandbox.client import SandboxClient, free_port

Start = Callable[[Script], OddServer]
DEFAULTS: dict[str, Any] = {
    "token": "a-phone",
    "title": "Booked: Court 1",
    "body": "Tomorrow, 10:00",
    "data": {"kind": "booking_confirmed", "subject_id": "1"},
    "collapse_key": "c1",
    "ttl": timedelta(hours=1),
    "expires_at": datetime(2030, 1, 1, tzinfo=UTC),
}


@pytest.fixture(autouse=True)
def _a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, sandbox: SandboxClient
) -> Iterator[None]:
    monkeypatch.setattr(client, "breaker", Breaker("fcm"))
    transport.hang_up()
    yield
    transport.hang_up()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for ten seconds."""
    monkeypatch.setattr(transport, "TIMEOUT", 0.5)
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 0.5)


def push(**changes: Any) -> str:
    return send_push(Push(**{**DEFAULTS, **changes}))


def failure(**changes: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        push(**changes)
    return caught.value


def told(error: ProviderError) -> tuple[Outcome, str]:
    return error.outcome, error.code


def fault(sandbox: SandboxClient, kind: str, **options: Any) -> None:
    operation = options.pop("operation", "messages.send")
    sandbox.fault(kind, operation, provider="fcm", **options)


def trouble(sandbox: SandboxClient, error: str, **more: Any) -> None:
    wish = {"token": "a-phone", "error": error, **more}
    assert sandbox.post("/_sandbox/fcm/tokens", wish).status_code == 201


def sent(sandbox: SandboxClient) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def calls(sandbox: SandboxClient, operation: str = "messages.send") -> int:
    return [call["operation"] for call in sandbox.calls()].count(operation)


def test_a_push_arrives_as_it_is(sandbox: SandboxClient) -> None:
    name = push()

    (effect,) = sent(sandbox)
    assert effect == {
        "name": name,
        "token": "a-phone",
        "title": "Booked: Court 1",
        "body": "Tomorrow, 10:00",
        "data": {"kind": "booking_confirmed", "subject_id": "1"},
        "collapse_key": "c1",
        "ttl": "3600s",
        "apns": {"apns-collapse-id": "c1", "apns-expiration": "1893456000"},
        "webpush": {"headers": {"TTL": "3600"}, "notification": {"tag": "c1"}},
    }


def test_an_installation_id_is_another_kind_of_target(sandbox: SandboxClient) -> None:
    push(is_fid=True)

    (effect,) = sent(sandbox)
    assert effect["fid"] == "a-phone"


def test_one_access_token_serves_many_pushes(sandbox: SandboxClient) -> None:
    for _ in range(3):
        push()

    assert (calls(sandbox), calls(sandbox, "oauth.token")) == (3, 1)


@pytest.mark.parametrize(
    ("error", "more", "outcome", "code"),
    [
        ("UNREGISTERED", {}, Outcome.REFUSED, "UNREGISTERED"),
        ("SENDER_ID_MISMATCH", {}, Outcome.REFUSED, "SENDER_ID_MISMATCH"),
        ("INVALID_ARGUMENT", {}, Outcome.REFUSED, "INVALID_ARGUMENT"),
        (
            "INVALID_ARGUMENT",
            {"field": "message.token"},
            Outcome.REFUSED,
            "INVALID_TOKEN",
        ),
        (
            "INVALID_ARGUMENT",
            {"field": "message.fid"},
            Outcome.REFUSED,
            "INVALID_TOKEN",
        ),
        (
            "INVALID_ARGUMENT",
            {"field": "message.data[kind]"},
            Outcome.REFUSED,
            "INVALID_ARGUMENT",
        ),
        ("QUOTA_EXCEEDED", {}, Outcome.NOT_EXECUTED, "QUOTA_EXCEEDED"),
        ("UNAVAILABLE", {}, Outcome.NOT_EXECUTED, "UNAVAILABLE"),
        ("INTERNAL", {}, Outcome.NOT_EXECUTED, "INTERNAL"),
        ("THIRD_PARTY_AUTH_ERROR", {}, Outcome.NOT_EXECUTED, "THIRD_PARTY_AUTH_ERROR"),
    ],
)
def test_each_error_of_a_device_is_known_after_one_call(
    sandbox: SandboxClient,
    error: str,
    more: dict[str, Any],
    outcome: Outcome,
    code: str,
) -> None:
    trouble(sandbox, error, **more)

    assert told(failure()) == (outcome, code)
    assert calls(sandbox) == 1
    is_gone = error in {"UNREGISTERED", "SENDER_ID_MISMATCH"} or code == "INVALID_TOKEN"
    assert (code in TOKEN_IS_DEAD) == is_gone


@pytest.mark.parametrize("error", ["QUOTA_EXCEEDED", "UNAVAILABLE"])
def test_when_to_come_back_is_told_and_not_slept(
    sandbox: SandboxClient, error: str
) -> None:
    trouble(sandbox, error, retry_after=30)
    before = time.monotonic()

    assert failure().retry_after == 30
    assert time.monotonic() - before < 10
    assert calls(sandbox) == 1


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "arrived"),
    [
        ("5xx", {"status": 503}, Outcome.NOT_EXECUTED, 0),
        ("4xx", {"status": 403}, Outcome.CONFIGURATION, 0),
        ("4xx", {"status": 404}, Outcome.CONFIGURATION, 0),
        ("reset_after_effect", {}, Outcome.UNKNOWN, 1),
        ("malformed", {}, Outcome.UNKNOWN, 1),
    ],
)
def test_each_fault_is_known_after_one_call(
    sandbox: SandboxClient,
    kind: str,
    options: dict[str, Any],
    outcome: Outcome,
    arrived: int,
) -> None:
    fault(sandbox, kind, **options)

    assert failure().outcome == outcome
    assert (calls(sandbox), len(sent(sandbox))) == (1, arrived)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("kind", "arrived"), [("hang", 0), ("accept_then_hang", 1)])
def test_no_answer_is_unknown_and_the_push_went_out_once_at_most(
    sandbox: SandboxClient, kind: str, arrived: int
) -> None:
    push()
    fault(sandbox, kind)

    assert told(failure()) == (Outcome.UNKNOWN, "no_answer")
    assert (calls(sandbox), len(sent(sandbox))) == (2, 1 + arrived)


def test_nobody_listening_is_not_executed(settings: Any) -> None:
    push()
    settings.FCM_API_URL = f"http://127.0.0.1:{free_port()}"
    line = transport.line()
    line._credential = _signed_in()

    assert told(failure()) == (Outcome.NOT_EXECUTED, "not_reached")


def _signed_in() -> Any:
    """A credential with an access token."""

    class Valid:
        valid = True

    return Valid()


# --- Signing in -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "code"),
    [
        ("4xx", {"status": 400}, Outcome.CONFIGURATION, "auth_refused"),
        ("4xx", {"status": 401}, Outcome.CONFIGURATION, "auth_refused"),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED, "auth_unavailable"),
        ("5xx", {"status": 503}, Outcome.NOT_EXECUTED, "auth_unavailable"),
        ("reset_after_effect", {}, Outcome.NOT_EXECUTED, "auth_not_reached"),
        ("malformed", {}, None, None),
    ],
)
def test_whoever_is_not_let_in_has_sent_nothing(
    sandbox: SandboxClient, kind: str, options: Any, outcome: Any, code: Any
) -> None:
    fault(sandbox, kind, operation="oauth.token", **options)
    before = time.monotonic()

    error = failure()

    assert time.monotonic() - before < 10
    assert (calls(sandbox, "oauth.token"), calls(sandbox)) == (1, 0)
    assert error.outcome in {Outcome.CONFIGURATION, Outcome.NOT_EXECUTED}
    assert outcome is None or told(error) == (outcome, code)


@pytest.mark.usefixtures("hurried")
def test_a_sign_in_that_hangs_has_sent_nothing(sandbox: SandboxClient) -> None:
    fault(sandbox, "hang", operation="oauth.token")

    assert told(failure()) == (Outcome.NOT_EXECUTED, "auth_not_reached")
    assert calls(sandbox) == 0


def test_an_access_token_that_is_not_taken_is_replaced(sandbox: SandboxClient) -> None:
    push()
    fault(sandbox, "4xx", status=401, count=1)

    assert told(failure()) == (Outcome.CONFIGURATION, "UNAUTHENTICATED")
    push()

    assert calls(sandbox, "oauth.token") == 2


@pytest.mark.parametrize("given", ["{", "[]", "{}", '{"type": "service_account"}'])
def test_credentials_that_are_none_are_a_matter_of_configuration(
    settings: Any, given: str
) -> None:
    settings.FCM_CREDENTIALS = given

    assert told(failure()) == (Outcome.CONFIGURATION, "bad_credentials")


def test_without_credentials_nothing_is_called(
    sandbox: SandboxClient, settings: Any
) -> None:
    settings.FCM_CREDENTIALS = ""

    assert told(failure()) == (Outcome.CONFIGURATION, "not_configured")
    assert sandbox.calls() == []


def test_a_new_account_has_a_line_of_its_own(
    sandbox: SandboxClient, settings: Any
) -> None:
    push()
    account = json.loads(make_service_account(f"{os.environ['FCM_API_URL']}/token"))
    settings.FCM_CREDENTIALS = json.dumps({**account, "project_id": "another"})

    assert push().startswith("projects/another/")


# --- What is wrong with us ----------------------------------------------------------


def test_a_message_with_a_bug_is_refused_before_it_is_sent(
    sandbox: SandboxClient,
) -> None:
    error = failure(data={"number": 1})

    assert told(error) == (Outcome.REFUSED, "INVALID_ARGUMENT")
    assert error.code not in TOKEN_IS_DEAD
    assert sandbox.calls() == []


def test_a_message_that_is_too_large_is_a_bug_as_well(sandbox: SandboxClient) -> None:
    assert told(failure(body="x" * 5000)) == (Outcome.REFUSED, "INVALID_ARGUMENT")
    assert sent(sandbox) == []


def test_odd_answers_are_unknown_or_ours(odd_server: Start, settings: Any) -> None:
    expected = {
        answer("502 Bad Gateway", body=b"<html>"): Outcome.UNKNOWN,
        answer("200 OK", body=b"{}"): Outcome.UNKNOWN,
        answer("200 OK", body=b'{"name": 1}'): Outcome.UNKNOWN,
        answer("400 Bad Request", body=b'{"error": "x"}'): Outcome.UNKNOWN,
        answer("400 Bad Request", body=b"[]"): Outcome.REFUSED,
        answer("302 Found", "Location: http://x.example/"): Outcome.CONFIGURATION,
        answer("200 OK", body=b'"' + b"x" * 70_000 + b'"'): Outcome.UNKNOWN,
    }
    for script, outcome in expected.items():
        settings.FCM_API_URL = odd_server(script).url
        error = failure()
        assert error.outcome == outcome
        assert error.code not in TOKEN_IS_DEAD


@pytest.mark.usefixtures("hurried")
def test_an_answer_that_drips_ends_in_time(odd_server: Start, settings: Any) -> None:
    def drip(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    settings.FCM_API_URL = odd_server(drip).url
    before = time.monotonic()

    assert told(failure()) == (Outcome.UNKNOWN, "no_answer")
    assert time.monotonic() - before < 5


def test_no_error_says_what_fcm_wrote_or_where_it_went(sandbox: SandboxClient) -> None:
    trouble(sandbox, "INVALID_ARGUMENT", field="message.token")
    error = failure(title="Canary-Title")

    said = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert error.__suppress_context__
    assert "a-phone" not in str(error)
    assert "Canary" not in f"{error} {error.__cause__}"
    assert "a-phone" not in repr(Push(**DEFAULTS))
    assert said


def test_the_breaker_keeps_calls_off(sandbox: SandboxClient) -> None:
    fault(sandbox, "5xx", status=503, count=5)
    for _ in range(5):
        failure()

    error = failure()

    assert (error.code, error.was_tried) == ("breaker_open", False)
    assert calls(sandbox) == 5


@pytest.mark.parametrize("error", ["UNREGISTERED", "THIRD_PARTY_AUTH_ERROR"])
def test_a_device_that_is_not_reached_says_nothing_of_fcm(
    sandbox: SandboxClient, error: str
) -> None:
    trouble(sandbox, error)
    for _ in range(6):
        failure()

    assert client.breaker.state == "closed"
