"""Which loopback ports the programs of one installation listen on."""

import socket

from slotbase.devstack.errors import StackError
from slotbase.devstack.state import State

LOOPBACK = "127.0.0.1"
USUAL_WEB_PORT = 8000


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # A server that just stopped leaves its number in TIME_WAIT: that is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def same_port_as_before(state: State, name: str) -> int:
    """The port of the last start; a new one if another program has it by now."""
    port = state.recall(f"{name}_port", any_free_port)
    if not is_free(port):
        port = any_free_port()
        state.remember(f"{name}_port", port)
    return port


def choose_web_port(state: State, wanted: str | None) -> int:
    """The port of the web server: what PORT says, else the last one, else 8000.

    Raises:
        StackError: PORT names a port that is taken, or is not a port number.
    """
    port = _wanted_port(wanted) if wanted else _usual_web_port(state)
    state.remember("web_port", port)
    return port


def reserve(port: int) -> None:
    """Keep a port from other installations until this process ends.

    Granian opens its port with SO_REUSEPORT, so two of them would share one number and
    each answer half the requests. This socket never listens: it lets our own web server
    in by the same option, and makes `is_free` say no to everybody else.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((LOOPBACK, port))
    holder.detach()  # stays open


def _wanted_port(wanted: str) -> int:
    if not wanted.isdecimal() or int(wanted) > 65535:
        raise StackError(f"PORT={wanted} is not a port number.")
    port = int(wanted) or any_free_port()
    if not is_free(port):
        raise StackError(f"Port {port} is taken. Set PORT to another one, or to 0.")
    return port


def _usual_web_port(state: State) -> int:
    remembered = state.recall("web_port", lambda: USUAL_WEB_PORT)
    candidates = (remembered, USUAL_WEB_PORT)
    return next((port for port in candidates if is_free(port)), 0) or any_free_port()
