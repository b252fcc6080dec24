"""Sessions whose calls end in time, however slowly the answer comes.

A time-out of a socket begins anew with each byte. So does that of requests, and while a
status or a header drips in, nobody else looks at the clock.
"""

import http.client
import io
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from slotbase.providers.http import DirectSession

_thread = threading.local()


def set_deadline(seconds: float) -> float:
    """So long the calls of this thread may take from now on: a `time.monotonic()`."""
    deadline = time.monotonic() + seconds
    _thread.deadline = deadline
    return deadline


def new_session() -> DirectSession:
    """A session that wants `set_deadline` before each of its calls."""
    session = DirectSession()
    for scheme in ("http://", "https://"):
        session.mount(scheme, InTime())
    return session


class _Reader(io.RawIOBase):
    """Reads from a socket until this thread's deadline.

    A time-out of a socket begins anew with each byte, so a drip would never end.
    """

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        super().__init__()
        self._raw, self._connection = raw, connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _thread.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _at_most(patience: float) -> float:
    left: float = _thread.deadline - time.monotonic()
    # Zero would mean: without waiting.
    return max(0.001, min(patience, left))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _PlainConnection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Try all addresses, but without the time anew for each of them."""
        name = self._dns_host
        patience: Any = self.timeout  # a number: _timeout made it
        try:
            connection = self._connect_to_any(self._addresses(), patience)
        finally:
            self._dns_host, self.timeout = name, patience
        # For the handshake.
        connection.settimeout(_at_most(patience))
        return connection

    def _addresses(self) -> list[str]:
        try:
            found = socket.getaddrinfo(
                self._dns_host, self.port, type=socket.SOCK_STREAM
            )
        except OSError:
            # urllib3 will find out as well, and say so.
            return [self._dns_host]
        return [str(address[0]) for *_, address in found]

    def _connect_to_any(self, addresses: list[str], patience: Any) -> socket.socket:
        *others, last = addresses
        for address in others:
            self._dns_host, self.timeout = address, _at_most(patience)
            with suppress(urllib3.exceptions.ConnectTimeoutError):
                return super()._new_conn()
        self._dns_host, self.timeout = last, _at_most(patience)
        return super()._new_conn()


class _TlsConnection(_PlainConnection, HTTPSConnection):
    """The same, encrypted."""


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class InTime(HTTPAdapter):
    """Answers are read until the deadline, through a proxy as well."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager


POOLS = {"http": _PlainPool, "https": _TlsPool}
