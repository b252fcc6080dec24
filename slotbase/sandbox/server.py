"""The socket side: reads requests, and sends, delays, withholds or resets replies."""

import os
import socket
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from slotbase.sandbox.exchange import Delivery, Reply, Request
from slotbase.sandbox.frame import Sandbox

HOST = "127.0.0.1"
MAX_BODY_BYTES = 8 * 1024 * 1024
# Linger on, for zero seconds: closing sends RST instead of FIN.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SandboxServer(ThreadingHTTPServer):
    """Serves one sandbox on this computer's own address only."""

    daemon_threads = True  # a hanging reply must not delay the end
    request_queue_size = 256
    sandbox: Sandbox  # set before serving: its issuer needs the port

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), SandboxHandler)

    @property
    def url(self) -> str:
        """Where the sandbox is reached."""
        return f"http://{HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report bugs; a client that went away is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class SandboxHandler(BaseHTTPRequestHandler):
    """Reads requests off one connection and delivers the replies."""

    server: SandboxServer
    protocol_version = "HTTP/1.1"
    server_version = "slotbase-sandbox"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(Reply(413, {"error": f"Send at most {MAX_BODY_BYTES} bytes."}))
            return
        self._deliver(self.server.sandbox.answer(self._read(int(length))))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server

    def _read(self, length: int) -> Request:
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )

    def _deliver(self, reply: Reply) -> None:
        time.sleep(reply.delay_seconds)
        match reply.delivery:
            case Delivery.SEND:
                self._send(reply)
            case Delivery.HANG:
                self.close_connection = True
                self.connection.recv(1)  # until the client leaves
            case Delivery.RESET:
                self.close_connection = True
                self._reset()

    def _send(self, reply: Reply) -> None:
        body = reply.encoded_body()
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        # Not connection.close(): the handler's own files would keep it open.
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """One short line a request."""
        sys.stderr.write(f"sandbox: {format % args}\n")
