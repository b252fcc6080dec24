"""How requests get to Stripe: once, and in time whatever happens."""

import http.client
import io
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

import requests
import stripe
import urllib3
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from slotbase.providers.http import DirectSession, read_body

MAX_ANSWER_BYTES = 1024 * 1024
# Nothing about this computer or earlier calls is sent, nothing of Stripe's is logged.
stripe.enable_telemetry = False
logging.getLogger("stripe").setLevel(logging.WARNING)

_thread = threading.local()


class Patience(Enum):
    """How long a call may take in all; the value is the name of the setting."""

    REQUEST = "PROVIDER_TIMEOUT_SECONDS"
    """A customer waits, and so does a thread of the web process."""

    WORKER = "PROVIDER_WORKER_TIMEOUT_SECONDS"
    """Nobody waits."""

    @property
    def total_seconds(self) -> float:
        """Until the last byte of the answer."""
        seconds: float = getattr(settings, self.value)
        return seconds


class Exchange(stripe.HTTPClient):
    """The HTTP client of one call of the SDK; it remembers what was answered.

    `status` stays None, and `headers` empty, unless the whole answer came.
    """

    name = "slotbase"

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self._seconds = patience.total_seconds

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_: Any,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Called by the SDK: send once, and read the answer.

        Raises:
            ProviderError: the answer is too large or too slow.
            requests.RequestException, urllib3.exceptions.HTTPError: there is none.
        """
        _thread.deadline = deadline = time.monotonic() + self._seconds
        with _session().request(
            method,
            url,
            headers=headers,
            data=post_data,
            timeout=_timeout(self._seconds),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = read_body(
                response, provider="stripe", deadline=deadline, most=MAX_ANSWER_BYTES
            )
        self.status, self.headers = response.status_code, response.headers
        # The SDK stumbles over bytes that are no UTF-8 before it looks at the status.
        return body.decode(errors="replace"), self.status, self.headers


def _timeout(seconds: float) -> Any:
    # requests takes it; its types do not say so.
    return urllib3.Timeout(connect=settings.PROVIDER_CONNECT_SECONDS, total=seconds)


def _session() -> requests.Session:
    """One a thread, to keep its connection; a child of a fork makes its own."""
    if getattr(_thread, "process", None) != os.getpid():
        _thread.process, _thread.session = os.getpid(), _new_session()
    session: requests.Session = _thread.session
    return session


def _new_session() -> requests.Session:
    session = DirectSession()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _InTime())
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


class _InTime(HTTPAdapter):
    """Answers are read until the deadline, through a proxy as well."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _PlainPool, "https": _TlsPool}
