"""A link of a mail is a key to what its customer hears of: no log has one."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from notifications import tokens
from notifications.kinds import Topic
from notifications.states import Channel
from slotbase.devstack.loopback import answers
from slotbase.devstack.ports import any_free_port
from tests.product import eventually

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


@pytest.fixture
def site(log: Path) -> Iterator[str]:
    """A web server that finds no database, and logs all that it ever does."""
    site = f"http://127.0.0.1:{(port := any_free_port())}"
    without = f"postgres://slotbase@127.0.0.1:{any_free_port()}/slotbase"
    listen = ["--port", str(port), "--interface", "wsgi", "--no-ws"]
    with log.open("w") as output:
        web = subprocess.Popen(
            [sys.executable, "-m", "granian", *listen, "slotbase.wsgi:application"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": without, "LOG_LEVEL": "DEBUG"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: answers(f"{site}/health/live"), seconds=120)
        yield site
    finally:
        web.terminate()
        web.wait()


def test_a_web_server_logs_no_link_even_of_a_request_that_failed(
    site: str, log: Path
) -> None:
    token = tokens.sign(
        tokens.Subscription(uuid.uuid4(), Topic.REMINDERS, Channel.EMAIL)
    )

    status = requests.get(f"{site}/unsubscribe/{token}/", timeout=60).status_code
    requests.get(f"{site}/api/v1/venues/", timeout=60)

    said = log.read_text()
    assert status >= 500
    # The path of a request that failed is logged, but for what is a key in it.
    assert "/api/v1/venues/" in said
    assert "/unsubscribe/.../" in said
    assert token not in said
    assert token.split(":")[0] not in said
