"""One supervisor per installation: the lock it holds, and what it says of itself."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from slotbase.devstack.errors import StackError
from slotbase.devstack.processes import identity
from slotbase.devstack.state import State, read_json, write_json

# Whoever only looks takes the lock for an instant, which must not count as running.
PATIENCE_SECONDS, PAUSE_SECONDS = 1.0, 0.05


class AlreadyRunning(StackError):
    """Another process holds the lock of this installation."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the supervisor last said."""

    pid: int
    #: The programs that are not ready.
    waiting_for: list[str] = field(default_factory=list)
    #: Why it gave up, for a person, and the program whose log explains it.
    failure: str = ""
    failed: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor that said it still lives."""
        return identity(self.pid) is not None

    @property
    def is_healthy(self) -> bool:
        """Whether everything works at this moment."""
        return not self.waiting_for and not self.failure and self.is_alive


@contextmanager
def only_process(state: State, *, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the installation's lock inside the block; the kernel frees it at any death.

    Raises:
        AlreadyRunning: another process has it.
    """
    end = time.monotonic() + patience
    with _lock_file(state).open("a") as lock:
        while not _takes(lock.fileno()):
            if time.monotonic() > end:
                raise AlreadyRunning("It is running already.")
            time.sleep(PAUSE_SECONDS)
        yield


def is_supervised(state: State) -> bool:
    """Whether somebody holds the lock."""
    with _lock_file(state).open("a") as lock:
        return not _takes(lock.fileno())


def say(state: State, status: Status) -> None:
    """Tell whoever asks with `read_status`."""
    write_json(_status_file(state), asdict(status))


def read_status(state: State) -> Status | None:
    """What the supervisor last said; None if none has ever spoken."""
    found = read_json(_status_file(state))
    return Status(**found) if found else None


def _takes(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(state: State) -> Path:
    return state.root / "lock"


def _status_file(state: State) -> Path:
    return state.root / "status.json"
