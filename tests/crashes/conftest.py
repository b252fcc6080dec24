"""Fixtures of the crash tests: worker processes to be killed or paused."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from slotbase.providers.analytics import client
from slotbase.providers.breaker import Breaker
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.crashes import worker
from tests.crashes.till import Till
from tests.crashes.worker import Workers


@pytest.fixture(scope="session")
def _parent_of_workers(django_db_setup: None) -> Iterator[Workers]:
    parent = Workers(connection.settings_dict["NAME"])
    yield parent
    parent.close()


@pytest.fixture
def workers(
    _parent_of_workers: Workers,
    transactional_db: None,
    sandbox: Sandbox,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Workers]:
    """Starts workers; this process can do, and send to the sandbox, what they can."""
    settings.ANALYTICS_URL = f"{sandbox.url}/analytics/events"
    monkeypatch.setattr(client, "breaker", Breaker("analytics"))
    worker.subscribe_all()
    yield _parent_of_workers
    worker.unsubscribe_all()
    _parent_of_workers.kill_all()


@pytest.fixture
def till(workers: Workers, sandbox: Sandbox, stripe: Stripe, clock: Clock) -> Till:
    """Processes with money in their hands, and who counts it."""
    return Till(workers, sandbox, stripe, clock)
