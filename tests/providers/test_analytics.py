"""Posting events: done, or an error of a known kind within two seconds."""

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slotbase.providers.analytics import client
from slotbase.providers.analytics.client import post_event
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from tests.providers.conftest import OddServer, Script
from tests.sandbox.client import SandboxClient, free_port

Start = Callable[[Script], OddServer]
EVENT = {
    "id": "0192f0c1-0000-7000-8000-000000000001",
    "type": "booking.confirmed",
    "subject_type": "booking",
    "subject_id": "7",
    "at": "2026-01-01T12:00:00Z",
    "data": {"venue": 1},
}


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("analytics"))


@pytest.fixture(autouse=True)
def _to_the_sandbox(sandbox: SandboxClient, settings: Any) -> None:
    settings.ANALYTICS_URL = f"{sandbox.url}/analytics/events"


def fault(sandbox: SandboxClient, kind: str, **options: Any) -> None:
    sandbox.fault(kind, "event", provider="analytics", **options)


def failure(event: dict[str, Any] = EVENT) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        post_event(event)
    return caught.value


def taken(sandbox: SandboxClient) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def answer(status: str, *headers: str, body: bytes = b"") -> Script:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


def test_an_event_arrives_as_it_is(sandbox: SandboxClient) -> None:
    post_event(EVENT)

    assert taken(sandbox) == [EVENT]


def test_sending_again_is_done_and_changes_nothing(sandbox: SandboxClient) -> None:
    post_event(EVENT)
    post_event(EVENT)

    assert len(sandbox.calls()) == 2
    assert taken(sandbox) == [EVENT]


@pytest.mark.parametrize(
    ("kind", "options", "outcome", "effects"),
    [
        ("hang", {}, Outcome.UNKNOWN, 0),
        ("accept_then_hang", {}, Outcome.UNKNOWN, 1),
        ("reset_after_effect", {}, Outcome.UNKNOWN, 1),
        ("slow", {"seconds": 3}, Outcome.UNKNOWN, 1),
        ("5xx", {"status": 500}, Outcome.NOT_EXECUTED, 0),
        ("5xx", {"status": 503}, Outcome.NOT_EXECUTED, 0),
        ("stored_500", {"status": 500}, Outcome.NOT_EXECUTED, 0),
        ("4xx", {"status": 429}, Outcome.NOT_EXECUTED, 0),
        ("4xx", {"status": 401}, Outcome.CONFIGURATION, 0),
        ("4xx", {"status": 403}, Outcome.CONFIGURATION, 0),
        ("4xx", {"status": 400}, Outcome.REFUSED, 0),
        ("4xx", {"status": 404}, Outcome.REFUSED, 0),
    ],
)
def test_failures_are_told_apart_within_two_seconds(
    sandbox: SandboxClient,
    kind: str,
    options: dict[str, int],
    outcome: Outcome,
    effects: int,
) -> None:
    if kind == "stored_500":
        fault(sandbox, kind)
    else:
        fault(sandbox, kind, **options)
    began = time.monotonic()

    error = failure()

    assert (error.outcome, error.http_status) == (outcome, options.get("status"))
    assert time.monotonic() - began < 2.5
    assert len(taken(sandbox)) == effects


@pytest.mark.parametrize("kind", ["malformed", "slow"])
def test_a_2xx_is_done_whatever_it_says(sandbox: SandboxClient, kind: str) -> None:
    fault(sandbox, kind, count=1)

    post_event(EVENT)

    assert taken(sandbox) == [EVENT]


@pytest.mark.parametrize(
    "script",
    [
        answer("204 No Content"),
        answer("202 Accepted", body=b"x" * 100_000),
        answer("200 OK", "Content-Encoding: gzip", body=gzip.compress(b"x" * 10**7)),
        answer("200 OK", "Content-Encoding: gzip", body=b"no gzip"),
        lambda connection: connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
        ),
        lambda connection: connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n"
        ),
    ],
)
def test_the_body_of_a_2xx_does_not_matter(
    settings: Any, odd_server: Start, script: Script
) -> None:
    settings.ANALYTICS_URL = odd_server(script).url

    post_event(EVENT)


def test_a_2xx_that_drips_is_done_after_two_seconds(
    settings: Any, odd_server: Start
) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    settings.ANALYTICS_URL = odd_server(drip).url
    began = time.monotonic()

    post_event(EVENT)

    assert time.monotonic() - began < 2.5


def test_a_refused_connection_is_not_executed(settings: Any) -> None:
    settings.ANALYTICS_URL = f"http://127.0.0.1:{free_port()}/events"

    error = failure()

    assert (error.outcome, error.code) == (Outcome.NOT_EXECUTED, "not_reached")


