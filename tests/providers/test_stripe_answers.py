"""What no Stripe would answer: it ends in time, as an outcome, and as nothing else."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from slotbase.providers import deadlines
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import Patience
from tests.providers.conftest import OddServer, Script, read_request
from tests.providers.stripe_account import (
    an_hour_ago,
    new_intent,
    stripe_account,
    summary,
)
from tests.sandbox.client import SandboxClient, free_port

__all__ = ("stripe_account",)
pytestmark = pytest.mark.usefixtures("stripe_account")

Start = Callable[..., OddServer]
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 5000,
    "amount_received": 0,
    "currency": "eur",
    "client_secret": "pi_1_secret_1",
    "metadata": {"payment_id": "p1"},
    "latest_charge": None,
    "last_payment_error": None,
    "created": 1_700_000_000,
    "livemode": False,
    "status": "requires_payment_method",
}
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "refund.failed",
    "created": 1_700_000_000,
    "livemode": False,
    "data": {"object": {}},
}


@pytest.fixture
def stripe_says(settings: Any, odd_server: Start) -> Start:
    """Stripe is a server that answers the next call with this script."""

    def say(script: Script, **options: bool) -> OddServer:
        server = odd_server(script, **options)
        settings.STRIPE_API_BASE = server.url
        return server

    return say


def raw(status: str, body: bytes, *headers: str) -> Script:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


def told(body: Any, status: str = "200 OK", *headers: str) -> Script:
    return raw(status, json.dumps(body).encode(), *headers)


def page(*data: Any, has_more: Any = False) -> dict[str, Any]:
    return {"object": "list", "data": [*data], "has_more": has_more}


def retrieve() -> Any:
    return client.retrieve_intent("pi_1")


def failure(call: Callable[[], object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        call()
    return caught.value


def test_a_good_answer_is_believed(stripe_says: Start) -> None:
    stripe_says(told(INTENT))

    assert retrieve().metadata == {"payment_id": "p1"}


@pytest.mark.parametrize(
    "changes",
    [
        *({"id": value} for value in (None, 7, "", "pi 1", "pi\x00", "pi_2", ["pi_1"])),
        *({"object": value} for value in (None, "refund", "list", 1)),
        *({"amount": value} for value in (None, "5000", 50.0, True, -1, 2**63)),
        {"amount_received": None},
        *({"currency": value} for value in (None, "", "euro", "e\x00r", 978)),
        *({"status": value} for value in (None, "", "a\x00b", 1, "x" * 256)),
        *({"client_secret": value} for value in (1, "a\x00b", [])),
        *({"metadata": value} for value in (None, [], "x", 1)),
        *({"latest_charge": value} for value in (1, {}, "ch\x00", {"id": "ch_1"})),
        *({"created": value} for value in (None, "1", 1.5, True, 10**20, -(10**20))),
        *({"livemode": value} for value in (None, "false", 0)),
        *({"last_payment_error": value} for value in (1, "x", [])),
        {"currency": "isk", "amount": 150},
    ],
    ids=str,
)
def test_a_field_of_another_kind_is_not_believed(
    stripe_says: Start, changes: dict[str, Any]
) -> None:
    stripe_says(told({**INTENT, **changes}))

    said = summary(failure(retrieve))

    assert said == (Outcome.NOT_EXECUTED, "unreadable_answer", 200)


@pytest.mark.parametrize("name", sorted(INTENT.keys() - {"latest_charge"}))
def test_a_field_that_is_missing_is_noticed(stripe_says: Start, name: str) -> None:
    optional = {"client_secret", "last_payment_error"}
    stripe_says(told({key: INTENT[key] for key in INTENT if key != name}))

    if name in optional:
        assert retrieve().id == "pi_1"
    else:
        assert failure(retrieve).code == "unreadable_answer"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b'"x"', b"7", b"{}", b"{", b"\xff\xfe", b"<html>"),
        b'{"id": "\xff"}',
        b"[" * 100_000,
        b'{"amount": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: str(body[:12]),
)
@pytest.mark.parametrize("is_write", [True, False])
def test_an_answer_that_cannot_be_read_leaves_a_write_in_doubt(
    stripe_says: Start, body: bytes, is_write: bool
) -> None:
    stripe_says(raw("200 OK", body))

    error = failure(new_intent if is_write else retrieve)

    outcome = Outcome.UNKNOWN if is_write else Outcome.NOT_EXECUTED
    assert summary(error) == (outcome, "unreadable_answer", 200)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "code"),
    [
        ("502 Bad Gateway", b"<html>oh</html>", Outcome.UNKNOWN, "http_error"),
        ("500 Oh", b"\xff\xfe", Outcome.UNKNOWN, "http_error"),
        ("500 Oh", b'{"error": [1]}', Outcome.UNKNOWN, "http_error"),
        ("500 Oh", b'{"error": "invalid_grant"}', Outcome.UNKNOWN, "http_error"),
        ("307 Elsewhere", b"", Outcome.UNKNOWN, "http_error"),
        ("400 Bad", b"<html>a proxy</html>", Outcome.UNKNOWN, "http_error"),
        ("404 Nothing", b"{}", Outcome.UNKNOWN, "http_error"),
        ("401 No", b"<html>", Outcome.CONFIGURATION, "not_authorised"),
        ("429 Slow", b"<html>", Outcome.NOT_EXECUTED, "rate_limit"),
        ("400 Bad", b'{"error": {"code": 7}}', Outcome.REFUSED, "invalid_request"),
        ("400 B", b'{"error": {"code": "a b"}}', Outcome.REFUSED, "unrecognised"),
        (
            *("400 Bad", b'{"error": {"code": "rate_limit"}}'),
            *(Outcome.NOT_EXECUTED, "rate_limit"),
        ),
        (
            *("402 Pay", b'{"error": {"code": "stolen_card"}}'),
            *(Outcome.REFUSED, "card_declined"),
        ),
    ],
)
def test_only_stripe_s_own_words_refuse_for_good(
    stripe_says: Start, status: str, body: bytes, outcome: Outcome, code: str
) -> None:
    stripe_says(raw(status, body))

    assert summary(failure(new_intent)) == (outcome, code, int(status[:3]))


def test_a_redirect_is_not_followed(sandbox: SandboxClient, stripe_says: Start) -> None:
    location = f"Location: {sandbox.url}/stripe/v1/payment_intents"
    stripe_says(raw("307 Elsewhere", b"", location))

    assert failure(new_intent).outcome is Outcome.UNKNOWN
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    ("seconds", "read"), [("30", 30), ("Wed, 21 Oct", None), ("-1", None), ("", None)]
)
def test_the_time_to_wait_is_read(
    stripe_says: Start, seconds: str, read: int | None
) -> None:
    body = {"error": {"type": "invalid_request_error", "code": "rate_limit"}}
    stripe_says(told(body, "429 Too Many", f"Retry-After: {seconds}"))

    error = failure(new_intent)

    assert (error.outcome, error.retry_after) == (Outcome.NOT_EXECUTED, read)


def test_metadata_that_cannot_be_stored_does_not_hide_an_intent(
    stripe_says: Start,
) -> None:
    odd = {"payment_id": "p1", "nul": "a\x00b", "half": "\ud800", "number": 7}
    stripe_says(told({**INTENT, "metadata": odd}))

    assert retrieve().metadata == {"payment_id": "p1"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "card_declined", "decline_code": "stolen_card"}, "card_declined"),
        ({"code": "expired_card"}, "expired_card"),
        ({"code": "brand_new", "message": "You!"}, "card_declined"),
        ({"code": ["x"], "decline_code": {}}, "card_declined"),
        ({}, "card_declined"),
    ],
)
def test_why_a_card_was_declined_is_told_in_known_words(
    stripe_says: Start, error: dict[str, Any], code: str
) -> None:
    stripe_says(told({**INTENT, "last_payment_error": error}))

    assert retrieve().decline_code == code


@pytest.mark.parametrize(
    "answer",
    [
        {},
        page(has_more=True),
        page(INTENT, has_more=1),
        {"has_more": False, "data": {}},
        page(INTENT, {}),
        page(None),
    ],
    ids=str,
)
def test_a_page_that_is_none_is_not_believed(stripe_says: Start, answer: Any) -> None:
    stripe_says(told(answer))

    error = failure(lambda: [*client.list_intents(created_from=an_hour_ago())])

    assert (error.outcome, error.code) == (Outcome.NOT_EXECUTED, "unreadable_answer")


def test_a_list_that_begins_again_has_an_end(stripe_says: Start) -> None:
    body = json.dumps(page(INTENT, has_more=True)).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)

    def twice(connection: socket.socket) -> None:
        connection.sendall(head + body)
        read_request(connection)
        connection.sendall(head + body)

    stripe_says(twice)

    error = failure(lambda: [*client.list_intents(created_from=an_hour_ago())])

    assert error.code == "unreadable_answer"


def test_an_event_that_cannot_be_stored_does_not_hide_the_others(
    stripe_says: Start,
) -> None:
    odd = {**EVENT, "id": "evt_2", "data": {"object": {"description": "\x00"}}}
    stripe_says(told(page(EVENT, odd, {**EVENT, "id": "evt_3"})))

    found = [*client.list_events(created_from=an_hour_ago() - timedelta(days=9999))]

    assert [event.event_id for event in found] == ["evt_1", "evt_3"]


def drip(head: bytes, seconds: float = 1.5) -> Script:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(int(seconds / 0.05)):
            connection.sendall(b" ")
            time.sleep(0.05)

    return send


BODY_DRIPS = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
HEADERS_DRIP = drip(b"HTTP/1.1 200 OK\r\nX-Drip: ")
STATUS_DRIPS = drip(b"HTTP/1.1 200 ")


def time_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    assert failure(call).outcome is Outcome.UNKNOWN
    return time.monotonic() - began


@pytest.mark.parametrize("script", [STATUS_DRIPS, HEADERS_DRIP, BODY_DRIPS])
def test_an_answer_that_drips_ends_in_time(stripe_says: Start, script: Script) -> None:
    stripe_says(script)

    assert time_of(new_intent) < 1.2


@pytest.mark.parametrize("script", [STATUS_DRIPS, HEADERS_DRIP])
def test_without_the_deadline_a_drip_would_not_end(
    stripe_says: Start, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "InTime", HTTPAdapter)
    stripe_says(script)

    assert time_of(new_intent) > 1.3


def test_a_flood_ends_early(stripe_says: Start) -> None:
    sent = []

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    stripe_says(flood)

    error = failure(new_intent)

    assert (error.outcome, error.code) == (Outcome.UNKNOWN, "answer_too_large")
    assert sum(sent) < 16 * 1024 * 1024


def test_a_customer_waits_less_than_a_worker(
    sandbox: SandboxClient, settings: Any
) -> None:
    settings.PROVIDER_TIMEOUT_SECONDS = 0.2
    settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 5
    intent = new_intent()
    slow = {"provider": "stripe", "count": 2, "seconds": 1}
    sandbox.fault("slow", "payment_intents.retrieve", **slow)

    failure(lambda: client.retrieve_intent(intent.id, patience=Patience.REQUEST))

    assert client.retrieve_intent(intent.id, patience=Patience.WORKER) == intent


def test_a_refused_connection_is_not_executed(settings: Any) -> None:
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{free_port()}"

    assert summary(failure(new_intent)) == (Outcome.NOT_EXECUTED, "not_reached", None)


@pytest.mark.parametrize("address", ["", "nowhere", "ftp://a/b", "http://"])
def test_an_address_that_cannot_be_used_is_configuration(
    settings: Any, address: str
) -> None:
    settings.STRIPE_API_BASE = address

    said = summary(failure(new_intent))

    assert said == (Outcome.CONFIGURATION, "bad_address", None)


@pytest.fixture
def full_server() -> Iterator[int]:
    """The port of a server that makes nobody a connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for each in waiting:
            each.close()


@pytest.mark.parametrize(
    ("adapter", "least", "most"),
    [(deadlines.InTime, 0.4, 1.5), (HTTPAdapter, 1.7, 5)],  # and without ours
)
def test_several_addresses_share_the_time(
    settings: Any,
    full_server: int,
    monkeypatch: pytest.MonkeyPatch,
    adapter: type[HTTPAdapter],
    least: float,
    most: float,
) -> None:
    monkeypatch.setattr(deadlines, "InTime", adapter)
    settings.STRIPE_API_BASE = f"http://many.invalid:{full_server}"
    resolve = socket.getaddrinfo

    def many(host: str, *args: Any, **options: Any) -> Any:
        if host != "many.invalid":
            return resolve(host, *args, **options)
        return resolve("127.0.0.1", *args, **options) * 6

    monkeypatch.setattr(socket, "getaddrinfo", many)
    settings.PROVIDER_CONNECT_SECONDS = 0.3
    began = time.monotonic()

    said = summary(failure(new_intent))

    assert said == (Outcome.NOT_EXECUTED, "not_reached", None)
    assert least < time.monotonic() - began < most
