"""F88: whatever OpenAI does, there is an answer of our form, or a code, in time."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest
import requests
from django.conf import settings as settings_of_django

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.openai import client, wire
from slotbase.providers.openai.client import Answer, enhance
from tests.providers.conftest import OddServer, Script
from tests.sandbox.client import SandboxClient, free_port

Start = Callable[[Script], OddServer]
WISH = {
    "instructions": "Write feedback.\ns1: Backhand\ns2: Serve\nd7: Wall rally",
    "notes": "good backhand today\nmore wall rally",
    "skills": ["s1", "s2"],
    "drills": ["d7"],
}
TOLD = {"text": "Well done.", "skills": ["s1"], "drills": []}
CALL = "chat.completions"


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("openai"))


@pytest.fixture(autouse=True)
def _to_the_sandbox(sandbox: SandboxClient) -> None:
    pass


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for half a minute."""
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.5)


def fault(sandbox: SandboxClient, kind: str, **options: Any) -> None:
    sandbox.fault(kind, CALL, provider="openai", **options)


def behave(sandbox: SandboxClient, mode: str, **options: Any) -> None:
    answer = sandbox.post("/_sandbox/openai/mode", {"mode": mode, **options})
    assert answer.status_code == 201, answer.text


def failure(**changes: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        enhance(**{**WISH, **changes})
    return caught.value


def http(status: str, *headers: str, body: bytes = b"") -> Script:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        *headers,
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    return lambda connection: connection.sendall(head + body)


def completion(content: Any, **over: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"choices": [choice], "usage": {"total_tokens": 42}, **over}


def say(settings: Any, odd_server: Start, told: Any) -> None:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    settings.OPENAI_BASE_URL = odd_server(http("200 OK", body=body)).url


# --- What is sent, and what comes back --------------------------------------------


def test_notes_become_a_text_and_codes_of_the_catalogue(sandbox: SandboxClient) -> None:
    answer = enhance(**WISH)

    (call,) = sandbox.effects()
    assert answer.text == "Thank you for today. Good backhand today. More wall rally."
    assert (answer.skills, answer.drills) == (("s1",), ("d7",))
    assert answer.tokens == call["effect"]["total_tokens"] > 0


def test_what_is_sent_is_a_completion_in_our_form_and_no_more(
    sandbox: SandboxClient,
) -> None:
    enhance(**WISH)

    (call,) = sandbox.effects()
    sent = call["effect"]["request"]
    assert sent.keys() == {
        *("model", "messages", "response_format", "max_completion_tokens", "store"),
    }
    assert [each["role"] for each in sent["messages"]] == ["system", "user"]
    assert [each["content"] for each in sent["messages"]] == [
        *(WISH["instructions"], WISH["notes"]),
    ]
    assert (sent["max_completion_tokens"], sent["store"]) == (1200, False)
    form = sent["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["properties"]["skills"]["items"]["enum"] == ["s1", "s2"]


def test_nothing_is_told_of_this_computer_or_of_other_settings(
    settings: Any, odd_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK would tell the operating system, Python and an organisation."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-other")
    body = json.dumps(completion(json.dumps(TOLD))).encode()
    server = odd_server(http("200 OK", body=body))
    settings.OPENAI_BASE_URL = server.url

    enhance(**WISH)

    head = server.request.partition(b"\r\n\r\n")[0].decode().lower()
    names = {line.partition(":")[0] for line in head.splitlines()[1:]}
    assert names <= {
        *("host", "user-agent", "accept-encoding", "accept", "connection"),
        *("authorization", "content-type", "content-length"),
    }
    assert "python-requests" in head
    assert "org-other" not in head


@pytest.mark.parametrize("kind", ["skills", "drills"])
def test_a_venue_without_a_catalogue_gets_its_text(kind: str) -> None:
    answer = enhance(**{**WISH, kind: []})

    assert answer.text
    assert getattr(answer, kind) == ()


def test_the_answer_is_not_printed() -> None:
    assert repr(Answer("She is ill", (), (), 1)) == "Answer"


# --- Each failure has its outcome and a code of ours -------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "code"),
    [
        ("hang", {}, Outcome.UNKNOWN, "timeout"),
        ("accept_then_hang", {}, Outcome.UNKNOWN, "timeout"),
        ("slow", {"seconds": 2}, Outcome.UNKNOWN, "timeout"),
        ("reset_after_effect", {}, Outcome.UNKNOWN, "unavailable"),
        ("malformed", {}, Outcome.REFUSED, "invalid_output"),
        ("5xx", {"status": 500}, Outcome.UNKNOWN, "unavailable"),
        ("5xx", {"status": 503}, Outcome.UNKNOWN, "unavailable"),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED, "rate_limited"),
        ("4xx", {"status": 400}, Outcome.REFUSED, "rejected"),
        ("4xx", {"status": 404}, Outcome.CONFIGURATION, "no_such_model"),
        ("4xx", {"status": 422}, Outcome.REFUSED, "rejected"),
        ("4xx", {"status": 401}, Outcome.CONFIGURATION, "unauthorized"),
        ("4xx", {"status": 403}, Outcome.CONFIGURATION, "unauthorized"),
        ("4xx", {"status": 408}, Outcome.UNKNOWN, "timeout"),
        ("4xx", {"status": 409}, Outcome.UNKNOWN, "unavailable"),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_failures_are_told_apart(
    sandbox: SandboxClient,
    kind: str,
    options: dict[str, int],
    outcome: Outcome,
    code: str,
) -> None:
    fault(sandbox, kind, **options)

    error = failure()

    assert (error.outcome, error.code, error.provider) == (outcome, code, "openai")


@pytest.mark.parametrize(
    ("mode", "outcome", "code"),
    [
        ("refusal", Outcome.REFUSED, "refused"),
        ("content_filter", Outcome.REFUSED, "refused"),
        ("length", Outcome.REFUSED, "truncated"),
        ("junk", Outcome.REFUSED, "invalid_output"),
        ("half_json", Outcome.REFUSED, "invalid_output"),
        ("wrong_schema", Outcome.REFUSED, "invalid_output"),
        ("unknown_codes", Outcome.REFUSED, "invalid_output"),
        ("flood", Outcome.REFUSED, "invalid_output"),
        ("rate_limit", Outcome.NOT_EXECUTED, "rate_limited"),
        ("insufficient_quota", Outcome.CONFIGURATION, "insufficient_quota"),
    ],
)
def test_what_the_model_may_do_is_told_apart(
    sandbox: SandboxClient, mode: str, outcome: Outcome, code: str
) -> None:
    behave(sandbox, mode)

    error = failure()

    assert (error.outcome, error.code) == (outcome, code)
    assert len(sandbox.calls()) == 1  # the SDK does not try again by itself


def test_the_time_to_wait_is_read(sandbox: SandboxClient) -> None:
    behave(sandbox, "rate_limit", retry_after=77)

    assert failure().retry_after == 77


@pytest.mark.parametrize("place", ["127.0.0.1", "nowhere.invalid"])
def test_what_was_not_reached_was_not_executed(settings: Any, place: str) -> None:
    settings.OPENAI_BASE_URL = f"http://{place}:{free_port()}/v1"

    error = failure()

    assert (error.outcome, error.code) == (Outcome.NOT_EXECUTED, "unavailable")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_MODEL"])
def test_without_its_settings_nothing_is_called(
    sandbox: SandboxClient, settings: Any, name: str
) -> None:
    setattr(settings, name, "")

    error = failure()

    assert (error.outcome, error.code) == (Outcome.CONFIGURATION, "not_configured")
    assert sandbox.calls() == []


def test_an_address_that_is_none_is_a_matter_of_settings(settings: Any) -> None:
    settings.OPENAI_BASE_URL = "api.openai.com/v1"

    assert failure().outcome is Outcome.CONFIGURATION


# --- Only our form is an answer ----------------------------------------------------


def test_the_smallest_answer_of_our_form_is_one(
    settings: Any, odd_server: Start
) -> None:
    """The positive control of all that is refused below."""
    say(settings, odd_server, completion(json.dumps(TOLD)))

    assert enhance(**WISH) == Answer("Well done.", ("s1",), (), 42)


FORMS: dict[str, Any] = {
    "another key": {**TOLD, "actions": ["refund"]},
    "a key less": {"text": "x", "skills": []},
    "no text": {**TOLD, "text": None},
    "an empty text": {**TOLD, "text": " \n"},
    "a long text": {**TOLD, "text": "x" * 4001},
    "a text in pieces": {**TOLD, "text": ["x"]},
    "codes as a text": {**TOLD, "skills": "s1"},
    "codes as an object": {**TOLD, "skills": {"s1": 1}},
    "an unknown code": {**TOLD, "skills": ["s3"]},
    "a drill as a skill": {**TOLD, "skills": ["d7"]},
    "a number as a code": {**TOLD, "skills": [1]},
    "a list as a code": {**TOLD, "skills": [["s1"]]},
    "too many codes": {**TOLD, "skills": ["s1"] * 11},
    "a list": [TOLD],
    "nothing": None,
}


@pytest.mark.parametrize("told", FORMS.values(), ids=FORMS)
def test_another_form_is_no_answer(settings: Any, odd_server: Start, told: Any) -> None:
    say(settings, odd_server, completion(json.dumps(told)))

    assert failure().code == "invalid_output"


GOOD = json.dumps(TOLD)
CALLED = {"role": "assistant", "content": GOOD, "tool_calls": [{"id": "1"}]}
ENVELOPES: dict[str, Any] = {
    "half a character": completion(GOOD.replace("Well", "\\ud800")),
    "an endless depth": completion("[" * 100_000),
    "an endless number": completion('{"text": ' + "9" * 5000 + "}"),
    "no text": completion(None),
    "parts": completion([{"type": "text", "text": GOOD}]),
    "no choice": completion(GOOD, choices=[]),
    "two choices": completion(GOOD, choices=completion(GOOD)["choices"] * 2),
    "a tool was called": completion(
        GOOD, choices=[{"finish_reason": "stop", "message": CALLED}]
    ),
    "it stopped for a tool": completion(
        GOOD, choices=[{"finish_reason": "tool_calls", "message": CALLED}]
    ),
    "no usage": completion(GOOD, usage=None),
    "usage below zero": completion(GOOD, usage={"total_tokens": -1}),
    "usage beyond belief": completion(GOOD, usage={"total_tokens": 10**30}),
    "usage that is true": completion(GOOD, usage={"total_tokens": True}),
    "a list": [],
    "a text": "hello",
    "no JSON": b"<html>",
    "no UTF-8": b'{"choices": "\xff"}',
    "nothing": b"",
    "much": b"x" * 300_000,
}


@pytest.mark.parametrize("told", ENVELOPES.values(), ids=ENVELOPES)
def test_another_envelope_is_no_answer(
    settings: Any, odd_server: Start, told: Any
) -> None:
    say(settings, odd_server, told)

    error = failure()

    assert (error.outcome, error.code) == (Outcome.REFUSED, "invalid_output")


@pytest.mark.parametrize(
    "script",
    [
        http("302 Found", "Location: http://127.0.0.1:1/"),
        http("307 Temporary", "Location: http://127.0.0.1:1/"),
        http("502 Bad Gateway", body=b"<html>"),
        lambda connection: connection.sendall(b"hello\r\n\r\n"),
        lambda connection: connection.close(),
    ],
    ids=["302", "307", "502", "no HTTP", "closed"],
)
def test_answers_that_say_nothing_are_unknown(
    settings: Any, odd_server: Start, script: Script
) -> None:
    settings.OPENAI_BASE_URL = odd_server(script).url

    error = failure()

    assert (error.outcome, error.code) == (Outcome.UNKNOWN, "unavailable")


def test_a_redirect_is_not_followed(
    sandbox: SandboxClient, settings: Any, odd_server: Start
) -> None:
    """S10: what it leads to would have answered."""
    place = f"{os.environ['SANDBOX_URL']}/openai/v1/chat/completions"
    settings.OPENAI_BASE_URL = odd_server(http("307 T", f"Location: {place}")).url

    assert failure().code == "unavailable"
    assert sandbox.calls() == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """S10: whoever asks for no sessions of ours goes there."""
    with monkeypatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv(variable, f"http://127.0.0.1:{free_port()}")

        assert enhance(**WISH).text
        with pytest.raises(requests.exceptions.ProxyError):
            requests.get(os.environ["SANDBOX_URL"], timeout=5)


def test_a_proxy_of_the_settings_is_used(settings: Any, odd_server: Start) -> None:
    body = json.dumps(completion(json.dumps(TOLD))).encode()
    proxy = odd_server(http("200 OK", body=body))
    settings.PROVIDER_PROXY_URL = proxy.url
    settings.OPENAI_BASE_URL = "http://nowhere.invalid/v1"

    assert enhance(**WISH).tokens == 42
    assert proxy.request.startswith(b"POST http://nowhere.invalid/v1/chat/completions ")


# --- In time -----------------------------------------------------------------------


def drip(*, head: bytes, ended: threading.Event) -> Script:
    """A byte now and then, each within the patience for one."""

    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while not ended.wait(0.1):
            connection.sendall(b" ")

    return script


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A:"],
    ids=["in the body", "in the head"],
)
@pytest.mark.usefixtures("hurried")
def test_an_answer_that_drips_ends_in_time(
    settings: Any, odd_server: Start, head: bytes
) -> None:
    ended = threading.Event()
    settings.OPENAI_BASE_URL = odd_server(drip(head=head, ended=ended)).url
    began = time.monotonic()

    error = failure()

    took = time.monotonic() - began
    ended.set()
    assert (error.outcome, error.code) == (Outcome.UNKNOWN, "timeout")
    assert took < 3


def test_there_are_thirty_seconds_in_all() -> None:
    assert (wire.CONNECT_SECONDS, wire.TOTAL_SECONDS) == (3, 30)


def test_who_only_knows_the_client_does_not_load_the_sdk() -> None:
    """It takes a second or more, and each web process would wait for it."""
    program = (
        "import sys, slotbase.providers.openai.client; print('openai' in sys.modules);"
        "import slotbase.providers.openai.wire; print('openai' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "True"]


# --- Nothing of it is told ---------------------------------------------------------


def test_nothing_of_the_notes_or_the_answer_is_in_the_error(
    settings: Any, odd_server: Start
) -> None:
    told = {"message": "alice is ill", "type": "odd", "code": "alice", "param": None}
    body = json.dumps({"error": told}).encode()
    settings.OPENAI_BASE_URL = odd_server(http("429 secret", body=body)).url

    error = failure()

    assert str(error) == "openai: not executed (rate_limited, HTTP 429)"
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_nothing_of_an_answer_of_another_form_is_in_the_error(
    sandbox: SandboxClient,
) -> None:
    behave(sandbox, "junk")

    error = failure()

    assert str(error) == "openai: refused (invalid_output)"
    assert error.__suppress_context__


def test_the_notes_are_not_logged_however_much_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="openai")

    enhance(**WISH)

    assert "Sending HTTP Request" in caplog.text
    assert "backhand" not in caplog.text.lower()
    assert settings_of_django.OPENAI_API_KEY not in caplog.text


def test_if_the_sdk_itself_breaks_the_outcome_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(**_: Any) -> None:
        raise KeyError("alice is ill")

    monkeypatch.setattr(sdk, "OpenAI", broken)

    error = failure()

    assert (error.outcome, error.code) == (Outcome.UNKNOWN, "unavailable")
    assert "alice" not in str(error)


# --- The breaker -------------------------------------------------------------------


def test_after_five_failures_it_is_left_alone(sandbox: SandboxClient) -> None:
    fault(sandbox, "5xx", count=5)
    for _ in range(5):
        assert failure().was_tried

    error = failure()

    assert (error.code, error.was_tried) == ("breaker_open", False)
    assert len(sandbox.calls()) == 5
    with pytest.raises(ProviderError, match="breaker_open"):
        client.require_ready()


def test_what_the_model_refuses_does_not_stop_other_notes(
    sandbox: SandboxClient,
) -> None:
    behave(sandbox, "refusal", count=6)
    for _ in range(6):
        assert failure().outcome is Outcome.REFUSED

    assert enhance(**WISH).text
