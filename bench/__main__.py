"""`make bench`: the running product over HTTP beside the limit of the same server.

Starts a product of its own (nothing of yours is touched), takes limit and product in
turns, and prints the medians of the ratios, with the goals of the design beside them.
"""

import argparse
import json
import random
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psycopg
import requests

from bench import history, limit, load
from slotbase.devstack.own import own_product
from slotbase.devstack.postgres_binaries import find_programs

RESOURCES, BACKGROUND_CLAIMS = 1000, 100_000
HOLDS_PER_CUSTOMER = 3
chance = random.Random()  # noqa: S311 - which slot is no secret
# A share of requests, of one customer or address, is not what is measured.
PLENTY = {
    f"THROTTLE_{each}_PER_MINUTE": "10000000"
    for each in ("HOLDS", "USER", "SHARED_ADDRESS", "GLOBAL")
}


SEED = f"""
INSERT INTO accounts_venue (slug, name, time_zone, currency, address)
    VALUES ('bench', 'Bench', 'UTC', 'EUR', '');
INSERT INTO bookings_resource (venue_id, slug, name, kind, step_minutes, min_minutes,
    max_minutes, buffer_before_minutes, buffer_after_minutes, notice_minutes,
    horizon_days, price_minor, tax_rate, payment_mode, requires_check_in, is_bookable)
SELECT v.id, 'bench-' || n, 'Bench ' || n, 'COURT', 30, 30, 120, 0, 0, 0, 365, 0, 0,
    'FREE', false, true
FROM accounts_venue v, generate_series(1, {RESOURCES}) n WHERE v.slug = 'bench';
INSERT INTO bookings_resourceunit (resource_id, number)
    SELECT id, 1 FROM bookings_resource WHERE slug LIKE 'bench-%';
INSERT INTO bookings_openinghours (resource_id, weekday, opens, closes)
    SELECT id, day, '00:00', '00:00' FROM bookings_resource, generate_series(0, 6) day
    WHERE slug LIKE 'bench-%';
"""
# Sold slots of the first hundred days, every other half hour, as a season would be.
BACKGROUND = f"""
WITH sold AS (
    SELECT gen_random_uuid() AS id, r.id AS resource_id, u.id AS unit_id,
        date_trunc('day', slotbase_now()) + (n + 24) * interval '1 hour' AS start
    FROM bookings_resource r JOIN bookings_resourceunit u ON u.resource_id = r.id,
        generate_series(1, {BACKGROUND_CLAIMS // RESOURCES}) n
    WHERE r.slug LIKE 'bench-%'),
hold AS (
    INSERT INTO bookings_bookinghold (id, resource_id, customer_id, start_time,
        end_time, buffer_before_minutes, buffer_after_minutes, units, status, source,
        price_minor, currency, expires_at)
    SELECT s.id, s.resource_id, c.id, s.start, s.start + interval '30 minutes', 0, 0,
        '{{1}}', 'CONFIRMED', 'CUSTOMER', 0, 'EUR', slotbase_now()
    FROM sold s, (SELECT id FROM accounts_user WHERE clerk_id = 'bench-0') c)
INSERT INTO bookings_slotclaim (unit_id, during, hold_id)
    SELECT unit_id, tstzrange(start, start + interval '30 minutes'), id FROM sold;
"""


