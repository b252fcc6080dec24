"""S11, S37: whatever a provider answers, no customer gets a 500, or its words."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from rest_framework.test import APIClient

from slotbase.providers.breaker import Breaker
from slotbase.providers.stripe import client as stripe
from tests.bookings.routes import client_of
from tests.factories import make_customer, make_hold, make_priced_resource

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "words-of-a-provider"
ANSWERS = {
    "a page": (200, "text/html", f"<html><h1>{WORDS}</h1></html>".encode()),
    "a page of a proxy": (502, "text/html", f"<html>{WORDS}</html>".encode()),
    "nothing": (200, "application/json", b""),
    "null": (200, "application/json", b"null"),
    "a list": (200, "application/json", b"[1, 2]"),
    "a text": (200, "application/json", f'"{WORDS}"'.encode()),
    "wrong types": (
        200,
        "application/json",
        b'{"id": 7, "object": "payment_intent", "status": [], "amount": "x"}',
    ),
    "another object": (200, "application/json", b'{"id": "x", "object": "charge"}'),
    "no UTF-8": (200, "application/json", b"\xff\xfe\x00"),
    "deep": (200, "application/json", b"[" * 100_000),
    "an error of words": (
        400,
        "application/json",
        f'{{"error": {{"message": "{WORDS}", "type": {{}}}}}}'.encode(),
    ),
    "two mebibytes": (200, "application/json", b'"' + b"x" * 2 * 1024 * 1024 + b'"'),
}
Serve = Callable[[tuple[int, str, bytes]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A provider that answers every call in the same way."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: tuple[int, str, bytes]) -> str:
        status, kind, body = answer

        class Odd(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return  # the client has had enough

            do_GET = do_POST  # noqa: N815 - its name there

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_is_no_error_of_ours(
    serve: Serve,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    monkeypatch.setattr(stripe, "breaker", Breaker("stripe"))
    settings.STRIPE_API_BASE = serve(ANSWERS[name])
    alice = make_customer()
    hold = make_hold(customer=alice, resource=make_priced_resource())
    api: APIClient = client_of(alice)

    answer = api.post(
        f"/api/v1/holds/{hold.pk}/payment/",
        {},
        "json",
        headers={"Idempotency-Key": "k"},
    )

    assert answer.status_code in {200, 201, 202, 409, 503}, answer.content
    assert WORDS not in answer.content.decode() + caplog.text
