"""Celery's settings fit each other, the leases and the workers (ADR 0006)."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
import yaml
from celery.app.defaults import DEFAULTS
from celery.signals import worker_ready
from django.conf import settings
from kombu.transport.redis import Channel, Transport
from pytest_django import Settings

from recovery.rowqueue import LEASE_SECONDS
from slotbase.celery import app, warn_if_broker_may_evict
from slotbase.devstack.ports import any_free_port
from slotbase.devstack.stack import QUEUES
from slotbase.lib.enqueue import IMPATIENT
from tests.architecture.source import ROOT

PREFIX = "CELERY_"
# Read by the Connection of kombu, not by its Redis channel.
OF_CONNECTIONS = {"max_retries"}
# What must be so, whatever the numbers are: a task runs at least once, a worker takes
# no more than it can do, and a message can hold nothing but data.
REQUIRED = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "result_expires": None,
}
LONGEST_SOCKET_WAIT_SECONDS = 30


def ours() -> dict[str, Any]:
    """Our Celery settings, by the names that Celery has for them."""
    return {
        name.removeprefix(PREFIX).lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith(PREFIX)
    }


def faults(conf: Mapping[str, Any]) -> list[str]:
    return [
        *names_that_nobody_reads(conf),
        *wrong_values(conf),
        *limits_in_disorder(conf),
        *waits_without_end(conf["broker_transport_options"]),
        *queues_without_a_worker(conf),
    ]


def names_that_nobody_reads(conf: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"Celery has no {name}" for name in conf if name not in DEFAULTS)
    known = {*Channel.from_transport_options, *OF_CONNECTIONS}
    for name in (*conf["broker_transport_options"], *IMPATIENT):
        if name not in known:
            yield f"kombu has no {name}"


def wrong_values(conf: Mapping[str, Any]) -> Iterator[str]:
    for name, value in REQUIRED.items():
        if conf.get(name, DEFAULTS[name]) != value:
            yield f"{name} is not {value}"


def limits_in_disorder(conf: Mapping[str, Any]) -> Iterator[str]:
    soft, hard = conf["task_soft_time_limit"], conf["task_time_limit"]
    if not 0 < soft < hard:
        yield "the soft limit is not below the hard one"
    if not hard < LEASE_SECONDS:
        yield "a task may outlive its lease"
    # When it comes again, nobody has the row: the wake-up is good for something.
    if not conf["broker_transport_options"]["visibility_timeout"] > LEASE_SECONDS:
        yield "a message comes again while its lease holds"


def waits_without_end(options: Mapping[str, Any]) -> Iterator[str]:
    for name in ("socket_timeout", "socket_connect_timeout"):
        if not 0 < (options.get(name) or 0) <= LONGEST_SOCKET_WAIT_SECONDS:
            yield f"{name} has no bound"
    # A worker waits in BRPOP and reads the answer with this timeout.
    if not Transport.brpop_timeout < (options.get("socket_timeout") or 0):
        yield "workers cannot wait for a message"
    if not options.get("socket_keepalive") or not options.get("health_check_interval"):
        yield "a dead connection is not noticed"
    every = options["unacked_restore_interval"] * options["unacked_restore_throttle"]
    if every > LONGEST_SOCKET_WAIT_SECONDS:
        yield f"messages of dead workers are looked for every {every} s"


def queues_without_a_worker(conf: Mapping[str, Any]) -> Iterator[str]:
    routes = [route["queue"] for route in conf["task_routes"].values()]
    for queue in (conf["task_default_queue"], *routes):
        if any(
            queue not in served for served in (QUEUES.split(","), served_by_docker())
        ):
            yield f"no worker listens to {queue}"


def served_by_docker() -> list[str]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    words = services["worker"]["command"].split()
    return str(words[words.index("--queues") + 1]).split(",")


def test_the_settings_fit() -> None:
    assert faults(ours()) == []


def test_they_are_what_celery_uses() -> None:
    for name, value in ours().items():
        assert app.conf[name] == value, name


def changed(**over: Any) -> dict[str, Any]:
    """Our settings with a planted fault; `option__x` is one of the transport."""
    options = dict(ours()["broker_transport_options"])
    for name in [each for each in over if each.startswith("option__")]:
        options[name.removeprefix("option__")] = over.pop(name)
    return {**ours(), "broker_transport_options": options, **over}


@pytest.mark.parametrize(
    "fault",
    [
        *({name: "planted"} for name in REQUIRED),
        {"task_acks_late": False},
        {"accept_content": ["json", "pickle"]},
        {"worker_disable_prefetching": True},
        {"option__socket_timout": 10},
        {"task_soft_time_limit": 120},
        {"task_time_limit": LEASE_SECONDS},
        {"option__visibility_timeout": LEASE_SECONDS},
        {"option__socket_connect_timeout": None},
        {"option__socket_timeout": 3600},
        {"option__socket_keepalive": False},
        {"option__health_check_interval": 0},
        {"option__unacked_restore_throttle": 10},
        {"task_default_queue": "celery"},
        {"task_routes": {"bookings.*": {"queue": "booking"}}},
    ],
    ids=str,
)
def test_a_fault_would_be_seen(fault: dict[str, Any]) -> None:
    assert len(faults(changed(**fault))) == 1


@pytest.mark.parametrize("seconds", [None, 1])
def test_a_timeout_that_is_missing_or_too_short_would_be_seen(
    seconds: int | None,
) -> None:
    assert "workers cannot wait for a message" in faults(
        changed(option__socket_timeout=seconds)
    )


class Lines:
    """A log that remembers."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.said.append({"event": event, **values})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Lines:
    log = Lines()
    monkeypatch.setattr("slotbase.celery.log", log)
    return log


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The broker of the tests, which does not evict before and after."""
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        yield broker
        broker.config_set("maxmemory-policy", "noeviction")


def test_a_worker_warns_of_a_broker_that_may_evict(
    broker: redis.Redis, log: Lines
) -> None:
    worker_ready.send(sender=None)
    assert log.said == []

    broker.config_set("maxmemory-policy", "allkeys-lru")
    worker_ready.send(sender=None)
    assert log.said == [{"event": "broker_may_evict", "policy": "allkeys-lru"}]


def test_a_worker_starts_without_a_word_when_the_broker_does_not_answer(
    settings: Settings, log: Lines
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{any_free_port()}/0"
    warn_if_broker_may_evict()

    assert log.said == []