def test_a_name_that_is_not_found_is_not_executed(settings: Any) -> None:
    settings.ANALYTICS_URL = "http://nowhere.invalid/events"

    assert failure().outcome is Outcome.NOT_EXECUTED


def test_a_connection_that_is_never_made_is_not_executed(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        settings.ANALYTICS_URL = f"http://127.0.0.1:{full.getsockname()[1]}/events"
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        began = time.monotonic()

        error = failure()

        for each in waiting:
            each.close()
    assert (error.outcome, error.code) == (Outcome.NOT_EXECUTED, "not_reached")
    assert time.monotonic() - began < 1.5


def test_words_that_are_no_http_are_unknown(settings: Any, odd_server: Start) -> None:
    script: Script = lambda connection: connection.sendall(b"hello\r\n\r\n")  # noqa: E731
    settings.ANALYTICS_URL = odd_server(script).url

    assert failure().outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "address", ["", "nowhere", "ftp://a/b", "http://", "http://[/"]
)
def test_an_address_that_cannot_be_used_is_configuration(
    settings: Any, address: str
) -> None:
    settings.ANALYTICS_URL = address

    error = failure()

    assert (error.outcome, error.code) == (Outcome.CONFIGURATION, "bad_address")


def test_a_redirect_is_not_followed(
    sandbox: SandboxClient, settings: Any, odd_server: Start
) -> None:
    target = f"Location: {settings.ANALYTICS_URL}"
    settings.ANALYTICS_URL = odd_server(answer("307 Temporary", target)).url

    error = failure()

    assert (error.outcome, error.http_status) == (Outcome.REFUSED, 307)
    assert sandbox.calls() == []


def test_the_time_to_wait_is_read(settings: Any, odd_server: Start) -> None:
    settings.ANALYTICS_URL = odd_server(answer("429 Too Many", "Retry-After: 30")).url

    assert failure().retry_after == 30


def test_nothing_of_the_address_or_the_answer_is_in_the_error(
    settings: Any, odd_server: Start
) -> None:
    settings.ANALYTICS_URL = f"http://127.0.0.1:{free_port()}/?key=secret"
    not_reached = failure()
    settings.ANALYTICS_URL = odd_server(answer("500 secret", body=b"secret")).url

    assert str(failure()) == "analytics: not executed (http_error, HTTP 500)"
    assert str(not_reached) == "analytics: not executed (not_reached)"
    assert not_reached.__cause__ is None
    assert not_reached.__suppress_context__


def test_after_five_failures_it_is_left_alone(sandbox: SandboxClient) -> None:
    fault(sandbox, "5xx", count=5)
    for _ in range(5):
        assert failure().was_tried

    error = failure()

    assert (error.code, error.was_tried) == ("breaker_open", False)
    assert len(sandbox.calls()) == 5


def test_what_it_refuses_does_not_stop_other_events(sandbox: SandboxClient) -> None:
    for _ in range(6):
        assert failure({**EVENT, "type": ""}).outcome is Outcome.REFUSED

    post_event(EVENT)


class Receiver(ThreadingHTTPServer):
    """Takes everything, and counts the connections over which it came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.connections = 0
        self.events = 0


class Answers(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.events += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever).start()
        settings.ANALYTICS_URL = f"http://127.0.0.1:{server.server_address[1]}/"
        yield server
        server.shutdown()


def test_one_connection_is_used_again(receiver: Receiver) -> None:
    for _ in range(20):
        post_event(EVENT)

    assert (receiver.events, receiver.connections) == (20, 1)


def test_threads_do_not_share_a_connection(receiver: Receiver) -> None:
    def post_often() -> None:
        for _ in range(10):
            post_event(EVENT)

    threads = [threading.Thread(target=post_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (receiver.events, receiver.connections) == (40, 4)


def test_a_child_of_a_fork_does_not_use_its_parent_s_connection(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    post_event(EVENT)
    monkeypatch.setattr(os, "getpid", lambda: -1)

    post_event(EVENT)

    assert (receiver.events, receiver.connections) == (2, 2)


def test_a_connection_that_was_closed_meanwhile_is_not_used(
    settings: Any, odd_server: Start
) -> None:
    server = odd_server(answer("200 OK", body=b"{}"))
    settings.ANALYTICS_URL = server.url
    post_event(EVENT)
    server.close()

    # A new one was wanted: on the old one the outcome would be unknown.
    assert failure().code == "not_reached"
