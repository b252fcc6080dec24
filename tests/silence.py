"""A server that takes connections and never answers: what hangs, seen from here."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def end_sleepers() -> None:
    """End statements that sleep on though nobody waits for them any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE '%pg_sleep%'"
        )


@contextmanager
def silent_server() -> Iterator[int]:
    """Its port. It reads all that is sent, so no network time-out ends the wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []
        threading.Thread(target=_swallow, args=(server, taken), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


def _swallow(server: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return  # closed: the test is over
        taken.append(connection)
        threading.Thread(target=_read, args=(connection,), daemon=True).start()


def _read(connection: socket.socket) -> None:
    try:
        while connection.recv(65536):
            pass
    except OSError:
        return  # closed: the test is over
