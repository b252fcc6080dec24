"""Webhooks are signed and repeated; on request they come late, twice or never."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.client import OwnSandbox, wait_until_answering
from tests.sandbox.stripe_client import (
    SIGNING_SECRET,
    Receiver,
    new_intent,
    paid_intent,
    pay,
    receiving,
    stripe_of,
    verified,
    wait_until,
)
from tests.sandbox.test_process import run

ENDPOINT = {"provider": "stripe", "secret": SIGNING_SECRET, "retry_ms": [20, 40]}


@pytest.fixture
def receiver(sandbox: OwnSandbox) -> Iterator[Receiver]:
    with receiving() as receiver:
        listen(sandbox, receiver)
        yield receiver
        sandbox.reset()
        sandbox.delete("/_sandbox/webhooks/endpoints?provider=stripe")


def listen(sandbox: OwnSandbox, receiver: Receiver, **changes: Any) -> None:
    endpoint = {**ENDPOINT, "url": receiver.url, **changes}
    answer = sandbox.post("/_sandbox/webhooks/endpoints", endpoint)
    assert answer.status_code == 201, answer.text


def steer(sandbox: OwnSandbox, action: str, **more: Any) -> Any:
    told = {"provider": "stripe", "action": action, **more}
    answer = sandbox.post("/_sandbox/webhooks", told)
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(sandbox: OwnSandbox) -> Any:
    return sandbox.get("/_sandbox/webhooks?provider=stripe").json()


def wait_until_tried(sandbox: OwnSandbox, attempts: int) -> list[Any]:
    """The attempts of the only message, when there are so many."""

    def tried() -> list[Any]:
        found: list[Any] = state(sandbox)["messages"][0]["attempts"]
        return found

    wait_until(lambda: len(tried()) == attempts)
    return tried()


def test_a_webhook_comes_at_once_and_is_signed(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    intent = new_intent(sandbox)

    body, headers = receiver.first()

    event = verified(body, headers)
    assert event.type == "payment_intent.created"
    assert event.data.object["id"] == intent.id
    assert stripe.WebhookSignature.verify_header(
        body, headers["stripe-signature"], SIGNING_SECRET, 300
    )
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert event.pending_webhooks == 1
    with pytest.raises(stripe.SignatureVerificationError):
        verified(body, headers, "whsec_of_another")
    with pytest.raises(stripe.SignatureVerificationError):
        verified(body.replace(b"5000", b"5001"), headers)


def test_webhooks_come_in_order(sandbox: OwnSandbox, receiver: Receiver) -> None:
    paid_intent(sandbox)

    assert [event.type for event in receiver.wait_for(3)] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


def test_what_is_not_taken_comes_again_signed_anew(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302]

    new_intent(sandbox)

    assert len({event.id for event in receiver.wait_for(3)}) == 1
    tried = wait_until_tried(sandbox, 3)
    assert [each["status"] for each in tried] == [500, 302, 200]
    assert state(sandbox)["messages"][0]["delivered"]


def test_repeats_end(sandbox: OwnSandbox, receiver: Receiver) -> None:
    receiver.statuses = [500] * 3

    new_intent(sandbox)

    receiver.wait_for(3)
    wait_until_tried(sandbox, 3)
    new_intent(sandbox)
    assert [event.type for event in receiver.wait_for(4)].pop() == (
        "payment_intent.created"
    )
    first, second = state(sandbox)["messages"]
    assert not first["delivered"]
    assert len(first["attempts"]) == 3
    assert len(second["attempts"]) == 1


def test_one_that_is_refused_does_not_hold_up_the_others(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    listen(sandbox, receiver, retry_ms=[60_000])
    receiver.statuses = [500]

    paid_intent(sandbox)

    types = [event.type for event in receiver.wait_for(3)]
    assert types[-1] == "payment_intent.succeeded"


def test_nobody_listening_is_an_attempt_too(sandbox: OwnSandbox) -> None:
    with receiving() as gone:
        pass
    listen(sandbox, gone, retry_ms=[])

    new_intent(sandbox)

    tried = wait_until_tried(sandbox, 1)
    assert (tried[0]["status"], tried[0]["error"]) == (None, "ConnectionRefusedError")
    sandbox.delete("/_sandbox/webhooks/endpoints?provider=stripe")


def test_the_secret_can_be_changed(sandbox: OwnSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver, secret="whsec_new")

    new_intent(sandbox)

    wait_until(lambda: receiver.count)
    body, headers = receiver._taken[0]
    assert verified(body, headers, "whsec_new")
    with pytest.raises(stripe.SignatureVerificationError):
        verified(body, headers)


def test_held_webhooks_come_when_they_are_released(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    steer(sandbox, "hold")
    intent = paid_intent(sandbox)
    held = state(sandbox)

    released = steer(sandbox, "release")

    assert (held["is_holding"], len(held["held"])) == (True, 3)
    assert (released["is_holding"], released["held"]) == (False, [])
    assert [event.id for event in receiver.wait_for(3)] == held["held"]
    stripe_of(sandbox).v1.refunds.create({"payment_intent": intent.id})
    assert receiver.wait_for(5)[3].type == "refund.created"


def test_nothing_comes_while_webhooks_are_held(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    steer(sandbox, "hold")
    new_intent(sandbox)
    first = state(sandbox)["held"]
    steer(sandbox, "release")
    receiver.wait_for(1)
    steer(sandbox, "hold")
    new_intent(sandbox)

    # What is sent again overtakes what is held: had it leaked, it would be here.
    steer(sandbox, "resend", ids=first)

    assert [event.id for event in receiver.wait_for(2)] == first * 2
    assert receiver.count == 2


def test_webhooks_come_twice(sandbox: OwnSandbox, receiver: Receiver) -> None:
    steer(sandbox, "hold")
    paid_intent(sandbox)
    held = state(sandbox)["held"]

    steer(sandbox, "duplicate")

    ids = [event.id for event in receiver.wait_for(6)]
    assert ids == [id_ for id_ in held for _ in range(2)]


def test_webhooks_come_in_reverse(sandbox: OwnSandbox, receiver: Receiver) -> None:
    steer(sandbox, "hold")
    paid_intent(sandbox)
    held = state(sandbox)["held"]

    steer(sandbox, "reorder")

    assert [event.id for event in receiver.wait_for(3)] == held[::-1]


def test_webhooks_come_in_any_order_that_is_asked_for(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    steer(sandbox, "hold")
    paid_intent(sandbox)
    a, b, c = state(sandbox)["held"]

    some = steer(sandbox, "release", ids=[c, a])
    last = steer(sandbox, "release", ids=[b])

    assert (some["is_holding"], some["held"]) == (True, [b])
    assert not last["is_holding"]
    assert [event.id for event in receiver.wait_for(3)] == [c, a, b]


def test_dropped_webhooks_never_come_but_the_events_are_there(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    steer(sandbox, "hold")
    intent = new_intent(sandbox)

    dropped = steer(sandbox, "drop")
    pay(sandbox, intent, "succeed")

    assert not dropped["is_holding"]
    assert [event.type for event in receiver.wait_for(2)] == [
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    missed = stripe_of(sandbox).v1.events.list({"delivery_success": False}).data
    assert "payment_intent.created" in {event.type for event in missed}
    lost = next(event for event in missed if event.type == "payment_intent.created")
    steer(sandbox, "resend", ids=[lost.id])
    assert receiver.wait_for(3)[2].id == lost.id


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ({}, "provider must be one of: stripe"),
        ({"provider": "fcm"}, "provider must be one of: stripe"),
        ({"provider": "stripe"}, "hold, release, duplicate, reorder, drop, resend"),
        ({"provider": "stripe", "action": "resend"}, "resend wants ids"),
        ({"provider": "stripe", "action": "resend", "ids": ["evt_x"]}, "not known"),
        ({"provider": "stripe", "action": "release", "ids": ["evt_x"]}, "not held"),
        ({"provider": "stripe", "action": "release", "ids": "x"}, "ids must be a list"),
    ],
)
def test_steering_says_what_would_be_right(
    sandbox: OwnSandbox, told: dict[str, Any], hint: str
) -> None:
    answer = sandbox.post("/_sandbox/webhooks", told)

    assert answer.status_code == 400
    assert hint in answer.json()["error"]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"provider": "post"}, "provider must be one of: stripe"),
        ({"url": "ftp://127.0.0.1/x"}, "url must be like http://"),
        ({"url": "http://"}, "url must be like http://"),
        ({"url": "http://127.0.0.1:x/"}, "url must be like http://"),
        ({"secret": ""}, "secret must be text"),
        ({"retry_ms": 5}, "retry_ms must be a list"),
        ({"retry_ms": [-1]}, "Each of retry_ms"),
    ],
)
def test_endpoints_say_what_would_be_right(
    sandbox: OwnSandbox, changes: dict[str, Any], hint: str
) -> None:
    endpoint = {**ENDPOINT, "url": "http://127.0.0.1:1/", **changes}

    answer = sandbox.post("/_sandbox/webhooks/endpoints", endpoint)

    assert answer.status_code == 400
    assert hint in answer.json()["error"]


def test_reset_forgets_held_and_pending_webhooks_but_not_endpoints(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    listen(sandbox, receiver, retry_ms=[200])
    receiver.statuses = [500]
    new_intent(sandbox)
    receiver.wait_for(1)
    steer(sandbox, "hold")
    new_intent(sandbox)

    sandbox.reset()

    assert state(sandbox) == {
        "endpoints": [receiver.url],
        "is_holding": False,
        "held": [],
        "messages": [],
    }
    time.sleep(0.3)  # longer than the pause: a repeat would have come
    assert receiver.count == 1
    new_intent(sandbox)
    receiver.wait_for(2)


def test_reset_waits_for_the_delivery_that_has_begun(
    sandbox: OwnSandbox, receiver: Receiver
) -> None:
    arrived, may_answer, take = threading.Event(), threading.Event(), receiver.take
    ended: list[float] = []

    def take_slowly(body: bytes, headers: dict[str, str]) -> int:
        arrived.set()
        may_answer.wait(5)
        ended.append(time.monotonic())
        return take(body, headers)

    receiver.take = take_slowly  # type: ignore[method-assign]
    new_intent(sandbox)
    assert arrived.wait(5)
    threading.Timer(0.2, may_answer.set).start()

    sandbox.reset()

    assert ended
    assert time.monotonic() >= ended[0]


def test_removed_endpoints_get_nothing(sandbox: OwnSandbox, receiver: Receiver) -> None:
    listen(sandbox, receiver, retry_ms=[100])
    receiver.statuses = [500]
    new_intent(sandbox)
    receiver.wait_for(1)

    sandbox.delete("/_sandbox/webhooks/endpoints?provider=stripe")

    new_intent(sandbox)
    time.sleep(0.2)  # longer than the pause: a repeat would have come
    assert receiver.count == 1


def test_an_endpoint_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    with receiving() as receiver:
        endpoint = f"stripe={receiver.url},{SIGNING_SECRET}"
        sandbox = WiredSandbox(tmp_path, endpoint)
        new_intent(sandbox)

        assert receiver.wait_for(1)[0].type == "payment_intent.created"
        assert sandbox.stop() == 0


def test_it_ends_at_once_while_a_receiver_hangs(tmp_path: Path) -> None:
    with receiving() as receiver:
        arrived, may_answer = threading.Event(), threading.Event()

        def hang(_body: bytes, _headers: dict[str, str]) -> int:
            arrived.set()
            may_answer.wait(10)
            return 200

        receiver.take = hang  # type: ignore[method-assign]
        sandbox = WiredSandbox(tmp_path, f"stripe={receiver.url},{SIGNING_SECRET}")
        new_intent(sandbox)
        assert arrived.wait(5)
        began = time.monotonic()

        assert sandbox.stop() == 0
        assert time.monotonic() - began < 1
        may_answer.set()


@pytest.mark.parametrize("wish", ["stripe=http://127.0.0.1/", "post=http://a/,x", "x"])
def test_a_wrong_endpoint_on_the_command_line_is_told(
    tmp_path: Path, wish: str
) -> None:
    ended = run("--port", "0", "--state-dir", str(tmp_path), "--webhook", wish)

    assert ended.returncode == 1
    assert "--webhook" in ended.stderr
    assert ended.stderr.count("\n") == 1


class WiredSandbox(OwnSandbox):
    """A sandbox process that was told on its command line where webhooks go."""

    def __init__(self, state: Path, endpoint: str) -> None:
        self.endpoint = endpoint
        super().__init__(state)

    def start(self) -> None:
        place = ["--port", str(self.port), "--state-dir", str(self.state)]
        command = [sys.executable, "-m", "slotbase.sandbox", *place]
        self.process = subprocess.Popen(
            [*command, "--webhook", self.endpoint], stderr=subprocess.DEVNULL
        )
        wait_until_answering(self.url)
