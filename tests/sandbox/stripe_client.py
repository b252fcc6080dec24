"""Stripe as tests see it: the real SDK, the control API, a receiver of webhooks."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
import stripe

from tests.sandbox.client import OwnSandbox

SECRET_KEY = os.environ.get("STRIPE_SECRET_KEY") or "sk_test_sandbox"
SIGNING_SECRET = "whsec_of_a_test"


def stripe_of(
    sandbox: OwnSandbox, *, key: str = SECRET_KEY, timeout: float = 10, **options: Any
) -> stripe.StripeClient:
    """A client of the real SDK; it repeats nothing by itself."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": f"{sandbox.url}/stripe"},
        http_client=stripe.RequestsClient(timeout=timeout),
        **options,
    )


def new_intent(sandbox: OwnSandbox, **changes: Any) -> stripe.PaymentIntent:
    params: Any = {
        "amount": 5000,
        "currency": "eur",
        "payment_method_types": ["card"],
        "metadata": {"payment_id": "p1"},
        **changes,
    }
    return stripe_of(sandbox).v1.payment_intents.create(params)


def tell(sandbox: OwnSandbox, path: str, **told: Any) -> Any:
    """Tell the control API of Stripe something that it can do."""
    answer = sandbox.post(f"/_sandbox/stripe/{path}", told)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None


def pay(
    sandbox: OwnSandbox, intent: stripe.PaymentIntent, outcome: str, **more: Any
) -> Any:
    return tell(sandbox, "pay", payment_intent=intent.id, outcome=outcome, **more)


def paid_intent(sandbox: OwnSandbox, **changes: Any) -> stripe.PaymentIntent:
    intent = new_intent(sandbox, **changes)
    pay(sandbox, intent, "succeed")
    return stripe_of(sandbox).v1.payment_intents.retrieve(intent.id)


def raw(
    sandbox: OwnSandbox, method: str, path: str, body: str = "", **headers: str
) -> requests.Response:
    """A request without the SDK, with the right key unless another one is given."""
    sent = {"Authorization": f"Bearer {SECRET_KEY}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{sandbox.url}/stripe/v1/{path}"
    return requests.request(method, url, data=body, headers=sent, timeout=10)


def effects(sandbox: OwnSandbox, *kinds: str) -> list[dict[str, Any]]:
    """What really happened at Stripe, of these kinds or of any."""
    found = sandbox.get("/_sandbox/effects?provider=stripe").json()["effects"]
    all_effects = [each["effect"] for each in found]
    return [each for each in all_effects if not kinds or each["kind"] in kinds]


def event_types(sandbox: OwnSandbox) -> list[str]:
    """The types of all events, the oldest first."""
    listed = stripe_of(sandbox).v1.events.list({"limit": 100})
    return [event.type for event in listed.data][::-1]


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what another thread or process brings about."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class Receiver:
    """A web server that takes webhooks, and answers them as it is told."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/stripe/"
        self.statuses: list[int] = []  # of the coming answers; then 200
        self._taken: list[tuple[bytes, dict[str, str]]] = []
        self._changed = threading.Condition()

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        with self._changed:
            self._taken.append((body, headers))
            self._changed.notify_all()
            return self.statuses.pop(0) if self.statuses else 200

    def wait_for(self, count: int) -> list[stripe.Event]:
        """The first `count` events, their signatures checked."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._taken) >= count, timeout=10)
            assert came, f"{len(self._taken)} webhooks, not {count}"
            return [verified(*each) for each in self._taken[:count]]

    def first(self) -> tuple[bytes, dict[str, str]]:
        self.wait_for(1)
        return self._taken[0]

    @property
    def count(self) -> int:
        return len(self._taken)


def verified(
    body: bytes, headers: dict[str, str], secret: str = SIGNING_SECRET
) -> stripe.Event:
    event: stripe.Event = stripe.Webhook.construct_event(
        body, headers["stripe-signature"], secret
    )
    return event


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for as long as it lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.take(body, headers))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
