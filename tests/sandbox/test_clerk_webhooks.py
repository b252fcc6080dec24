"""The simulated Clerk tells what changes, signed as Svix does."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from slotbase.providers.clerk import webhooks
from tests.product import eventually
from tests.sandbox.client import OwnSandbox

SECRET = "whsec_c2FuZGJveCBjbGVyayB3ZWJob29rcy4u"


class Inbox:
    """Takes whatever is posted."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                taken.append((body, {k.lower(): v for k, v in self.headers.items()}))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self, count: int) -> list[str]:
        """The types of what came, once there are so many."""
        eventually(lambda: len(self.taken) >= count)
        return [json.loads(body)["type"] for body, _ in self.taken]


@pytest.fixture
def inbox(sandbox: OwnSandbox) -> Iterator[Inbox]:
    inbox = Inbox()
    wish = {"provider": "clerk", "url": inbox.url, "secret": SECRET}
    assert sandbox.post("/_sandbox/webhooks/endpoints", wish).status_code == 201
    yield inbox
    sandbox.delete("/_sandbox/webhooks/endpoints?provider=clerk")
    inbox.server.shutdown()
    inbox.server.server_close()


def steer(sandbox: OwnSandbox, action: str) -> None:
    wish = {"provider": "clerk", "action": action}
    assert sandbox.post("/_sandbox/webhooks", wish).status_code == 200


def describe(sandbox: OwnSandbox, **facts: Any) -> None:
    sandbox.post("/_sandbox/clerk/users", {"id": "user_alice", **facts})


def test_a_change_is_told_and_signed(sandbox: OwnSandbox, inbox: Inbox) -> None:
    describe(sandbox, email="a@example.org", banned=True)

    assert inbox.types(1) == ["user.updated"]
    body, headers = inbox.taken[0]
    event = webhooks.read(body, headers, [SECRET])
    about = event.payload["data"]
    assert (about["id"], about["banned"]) == ("user_alice", True)
    assert event.event_id.startswith("msg_")


def test_who_is_gone_and_a_session_that_ended_are_told(
    sandbox: OwnSandbox, inbox: Inbox
) -> None:
    describe(sandbox, gone=True)
    inbox.types(1)
    sandbox.post("/_sandbox/clerk/sessions", {"id": "sess_1", "status": "ended"})

    assert inbox.types(2) == ["user.deleted", "session.ended"]
    about = [json.loads(body)["data"] for body, _ in inbox.taken]
    assert about[0] == {"object": "user", "id": "user_alice", "deleted": True}
    assert about[1] == {"object": "session", "id": "sess_1", "status": "ended"}


def test_they_are_held_reordered_and_doubled(sandbox: OwnSandbox, inbox: Inbox) -> None:
    steer(sandbox, "hold")
    describe(sandbox, banned=True)
    describe(sandbox, gone=True)

    steer(sandbox, "reorder")

    assert sorted(inbox.types(2)) == ["user.deleted", "user.updated"]
    steer(sandbox, "hold")
    describe(sandbox, gone=True)
    steer(sandbox, "duplicate")
    assert inbox.types(4)[2:] == ["user.deleted"] * 2


def test_dropped_ones_never_come(sandbox: OwnSandbox, inbox: Inbox) -> None:
    steer(sandbox, "hold")
    describe(sandbox, banned=True)
    steer(sandbox, "drop")

    describe(sandbox, gone=True)

    assert inbox.types(1) == ["user.deleted"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("sessions", {"id": "", "status": "ended"}),
        ("sessions", {"id": "sess_1", "status": "over"}),
        ("sessions", {"sid": "sess_1"}),
        ("events", {"type": "", "data": {}}),
        ("events", {"type": "user.created", "data": []}),
        ("users", {"id": "user_alice", "banned": "yes"}),
    ],
)
def test_what_cannot_be_told_is_400(sandbox: OwnSandbox, path: str, told: Any) -> None:
    assert sandbox.post(f"/_sandbox/clerk/{path}", told).status_code == 400
