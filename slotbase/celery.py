"""The Celery application: it carries row ids; rows decide (decisions 4.2)."""

import os
from typing import Any

import redis
import structlog
from celery import Celery
from celery.signals import worker_init, worker_ready
from django.conf import settings
from django.db import Error, connection, connections
from kombu.transport.redis import Channel, Transport
from redis.backoff import NoBackoff
from redis.retry import Retry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "slotbase.settings")


class ForgetfulChannel(Channel):
    """Redis' channel, which forgets its messages when its connection is lost.

    kombu 5.7 would give back, and acknowledge, what the lost connection brought: to a
    broker whose address it has forgotten by then. That error ends the worker. Without
    it tasks that run go on, and their messages come again: rows know what was done.
    """

    do_restore = False

    def basic_ack(self, *args: Any, **kwargs: Any) -> None:
        """Acknowledge, unless the connection is gone."""
        if not self.closed:
            super().basic_ack(*args, **kwargs)

    def basic_reject(self, *args: Any, **kwargs: Any) -> None:
        """Reject, unless the connection is gone."""
        if not self.closed:
            super().basic_reject(*args, **kwargs)


Transport.Channel = ForgetfulChannel

app = Celery("slotbase", task_cls="slotbase.worker:Task")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

log = structlog.get_logger(__name__)


@worker_ready.connect
def say_that_worker_is_alive(sender: Any, **_: object) -> None:
    """The first sign of life of each queue, half a minute before beat asks for one."""
    from recovery.heartbeats import record_heartbeat  # noqa: PLC0415 - apps must be loaded

    try:
        for queue in sender.app.amqp.queues.consume_from:
            record_heartbeat(f"{sender.hostname} {queue}")
    except Error as error:
        log.warning("database_unavailable", error=type(error).__name__)
    finally:
        # The processes that are forked from this one must not share it.
        connection.close()


BRIEFLY = {"socket_timeout": 2, "socket_connect_timeout": 2}


@worker_init.connect
def look_before_anything_is_sent(**_: object) -> None:
    """Whoever starts does not know what became of the database meanwhile."""
    from payments.services import events  # noqa: PLC0415 - models must be loaded

    try:
        events.read_first()
    except Error as error:
        log.warning("database_unavailable", error=type(error).__name__)
    finally:
        connections.close_all()  # children have connections of their own


@worker_ready.connect
def warn_if_broker_may_evict(**_: object) -> None:
    """A broker that is also a cache throws messages away when its memory is full."""
    once = Retry(NoBackoff(), 0)
    try:
        with redis.from_url(settings.REDIS_URL, retry=once, **BRIEFLY) as broker:
            policy = broker.config_get("maxmemory-policy")["maxmemory-policy"]
    except (redis.RedisError, KeyError):
        return  # it does not answer, or does not tell
    if policy != "noeviction":
        log.warning("broker_may_evict", policy=policy)