def seed(url: str, customers: int) -> list[int]:
    """Resources, customers and sold slots; returns the ids of the resources."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(SEED)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO accounts_user (id, clerk_id, name, email, phone, locale,"
                " password, is_active, is_staff, is_superuser)"
                " VALUES (%s, %s, '', '', '', 'en', '!', true, false, false)",
                [(uuid.uuid4(), f"bench-{n}") for n in range(customers)],
            )
        connection.execute(BACKGROUND)
        connection.execute("VACUUM ANALYZE")
        rows = connection.execute(
            "SELECT id FROM bookings_resource WHERE slug LIKE 'bench-%' ORDER BY id"
        )
        return [row[0] for row in rows]


def tokens(sandbox: str, customers: int) -> list[str]:
    """A session token for each customer."""
    subs = [f"bench-{n}" for n in range(customers)]
    found: dict[str, str] = {}
    for first in range(0, customers, 500):
        answer = requests.post(
            f"{sandbox}/_sandbox/tokens",
            json={"subs": subs[first : first + 500], "ttl": 3600},
            timeout=60,
        )
        found |= answer.json()["tokens"]
    return [found[sub] for sub in subs]


class Wishes:
    """Requests for new holds: uniform over resources and free half hours."""

    def __init__(self, host: str, resources: list[int], tokens: list[str]) -> None:
        self._host, self._resources = host, resources
        self._tokens = iter(tokens * HOLDS_PER_CUSTOMER)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._first = today + timedelta(days=10)
        self._used: set[tuple[int, int]] = set()

    def take(self, count: int) -> list[bytes]:
        """So many requests, each by a customer who may hold one more."""
        return [self._request(*self._slot()) for _ in range(count)]

    def crowd(self, count: int) -> list[bytes]:
        """So many customers who want the same slot."""
        slot = self._slot()
        return [self._request(*slot) for _ in range(count)]

    def _slot(self) -> tuple[int, int]:
        while True:
            slot = chance.choice(self._resources), chance.randrange(350 * 48)
            if slot not in self._used:
                self._used.add(slot)
                return slot

    def _request(self, resource: int, slot: int) -> bytes:
        start = self._first + timedelta(minutes=30 * slot)
        wish = {
            "resource": resource,
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(minutes=30)).isoformat(),
        }
        body = json.dumps(wish).encode()
        token = next(self._tokens)
        return load.post(self._host, "/api/v1/holds/", token, uuid.uuid4().hex, body)


def show(name: str, value: str, goal: str = "") -> None:
    """One line of the report."""
    print(f"{name:<52}{value:>14}   {goal}", flush=True)


def measure(product: dict[str, str], options: argparse.Namespace) -> list[float]:
    """All that is measured, printed; returns the ratios of holds to the limit."""
    # Twice: with little history, and with much.
    customers = 2 * options.rounds * options.requests // HOLDS_PER_CUSTOMER + 400
    database = product["DATABASE_OWNER_URL"]
    site = urlsplit(product["SLOTBASE_URL"])
    address = (str(site.hostname), int(site.port or 80))
    wishes = Wishes(
        site.netloc,
        seed(database, customers),
        tokens(product["SANDBOX_URL"], customers),
    )
    limit.prepare(database)
    load.run(address, wishes.take(300), connections=32, seconds=5)  # warm up
    ratios = _rounds(database, address, wishes, options)
    _one_at_a_time(database, address, wishes)
    _one_slot(address, wishes)
    _with_much_history(product, lambda: _p95(address, wishes, options))
    return ratios


def _rounds(
    database: str,
    address: tuple[str, int],
    wishes: Wishes,
    options: argparse.Namespace,
) -> list[float]:
    """Limit and product in turns; prints each round and returns the ratios."""
    ratios = []
    for number in range(1, options.rounds + 1):
        tps, _ = take_limit(database, clients=16, seconds=options.seconds)
        result = load.run(
            address,
            wishes.take(options.requests - 100),
            connections=32,
            seconds=options.seconds,
        )
        ratios.append(result.per_second(201) / tps)
        show(f"round {number}: limit, statements/s", f"{tps:,.0f}")
        show(
            f"round {number}: holds/s, p50, p99 ms, statuses",
            f"{result.per_second(201):,.0f}",
            f"{result.percentile(50):.1f}  {result.percentile(99):.1f}  "
            f"{dict(result.statuses)}",
        )
    return ratios


def _p95(
    address: tuple[str, int], wishes: Wishes, options: argparse.Namespace
) -> float:
    """Of holds by few clients, so that the queue of the server is not measured."""
    results = [
        load.run(address, wishes.take(400), connections=2, seconds=options.seconds)
        for _ in range(options.rounds)
    ]
    return median(result.percentile(95) for result in results)


def _with_much_history(product: dict[str, str], p95: Callable[[], float]) -> None:
    before = p95()
    history.fill(product["DATABASE_OWNER_URL"])
    after = p95()
    name = f"{history.ENTRIES:,} entries of history: hold, p95 ms"
    show(name, f"{after:.1f}", f"{before:.1f} before; must +10 %")
    for what, took in history.look(product["SLOTBASE_URL"]).items():
        show(f"  audit: {what}, ms", f"{took:,.0f}", "must 1,000")


def _one_at_a_time(database: str, address: tuple[str, int], wishes: Wishes) -> None:
    _, limit_ms = take_limit(database, clients=1, seconds=3)
    alone = load.run(address, wishes.take(300), connections=1, seconds=5)
    show("one client: limit, mean ms", f"{limit_ms:.2f}")
    show("one client: hold, p50 ms", f"{alone.percentile(50):.2f}")
    ratio = alone.percentile(50) / limit_ms
    show("one client: hold over limit", f"{ratio:.1f}x", "must 7, goal 4.6")


def _one_slot(address: tuple[str, int], wishes: Wishes) -> None:
    crowd = load.run(address, wishes.crowd(200), connections=200, seconds=30)
    show(
        "200 clients for one slot: slowest answer, ms",
        f"{max(crowd.latencies) * 1000:,.0f}",
        f"must 3,000; {dict(crowd.statuses)}",
    )


def take_limit(database: str, *, clients: int, seconds: int) -> tuple[float, float]:
    """The limit of this server at this moment."""
    with tempfile.TemporaryDirectory() as folder:
        return limit.measure(
            database, find_programs(), Path(folder), clients=clients, seconds=seconds
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6000, help="at most, a round")
    options = parser.parse_args()
    with own_product("slotbase-bench-", **PLENTY) as product:
        ratios = measure(product, options)
    low, high = min(ratios), max(ratios)
    show(
        "POST /holds over the limit (median; min-max)",
        f"{median(ratios):.3f}",
        f"{low:.3f}-{high:.3f}; must 0.10, goal 0.15",
    )


if __name__ == "__main__":
    main()
