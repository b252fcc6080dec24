"""A Celery worker of its own, with tasks that go wrong, and messages to send to it.

Celery loads this module beside the tasks of the product (`--include`).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import redis
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import OperationalError, connection

from tests.architecture.source import ROOT
from tests.product import eventually

QUEUE = "tester"


def leave_mark(name: str) -> None:
    """Say that a task began, in a way that survives its process."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO recovery_heartbeat (name) VALUES (%s)", [f"{name}|{uuid4()}"]
        )


def marks() -> list[str]:
    """Which tasks began, as often as they did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM recovery_heartbeat ORDER BY beat_at")
        return [name.split("|")[0] for (name,) in cursor.fetchall()]


@shared_task(name="tester.succeed")
def succeed(**_: object) -> None:
    """Do nothing wrong."""
    leave_mark("succeed")


@shared_task(name="tester.fail")
def fail(*, id: int, **_: object) -> None:  # noqa: A002 - of nothing
    """Fail, with words that nobody may read."""
    leave_mark("fail")
    raise ValueError("alice@example.com")


@shared_task(name="tester.kill_worker")
def kill_worker(**_: object) -> None:
    """As the kernel does to a process that takes too much memory."""
    leave_mark("kill")
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="tester.take_too_long", soft_time_limit=1, time_limit=2)
def take_too_long(**_: object) -> None:
    """Swallow the soft limit, as some SDKs do; the hard one is SIGKILL."""
    with suppress(SoftTimeLimitExceeded):
        signal.pause()
    signal.pause()


@shared_task(name="tester.lose_database")
def lose_database(**_: object) -> None:
    """Be refused by a database that is about to stop."""
    raise OperationalError


@contextmanager
def celery_worker(log: Path, database: str) -> Iterator[None]:
    """A worker with two processes, ready for messages; ended after the block."""
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}")
    command = ["-m", "celery", "-A", "slotbase.celery", "worker", "--queues", QUEUE]
    more = ["--concurrency", "2", "--include", "tests.crashes.messages"]
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, *command, *more, *quiet, "--hostname", f"{uuid4()}@%h"],
            env={
                **os.environ,
                "DATABASE_URL": address.geturl(),
                "DJANGO_SETTINGS_MODULE": "slotbase.settings",
                "LOG_LEVEL": "INFO",
            },
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            eventually(lambda: " ready." in log.read_text(), seconds=60)
            yield
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def broker() -> Any:
    """The broker, past Celery."""
    return redis.from_url(settings.REDIS_URL)


def send(task: str, **kwargs: Any) -> None:
    """A message as we send them."""
    put(headers={"task": task, "id": str(uuid4())}, body=[[], kwargs, {}])


def put(
    *,
    headers: dict[str, Any],
    body: Any,
    content_type: str = "application/json",
) -> None:
    """Any message, as it lies in the broker; a body that is text stays as it is."""
    message = {
        "body": body if isinstance(body, str) else json.dumps(body),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": {"lang": "py", "argsrepr": "()", "kwargsrepr": "{}", **headers},
        "properties": {
            "delivery_mode": 2,
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
        },
    }
    broker().lpush(QUEUE, json.dumps(message))
