"""The running sandbox as this product's Clerk, and a view that says who signed in."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services import signing_keys
from tests.sandbox.client import SandboxClient

WhoAmI = Callable[[str], Any]


@pytest.fixture
def sandbox() -> Iterator[SandboxClient]:
    client = SandboxClient(os.environ["SANDBOX_URL"])
    client.reset()
    signing_keys.forget_cached_keys()
    yield client
    client.reset()
    signing_keys.forget_cached_keys()


@pytest.fixture
def who_am_i(settings: Any) -> WhoAmI:
    """Ask the API who somebody is with this Authorization header."""
    settings.ROOT_URLCONF = "tests.accounts.urls"

    def ask(header: str) -> Any:
        return Client().get("/me", headers={"Authorization": header})

    return ask


@pytest.fixture
def keys(sandbox: SandboxClient) -> None:
    """Clerk's keys are stored, as beat keeps them; the fetch is not in the journal."""
    signing_keys.refresh_signing_keys()
    sandbox.reset()


def keys_are_from(*, hours_ago: float) -> None:
    """Make the last answer of Clerk this old, in the eyes of every process."""
    then = datetime.fromtimestamp(time.time(), UTC) - timedelta(hours=hours_ago)
    SigningKeySet.objects.update(fetched_at=then, attempted_at=None)
    signing_keys.forget_cached_keys()


def last_attempt_was(*, seconds_ago: float) -> None:
    then = datetime.fromtimestamp(time.time(), UTC) - timedelta(seconds=seconds_ago)
    SigningKeySet.objects.update(attempted_at=then)
    signing_keys.forget_cached_keys()
