"""A TCP proxy that fails on purpose: it stands before PostgreSQL, Redis or a website.

It passes everything on until it is told otherwise; whoever is connected meets the fault
at once.
"""

import socket
import struct
import threading
from contextlib import suppress
from typing import Literal, Self
from urllib.parse import urlsplit

# PostgreSQL's CommandComplete: a letter, the length of the rest, and the command.
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
CHUNK = 65536
Mode = Literal["pass", "blackhole", "refuse"]


class FaultProxy:
    """Listens at `address`, and passes on what comes to a server."""

    def __init__(self, upstream: str) -> None:
        """Stand before a server, given by an address like `postgres://host:port/db`."""
        self._parts = urlsplit(upstream)
        assert self._parts.hostname is not None
        assert self._parts.port is not None
        self._upstream = (self._parts.hostname, self._parts.port)
        self._mode: Mode = "pass"
        self._pattern = b""
        self._lock = threading.Lock()
        self._lines: set[socket.socket] = set()
        self.was_dropped = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept() would keep the port open.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    @property
    def address(self) -> str:
        """The upstream's address, but for host and port, which are the proxy's."""
        who, at, _ = self._parts.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        return self._parts._replace(netloc=f"{who}{at}127.0.0.1:{port}").geturl()

    def set(self, mode: Mode) -> None:
        """Pass on, swallow everything, or end each connection as soon as it is made."""
        self._mode = mode

    def drop_reply(self, pattern: bytes = COMMITTED) -> None:
        """The next answer with these bytes does not arrive, and its connection ends."""
        self.was_dropped.clear()
        self._pattern = pattern

    def reset(self) -> None:
        """End every connection there is, without a word."""
        with self._lock:
            lines, self._lines = self._lines, set()
        for line in lines:
            _end(line)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._mode == "refuse":
                _end(client)
            else:
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, timeout=5)
        except OSError:
            _end(client)
            return
        server.settimeout(None)
        with self._lock:
            self._lines |= {client, server}
        for source, target, is_reply in (
            (client, server, False),
            (server, client, True),
        ):
            threading.Thread(
                target=self._pump, args=(source, target, is_reply), daemon=True
            ).start()

    def _pump(
        self, source: socket.socket, target: socket.socket, is_reply: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self._mode == "blackhole":
                    continue
                if is_reply and self._is_to_be_dropped(data):
                    break
                target.sendall(data)
        for line in (source, target):
            _end(line)
        with self._lock:
            self._lines -= {source, target}

    def _is_to_be_dropped(self, data: bytes) -> bool:
        with self._lock:
            if not self._pattern or self._pattern not in data:
                return False
            self._pattern = b""
        self.was_dropped.set()
        return True


def _end(line: socket.socket) -> None:
    """With RST, as when a computer dies, and not with FIN."""
    with suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        line.shutdown(socket.SHUT_RDWR)
    line.close()
