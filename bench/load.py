"""A load generator: requests made beforehand, keep-alive connections, one thread.

It costs about a tenth of what the product spends on a request, so it can share the
computer with it.
"""

import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import quantiles


@dataclass
class Result:
    """What came back, and how long each answer took in seconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def per_second(self, status: int | None = None) -> float:
        """Answers per second, of one status or of all."""
        count = self.statuses[status] if status else sum(self.statuses.values())
        return count / self.seconds

    def percentile(self, percent: int) -> float:
        """A percentile of the latencies in milliseconds."""
        return quantiles(self.latencies, n=100)[percent - 1] * 1000


class _Connection:
    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> tuple[int, bytes] | None:
        """Status and body once the whole answer is there."""
        self.buffer += self.socket.recv(65536)
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        marker = head.lower().index(b"content-length:")
        length = int(head[marker + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        self.buffer = b""
        return int(head[9:12]), body


def run(
    address: tuple[str, int],
    requests: Iterable[bytes],
    *,
    connections: int,
    seconds: float,
    keep_bodies: bool = False,
) -> Result:
    """Send the requests, one at a time on each connection, for at most `seconds`."""
    result, waiting = Result(), deque(requests)
    selector = selectors.DefaultSelector()
    started = time.perf_counter()
    for _ in range(min(connections, len(waiting))):
        connection = _Connection(*address)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(waiting.popleft())
    while selector.get_map():
        for key, _ in selector.select():
            answer = key.data.receive()
            if answer is None:
                continue
            now = time.perf_counter()
            result.statuses[answer[0]] += 1
            result.latencies.append(now - key.data.sent_at)
            if keep_bodies:
                result.bodies.append(answer[1])
            if waiting and now - started < seconds:
                key.data.send(waiting.popleft())
            else:
                selector.unregister(key.data.socket)
                key.data.socket.close()
    result.seconds = time.perf_counter() - started
    return result


def post(host: str, path: str, token: str, key: str, body: bytes) -> bytes:
    """The bytes of a POST with a bearer token and an Idempotency-Key."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
