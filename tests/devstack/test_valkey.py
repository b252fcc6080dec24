"""The embedded Valkey."""

import os
import signal

import pytest
import redis

from slotbase.devstack.supervisor import running
from slotbase.devstack.valkey import BROKER, CACHE, Valkey
from tests.devstack.tiny import tick_until


@pytest.fixture
def valkey(tmp_path):
    valkey = Valkey(tmp_path)
    valkey.prepare()
    return valkey


def test_what_it_was_told_survives_a_kill_and_it_never_evicts(valkey, tmp_path):
    with running([valkey.program()], tmp_path) as supervisor:
        with redis.Redis.from_url(valkey.url(BROKER)) as broker:
            broker.set("kept", "7")
            assert broker.config_get("maxmemory-policy") == {
                "maxmemory-policy": "noeviction"
            }
        os.kill(supervisor.children()["valkey"].pid, signal.SIGKILL)
        tick_until(supervisor, lambda: not supervisor.children())
        tick_until(supervisor, lambda: not supervisor.waiting_for())

        with redis.Redis.from_url(valkey.url(BROKER)) as broker:
            assert broker.get("kept") == b"7"
        with redis.Redis.from_url(valkey.url(CACHE)) as cache:
            assert cache.get("kept") is None


def test_it_is_not_ready_before_it_runs(valkey):
    assert not valkey.is_ready()
