"""The load: customers who hold, confirm and cancel; and the ledger of what is owed.

Every request is written down: its status and how long it took. Who gets 503 asks again
with the same Idempotency-Key, as a customer's app would.
"""

import statistics
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any, Self

import requests

from tests.product import Product, eventually
from tests.providers.signing import payload, signed

CUSTOMERS = 5
THINK_SECONDS = 0.15
HOLD_SECONDS = 300
NO_ANSWER = 0


@dataclass(frozen=True)
class Answer:
    """One request: what was asked, how it went, and how many seconds that took."""

    what: str
    status: int
    seconds: float
    at: float
    retry_after: str | None = None


def median(answers: Iterable[Answer]) -> float:
    """Half of the requests took longer than so many seconds."""
    return statistics.median(answer.seconds for answer in answers)


def slowest(answers: Iterable[Answer]) -> float:
    """How many seconds the slowest request took."""
    return max(answer.seconds for answer in answers)


def statuses(answers: Iterable[Answer]) -> Counter[int]:
    """How often there was each status."""
    return Counter(answer.status for answer in answers)


class Load:
    """Customers at work inside the block, each at a slot that nobody else wants.

    Of three visits one releases its hold, and a webhook comes in; two confirm theirs
    and cancel the booking.
    """

    def __init__(self, product: Product, *others: str) -> None:
        """At the product's web server and, in turn, at others of the same product."""
        self.name = uuid.uuid4().hex[:8]
        self.answers: list[Answer] = []
        self._product = product
        self._sites = cycle([product.env["SLOTBASE_URL"], *others])
        self._slots, self._tokens = deque(_free_slots(product)), deque[str]()
        self._visits, self._mine = count(), threading.local()
        self._has_ended = threading.Event()
        self._workers: list[Future[None]] = []

    def __enter__(self) -> Self:
        with_threads = ThreadPoolExecutor(CUSTOMERS)
        self._workers = [with_threads.submit(self._work) for _ in range(CUSTOMERS)]
        with_threads.shutdown(wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._has_ended.set()
        for worker in self._workers:
            worker.result()

    def during(self, seconds: float) -> list[Answer]:
        """The requests that are answered in the coming seconds."""
        begin = len(self.answers)
        self._has_ended.wait(seconds)
        return self.answers[begin:]

    def _work(self) -> None:
        with requests.Session() as self._mine.session:
            while not self._has_ended.is_set():
                self._visit(next(self._visits))

    def _visit(self, number: int) -> None:
        token, slot = self._new_customer(), self._slots.popleft()
        hold = self._ask("hold", "POST", "/api/v1/holds/", token, slot)
        if hold is None:
            return
        address = f"/api/v1/holds/{hold['id']}/"
        if number % 3 == 0:
            self._ask("release", "DELETE", address, token)
            self._receive_webhook(f"evt_{self.name}_{number}")
        elif booking := self._ask("confirm", "POST", f"{address}confirm/", token, {}):
            address = f"/api/v1/bookings/{booking['id']}/cancel/"
            self._ask("cancel", "POST", address, token, {})

    def _receive_webhook(self, event_id: str) -> None:
        body, headers = signed(
            "stripe", payload("stripe", id=event_id, type="product.created")
        )
        self._send("webhook", "POST", "/webhooks/stripe/", data=body, headers=headers)

    def _ask(
        self, what: str, method: str, path: str, token: str, body: Any = None
    ) -> Any:
        """The answer's JSON, or None if it is not a success."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        return self._send(what, method, path, headers=headers, json=body)

    def _send(self, what: str, method: str, path: str, **request: Any) -> Any:
        while True:
            answer, content = self._send_once(what, method, path, request)
            self.answers.append(answer)
            self._has_ended.wait(THINK_SECONDS)
            if answer.status not in {NO_ANSWER, 503} or self._has_ended.is_set():
                return content

    def _send_once(
        self, what: str, method: str, path: str, request: dict[str, Any]
    ) -> tuple[Answer, Any]:
        begin = time.monotonic()
        try:
            response = self._mine.session.request(
                method, f"{next(self._sites)}{path}", timeout=30, **request
            )
        except requests.RequestException:
            return Answer(what, NO_ANSWER, time.monotonic() - begin, begin), None
        seconds = time.monotonic() - begin
        retry_after = response.headers.get("Retry-After")
        content = response.json() if response.ok and response.content else None
        return Answer(what, response.status_code, seconds, begin, retry_after), content

    def _new_customer(self) -> str:
        """The token of one who was not here before, so that nobody meets a limit."""
        while True:
            try:
                return self._tokens.popleft()
            except IndexError:
                subs = [f"user_{uuid.uuid4().hex[:12]}" for _ in range(50)]
                self._tokens.extend(self._product.tokens(subs).values())


def _free_slots(product: Product) -> list[dict[str, Any]]:
    """Weeks from now, where no other test looks for one."""
    page = product.call("GET", "/api/v1/resources/?page_size=100").json()
    return [
        slot
        for resource in page["results"]
        if resource["payment_mode"] in {"FREE", "AT_VENUE"}
        for slot in product.free_slots(resource["id"], days=28, length=30)
    ]


def make_holds_that_run_out(product: Product, *, seconds: int) -> list[str]:
    """Holds that expire in so many seconds; sets the clock."""
    product.move_clock("reset")
    customer = [f"user_{uuid.uuid4().hex[:12]}" for _ in range(10)]
    slots = product.free_slots(product.resource("room"), days=20, length=7)
    answers = [
        product.call("POST", "/api/v1/holds/", each, **slot)
        for each, slot in zip(customer, slots, strict=False)
    ]
    assert {answer.status_code for answer in answers} == {201}, answers[-1].text
    product.move_clock(f"+{HOLD_SECONDS - seconds}s")
    return [answer.json()["id"] for answer in answers]


class Ledger:
    """What the product has done since now, and what it still owes for that."""

    def __init__(self, product: Product, load: Load) -> None:
        self._product, self._load = product, load
        self._earlier = self._events()

    def events(self) -> set[str]:
        """The ids of the events of this time."""
        return self._events() - self._earlier

    def received(self) -> Counter[str]:
        """How often each of these events had an effect at analytics."""
        effects = self._product.sandbox("effects", provider="analytics")["effects"]
        ids = (effect["effect"]["id"] for effect in effects)
        return Counter(each for each in ids if each not in self._earlier)

    def owed(self) -> dict[str, int]:
        """How much of each kind is still to be done; empty when all is done."""
        late_holds = self._count(
            "bookings_bookinghold"
            " WHERE status = 'ACTIVE' AND expires_at <= slotbase_now()"
        )
        webhooks = self._count(
            "recovery_inboxevent WHERE next_run_at IS NOT NULL AND event_id LIKE %s",
            f"evt_{self._load.name}_%",
        )
        pending = self._product.rows(
            "SELECT event_id::text FROM recovery_eventdelivery WHERE status = 'PENDING'"
        )
        deliveries = len({each for (each,) in pending} - self._earlier)
        owed = {"holds": late_holds, "webhooks": webhooks, "deliveries": deliveries}
        return {name: number for name, number in owed.items() if number}

    def _events(self) -> set[str]:
        rows = self._product.rows("SELECT id::text FROM recovery_outboxevent")
        return {each for (each,) in rows}

    def _count(self, what: str, *parameters: Any) -> int:
        [(number,)] = self._product.rows(f"SELECT count(*) FROM {what}", *parameters)
        return int(number)


def require_all_is_done(product: Product, ledger: Ledger) -> None:
    """Nothing is owed, each event was received once, and every invariant holds.

    Soon: the mails of hundreds of bookings are still being sent, and the clock was
    moved past them.
    """
    assert ledger.owed() == {}
    assert ledger.received() == dict.fromkeys(ledger.events(), 1)
    with suppress(AssertionError):
        eventually(lambda: product.violations() == [], seconds=90)
    violations = product.violations()
    assert violations == [], violations
