"""The sandbox as a process: where it listens, what it keeps, how it ends."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.sandbox.client import OwnSandbox, free_port

JWKS = "/clerk/.well-known/jwks.json"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slotbase.sandbox", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False
    )


def test_it_refuses_to_listen_where_others_could_reach_it(tmp_path: Path) -> None:
    place = ("--port", str(free_port()), "--state-dir", str(tmp_path))

    ended = run("--host", "0.0.0.0", *place)  # noqa: S104 - it is refused

    assert ended.returncode == 2
    assert "127.0.0.1" in ended.stderr


def test_a_taken_port_is_told_in_one_line(sandbox: OwnSandbox, tmp_path: Path) -> None:
    ended = run("--port", str(sandbox.port), "--state-dir", str(tmp_path))

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(sandbox.port) in ended.stderr


def test_it_never_imports_django() -> None:
    code = "import slotbase.sandbox.__main__, sys; sys.exit('django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tokens_and_keys_survive_a_restart(tmp_path: Path) -> None:
    sandbox = OwnSandbox(tmp_path)
    sandbox.rotate()
    before = sandbox.get(JWKS).json()
    previous = sandbox.mint("user_1", key="previous")
    assert sandbox.stop() == 0

    sandbox.start()

    assert sandbox.get(JWKS).json() == before
    again = sandbox.mint("user_1", key="previous")
    assert again["token"].split(".")[0] == previous["token"].split(".")[0]
    sandbox.stop()


def test_keys_can_be_read_by_their_owner_only(sandbox: OwnSandbox) -> None:
    sandbox.rotate()

    files = list(sandbox.state.iterdir())

    assert {file.name for file in files} == {
        "clerk-current-key.pem",
        "clerk-previous-key.pem",
    }
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_it_stops_at_once_while_a_client_hangs(tmp_path: Path) -> None:
    sandbox = OwnSandbox(tmp_path)
    sandbox.fault("hang")
    outcome: list[type[BaseException]] = []

    def ask() -> None:
        with pytest.raises(requests.ConnectionError) as caught:
            requests.get(sandbox.url + JWKS, timeout=10)
        outcome.append(caught.type)

    client = threading.Thread(target=ask)
    client.start()
    while not sandbox.calls():
        time.sleep(0.01)
    began = time.monotonic()

    assert sandbox.stop() == 0
    assert time.monotonic() - began < 1
    client.join()
    assert outcome


def test_a_body_that_is_too_large_is_refused(sandbox: OwnSandbox) -> None:
    headers = {"Content-Length": str(100 * 1024 * 1024)}

    answer = requests.post(
        sandbox.url + "/_sandbox/tokens", data=b"", headers=headers, timeout=10
    )

    assert answer.status_code == 413
