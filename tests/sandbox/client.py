"""The sandbox as tests see it: its control API over HTTP, and processes of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import requests


class SandboxClient:
    """Talks to one sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, told: Any = None) -> requests.Response:
        # Not `json=`: it refuses the endless numbers that forgers send.
        return requests.post(self.url + path, data=json.dumps(told), timeout=10)

    def get(self, path: str, **options: Any) -> requests.Response:
        options = {"timeout": 10, **options}
        return requests.get(self.url + path, **options)  # noqa: S113 - see above

    def delete(self, path: str) -> requests.Response:
        return requests.delete(self.url + path, timeout=10)

    def mint(self, sub: str, ttl: int = 60, **overrides: Any) -> dict[str, str]:
        """A session token of this customer, with its `sid` and `expires_at`."""
        wish = {"sub": sub, "ttl": ttl, "overrides": overrides}
        answer = self.post("/_sandbox/tokens", wish)
        assert answer.status_code == 201, answer.text
        minted: dict[str, str] = answer.json()
        return minted

    def token(self, sub: str, ttl: int = 60, **overrides: Any) -> str:
        return self.mint(sub, ttl, **overrides)["token"]

    def fault(self, fault: str, operation: str = "jwks", **options: Any) -> None:
        script = {"provider": "clerk", "operation": operation, "fault": fault}
        answer = self.post("/_sandbox/faults", {**script, **options})
        assert answer.status_code == 201, answer.text

    def rotate(self) -> str:
        kid: str = self.post("/_sandbox/clerk/rotate").json()["kid"]
        return kid

    def reset(self) -> None:
        self.post("/_sandbox/reset")

    def kid(self) -> str:
        """The id of the present signing key."""
        kid: str = jwt.get_unverified_header(self.token("anybody"))["kid"]
        return kid

    def calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self.get("/_sandbox/calls").json()["calls"]
        return calls

    def effects(self) -> list[dict[str, Any]]:
        effects: list[dict[str, Any]] = self.get("/_sandbox/effects").json()["effects"]
        return effects


class OwnSandbox(SandboxClient):
    """A sandbox process of one test."""

    def __init__(self, state: Path, **environment: str) -> None:
        self.state, self.port = state, free_port()
        self.environment = {**os.environ, **environment}
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.start()

    def start(self) -> None:
        place = ["--port", str(self.port), "--state-dir", str(self.state)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "slotbase.sandbox", *place],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        wait_until_answering(self.url)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=5)


def wait_until_answering(url: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            requests.get(f"{url}/_sandbox/health", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"{url} does not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
