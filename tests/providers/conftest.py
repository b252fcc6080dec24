"""The running sandbox as the provider, and a server that says whatever a test wants."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from tests.sandbox.client import SandboxClient

Script = Callable[[socket.socket], None]


@pytest.fixture
def sandbox() -> Iterator[SandboxClient]:
    client = SandboxClient(os.environ["SANDBOX_URL"])
    client.reset()
    yield client
    client.reset()


class OddServer:
    """Accepts one connection, reads the request and lets a script write the answer."""

    def __init__(self, script: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.request = b""
        self._script = script
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with closing(connection):
            self.request = connection.recv(65536)
            with suppress(OSError):  # the client has had enough
                self._script(connection)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def odd_server() -> Iterator[Callable[[Script], OddServer]]:
    servers: list[OddServer] = []

    def start(script: Script) -> OddServer:
        servers.append(OddServer(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
