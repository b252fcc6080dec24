"""The running sandbox as the provider, and a server that says whatever a test wants."""

import os
import re
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


def read_request(connection: socket.socket) -> bytes:
    """All of it: clients send the head first, and then the body."""
    request = b""
    while chunk := connection.recv(65536):
        request += chunk
        head, blank, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
        if blank and len(body) >= (int(length[1]) if length else 0):
            break
    return request


class OddServer:
    """Accepts one connection, reads the request and lets a script write the answer.

    `reads_first=False`: the script reads as well, such as a handshake.
    """

    def __init__(self, script: Script, *, reads_first: bool = True) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.request = b""
        self._script, self._reads_first = script, reads_first
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with closing(connection):
            if self._reads_first:
                self.request = read_request(connection)
            with suppress(OSError):  # the client has had enough
                self._script(connection)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def odd_server() -> Iterator[Callable[..., OddServer]]:
    servers: list[OddServer] = []

    def start(script: Script, **options: bool) -> OddServer:
        servers.append(OddServer(script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
