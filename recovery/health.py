"""How this installation is, without keeping whoever asks waiting (ADR 0028).

A thread looks; a request reads what it saw. So an answer comes within milliseconds even
if the database, Redis and every provider hang. Providers are never asked at all.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import redis
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from redis.backoff import NoBackoff
from redis.retry import Retry

from recovery import vitals
from recovery.vitals import Check, Health
from slotbase.lib import watch
from slotbase.lib.look import Ask, Lookout, Probe
from slotbase.providers.reports import CONFIGURED_BY

READY_SECONDS, HEALTH_SECONDS = 1, 5  # how often a web process looks by itself
# Older than that, what was seen says nothing: the database hangs.
READY_STALE_SECONDS, HEALTH_STALE_SECONDS = 2, 15
BRIEFLY = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}
READY = "ready"

_is_migrated = False


@dataclass(frozen=True)
class Snapshot:
    """What was seen at a moment."""

    at: datetime
    checks: tuple[Check, ...]

    @property
    def status(self) -> Health:
        """Unhealthy without the database alone; degraded if any part is."""
        bad = {Health.UNHEALTHY, Health.DEGRADED}
        found = {each.name: each.status for each in self.checks if each.status in bad}
        # Whoever takes processes away for it would take staff's pages away, too.
        without = found.get("database") is Health.UNHEALTHY
        return (
            Health.UNHEALTHY
            if without
            else Health.DEGRADED
            if found
            else Health.HEALTHY
        )


def find_unready_part() -> str | None:
    """The part that keeps this process from serving, None if it can.

    A database that went away or came back is noticed at once, one that hangs soon.
    """
    seen = _ready.ask(fresh=0, stale=READY_STALE_SECONDS)
    return None if seen == READY else seen or "database"


def read() -> Snapshot:
    """How all parts are, as of some seconds ago at most.

    Of a database that hangs the look at readiness, which comes more often, knows first.
    """
    seen = _health.ask(fresh=HEALTH_SECONDS, stale=HEALTH_STALE_SECONDS)
    ready = _ready.ask(fresh=READY_STALE_SECONDS, stale=READY_STALE_SECONDS)
    if seen is None or ready in {None, "database"}:
        return _without_database("no_answer", _redis_as_of(seen))
    return seen


def look_now() -> Snapshot:
    """How all parts are now: takes some seconds if some of them hang."""
    probe = Probe()
    try:
        return _look_at_all(probe)
    finally:
        probe.close()


def forget() -> None:
    """Let go of what was seen, and of the connections to the database."""
    for lookout in (_ready, _health):
        lookout.forget()
    for probe in (_ready_probe, _health_probe):
        probe.close()


# --- Looks --------------------------------------------------------------------


def _look_whether_ready(probe: Probe) -> str:
    try:
        probe.ask("SELECT 1")
        return READY if _has_schema(probe.ask) else "migrations"
    except psycopg.Error:
        return "database"


def _has_schema(ask: Ask) -> bool:
    """Whether all migrations are applied; once they are, they stay applied."""
    global _is_migrated  # noqa: PLW0603 - remembered per process, by intent
    if not _is_migrated:
        _is_migrated = not find_missing_migrations(ask)
    return _is_migrated


def find_missing_migrations(ask: Ask) -> list[str]:
    """Migrations of this code that the database does not have."""
    [(has_table,)] = ask("SELECT to_regclass('django_migrations') IS NOT NULL")
    applied = {*ask("SELECT app, name FROM django_migrations")} if has_table else set()
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return sorted(f"{app}.{name}" for app, name in {*known} - applied)


def _look_at_all(probe: Probe) -> Snapshot:
    began = time.monotonic()
    part = _look_whether_ready(probe)
    if part != READY:
        code = "no_answer" if part == "database" else part
        return _without_database(code, _look_at_redis())
    latency = {"latency_ms": _milliseconds_since(began)}
    database = Check("database", Health.HEALTHY, "It answers.", "", latency)
    return _snapshot([database, _look_at_redis(), *_look_at_the_rest(probe.ask)])


def _look_at_the_rest(ask: Ask) -> Iterable[Check]:
    try:
        return vitals.find_vitals(ask)
    except psycopg.Error:
        # It answered a moment ago, so it is slow or full.
        return _unseen(Health.DEGRADED, "not_readable")


def _without_database(code: str, redis_: Check) -> Snapshot:
    says = {
        "migrations": "Its tables are not those of this version: migrate it.",
        "no_answer": "It does not answer.",
    }[code]
    database = Check("database", Health.UNHEALTHY, says, code)
    return _snapshot([database, redis_, *_unseen(Health.UNKNOWN, "unseen")])


def _redis_as_of(seen: Snapshot | None) -> Check:
    """As it was seen: a request does not look."""
    unseen = Check("redis", Health.UNKNOWN, "Nobody has looked yet.", "unseen")
    checks = seen.checks if seen else ()
    return next((check for check in checks if check.name == "redis"), unseen)


def _unseen(status: Health, code: str) -> Iterator[Check]:
    for name in (*CONFIGURED_BY, *vitals.NAMES):
        yield Check(name, status, "The database cannot be asked about it.", code)


def _look_at_redis() -> Check:
    began = time.monotonic()
    silent = [name for name, address in servers().items() if not answers(address)]
    if silent:
        says = f"No answer of the {' and the '.join(silent)}. Nobody waits for it."
        return Check("redis", Health.DEGRADED, says, f"{silent[0]}_away")
    latency = {"latency_ms": _milliseconds_since(began)}
    return Check("redis", Health.HEALTHY, "It answers.", "", latency)


def servers() -> dict[str, str]:
    """The addresses of Redis, by what it is used for."""
    return {
        "broker": settings.REDIS_URL,
        "cache": settings.CACHES["default"]["LOCATION"],
    }


def answers(address: str) -> bool:
    """Whether a Redis answers within a moment."""
    try:
        with redis.from_url(address, retry=Retry(NoBackoff(), 0), **BRIEFLY) as server:
            return bool(server.ping())
    except redis.RedisError:
        return False


def _snapshot(checks: Iterable[Check]) -> Snapshot:
    return Snapshot(datetime.fromtimestamp(time.time(), UTC), tuple(checks))


def _milliseconds_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


_ready_probe, _health_probe = Probe(), Probe()
_ready = Lookout("look whether ready", lambda: _look_whether_ready(_ready_probe))
_health = Lookout("look at all parts", lambda: _look_at_all(_health_probe))

watch.register(
    watch.Job("readiness", READY_SECONDS, find_unready_part),
    watch.Job("health", HEALTH_SECONDS, read),
)
