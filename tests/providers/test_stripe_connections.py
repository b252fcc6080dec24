"""How the client of Stripe keeps connections, over TLS as well, and what it sends."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slotbase.providers import deadlines
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe import client, transport
from tests.providers.certificate import make_certificate
from tests.providers.conftest import OddServer, Script, read_request
from tests.providers.stripe_account import new_intent, stripe_account, summary
from tests.providers.test_stripe_answers import (
    HEADERS_DRIP,
    INTENT,
    retrieve,
    stripe_says,
    time_of,
    told,
)

__all__ = ("stripe_account", "stripe_says")
pytestmark = pytest.mark.usefixtures("stripe_account")
Start = Callable[..., OddServer]


def test_a_thread_keeps_its_session_and_shares_it_with_nobody() -> None:
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(transport._session()))
    thread.start()
    thread.join()

    assert transport._session() is transport._session()
    assert others != [transport._session()]


def test_a_child_of_a_fork_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_parent = transport._session()
    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert transport._session() is not of_the_parent


def test_one_connection_is_used_again(stripe_says: Start) -> None:
    answers = told(INTENT)

    def twice(connection: socket.socket) -> None:
        answers(connection)
        read_request(connection)
        answers(connection)

    stripe_says(twice)  # takes one connection only

    assert retrieve() == retrieve()


def test_a_proxy_does_not_take_the_deadline_away() -> None:
    adapter = deadlines.new_session().get_adapter("https://api.stripe.com")
    manager = adapter.proxy_manager_for("http://proxy.invalid")

    assert manager.pool_classes_by_scheme == deadlines.POOLS


def test_what_is_sent(stripe_says: Start, settings: Any) -> None:
    server = stripe_says(told({**INTENT, "id": "pi_9"}))

    new_intent(idempotency_key="sb:test:pi:9:1")

    head, _, body = server.request.decode().partition("\r\n\r\n")
    sent = head.lower()
    assert head.startswith("POST /v1/payment_intents HTTP/1.1")
    assert "idempotency-key: sb:test:pi:9:1" in sent
    assert f"stripe-version: {settings.STRIPE_API_VERSION}" in sent
    assert f"authorization: bearer {settings.STRIPE_SECRET_KEY}" in sent
    assert "telemetry" not in sent
    assert "amount=5000" in body
    assert "payment_method_types[0]=card" in body
    assert "capture_method=automatic" in body


def test_a_netrc_does_not_replace_the_key(
    stripe_says: Start,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = stripe_says(told(INTENT))

    retrieve()

    assert f"Bearer {settings.STRIPE_SECRET_KEY}".encode() in server.request


def test_an_id_cannot_lead_elsewhere(stripe_says: Start) -> None:
    server = stripe_says(told(INTENT))

    with pytest.raises(ProviderError):
        client.retrieve_intent("../refunds?limit=1#")

    path = server.request.split()[1].decode()
    assert path == "/v1/payment_intents/..%2Frefunds%3Flimit%3D1%23"


@pytest.mark.parametrize(("name", "printed"), [("STRIPE_LOG", "None"), ("X", "None")])
def test_the_sdk_does_not_print_what_it_reads(name: str, printed: str) -> None:
    program = (
        "import slotbase.providers.stripe.webhooks, stripe; "
        "print(stripe._util._console_log_level())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, name: "debug"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == printed


@pytest.fixture
def over_tls(
    tmp_path: Path, settings: Any, stripe_says: Start, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """As `stripe_says`, encrypted with a certificate that we trust."""
    pem = make_certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)

    def say(script: Script) -> OddServer:
        def encrypted(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as tls:
                read_request(tls)
                script(tls)

        server = stripe_says(encrypted, reads_first=False)
        settings.STRIPE_API_BASE = server.url.replace("http:", "https:")
        return server

    return say


def test_it_works_over_tls(over_tls: Start) -> None:
    over_tls(told(INTENT))

    assert retrieve().id == "pi_1"


def test_a_drip_over_tls_ends_in_time(over_tls: Start) -> None:
    over_tls(HEADERS_DRIP)

    assert time_of(new_intent) < 1.2


def test_a_handshake_that_never_comes_ends_in_time(
    settings: Any, stripe_says: Start
) -> None:
    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    server = stripe_says(say_nothing, reads_first=False)
    settings.STRIPE_API_BASE = server.url.replace("http:", "https:")

    assert time_of(new_intent) < 1.2


def test_a_certificate_that_nobody_signed_is_not_trusted(
    over_tls: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_tls(told(INTENT))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(ProviderError) as caught:
        retrieve()

    assert summary(caught.value) == (Outcome.NOT_EXECUTED, "no_answer", None)
