"""The clock of one computer is wrong: the one clock is that of the database."""

import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from slotbase.schedule import QUEUES
from tests.crashes.load import make_holds_that_run_out
from tests.crashes.test_parts_that_stop import hold_status
from tests.crashes.test_two_beats import BEAT
from tests.product import Product, eventually
from tests.signals import paused

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SKEW = Path(__file__).parents[1] / "skew"


class WrongClock:
    """Settings for processes whose clock is wrong by so many seconds."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "skew"
        self.set(0)
        self.settings = {"PYTHONPATH": str(SKEW), "CLOCK_SKEW_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)


@pytest.fixture
def wrong_clock(tmp_path: Path) -> WrongClock:
    return WrongClock(tmp_path)


def long_token(product: Product) -> str:
    """Good by either clock: sign-in goes by that of the web process."""
    [(now,)] = product.rows("SELECT extract(epoch FROM clock_timestamp())::int")
    claims = {"iat": now - 900, "nbf": now - 900, "exp": now + 2400}
    body = {"sub": f"user_{uuid.uuid4().hex[:12]}", "overrides": {"claims": claims}}
    answer = requests.post(
        f"{product.env['SANDBOX_URL']}/_sandbox/tokens", json=body, timeout=30
    )
    return str(answer.json()["token"])


def post(site: str, path: str, token: str, body: Any = None) -> requests.Response:
    headers = {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    address = f"{site}/api/v1/holds/{path}"
    return requests.post(address, json=body or {}, headers=headers, timeout=30)


@pytest.mark.parametrize("seconds", [300, -300])
def test_nothing_ends_early_or_late_if_the_clock_of_web_and_worker_is_wrong(
    product: Product, wrong_clock: WrongClock, seconds: int
) -> None:
    wrong_clock.set(seconds)
    token = long_token(product)
    court, days = product.resource("court-1"), 15 if seconds > 0 else 16
    first, second = product.free_slots(court, days=days)[:2]
    with (
        paused(product, "WORKER_PIDS"),
        product.another_web(**wrong_clock.settings) as web,
        product.another_worker("skewed", **wrong_clock.settings),
    ):
        due = make_holds_that_run_out(product, seconds=1)
        hold = post(web.site, "", token, first).json()
        other = post(web.site, "", token, second).json()
        [(left,)] = product.rows(
            "SELECT expires_at - slotbase_now() FROM bookings_bookinghold"
            " WHERE id = %s",
            hold["id"],
        )
        assert timedelta(seconds=280) < left <= timedelta(seconds=300)

        # This worker, whose wake-ups look old or young to it, does what is due.
        eventually(lambda: {hold_status(product, each) for each in due} == {"EXPIRED"})
        assert hold_status(product, hold["id"]) == "ACTIVE"
        assert post(web.site, f"{hold['id']}/confirm/", token).status_code == 201
        product.move_clock("+900s")
        late = post(web.site, f"{other['id']}/confirm/", token)
        assert (late.status_code, late.json()["code"]) == (410, "hold_expired")
    assert eventually(lambda: product.violations() == [], seconds=60)


class Broker:
    """The queues, to which nobody listens."""

    def __init__(self, product: Product) -> None:
        self._client = redis.from_url(product.env["REDIS_URL"])

    def empty(self) -> None:
        self._client.flushdb()

    def wakeups(self) -> Counter[str]:
        """How many wait, by their task."""
        found = (each for name in QUEUES for each in self._client.lrange(name, 0, -1))
        return Counter(
            each.decode().partition('"task": "')[2].partition('"')[0] for each in found
        )


def test_a_beat_that_was_stopped_for_an_hour_catches_up_once(
    product: Product, wrong_clock: WrongClock
) -> None:
    broker = Broker(product)
    with (
        paused(product, "WORKER_PIDS"),
        paused(product, "BEAT_PID"),
        product.running(*BEAT, **wrong_clock.settings),
    ):
        broker.empty()
        eventually(lambda: broker.wakeups()["bookings.expire_holds"] >= 2, seconds=60)
        broker.empty()

        wrong_clock.set(3600)
        eventually(lambda: broker.wakeups()["bookings.expire_holds"] >= 4)
        found = broker.wakeups()

        assert found["bookings.purge_holds"] == 1
        assert found["bookings.complete_bookings"] == 1
        assert found["bookings.expire_holds"] < 10
        assert max(found.values()) < 60


def test_a_beat_whose_clock_is_set_back_goes_on(
    product: Product, wrong_clock: WrongClock
) -> None:
    broker = Broker(product)
    wrong_clock.set(3600)
    with (
        paused(product, "WORKER_PIDS"),
        paused(product, "BEAT_PID"),
        product.running(*BEAT, **wrong_clock.settings),
    ):
        broker.empty()
        eventually(lambda: broker.wakeups()["bookings.expire_holds"] >= 2, seconds=60)

        wrong_clock.set(0)
        broker.empty()

        sweeps = ("bookings.expire_holds", "recovery.process_inbox")
        eventually(lambda: all(broker.wakeups()[each] >= 3 for each in sweeps))
