"""Signals to a supervisor: those that ask it to stop, and all that wake it."""

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType

STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Interrupts:
    """Whether somebody has asked to stop, and a pause that every signal ends."""

    def __init__(self, reader: socket.socket) -> None:
        self.stop = False
        self._reader = reader

    def wait(self, seconds: float) -> None:
        """Return at the next signal, the death of a child included, or after a time."""
        if select.select([self._reader], [], [], seconds)[0]:
            self._reader.recv(4096)

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.stop |= number in STOP


@contextmanager
def listening() -> Iterator[Interrupts]:
    """Inside the block SIGINT, SIGTERM and SIGHUP only set `stop`.

    A second Ctrl-C therefore changes nothing: stopping is in good hands already.
    """
    reader, writer = socket.socketpair()
    with closing(reader), closing(writer):
        writer.settimeout(0)
        interrupts = Interrupts(reader)
        numbers = [*STOP, signal.SIGCHLD]
        handlers = {each: signal.signal(each, interrupts.note) for each in numbers}
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield interrupts
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
