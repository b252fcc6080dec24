"""A program to run, and one life of it: its process group, its log and its end."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def _always(_child: "Child") -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, after which others, and how to see that it works."""

    name: str
    command: Sequence[str]
    #: The names of the programs that must be ready before this one is started.
    after: tuple[str, ...] = ()
    is_ready: Callable[["Child"], bool] = _always
    #: A job: it is ready when it has ended well, and is not started again.
    once: bool = False
    #: Where its standard output goes instead of the log.
    output: Path | None = None
    env: Mapping[str, str] | None = None
    folder: Path = Path("/")
    #: Keywords of subprocess for a child that gives up root.
    run_as: Mapping[str, Any] = field(default_factory=dict)
    #: Sent one after the other, `stop_seconds` apart; what is left then is killed.
    stop_signals: tuple[int, ...] = (signal.SIGTERM,)
    stop_seconds: float = 15
    #: Whether its log is shown in the terminal, too.
    echo: bool = True


class Child:
    """One life of a program, in a process group of its own.

    It must be made by a thread that outlives it: on Linux the kernel sends a child its
    first stop signal when the thread that made it ends, so that nothing survives a
    supervisor that was killed.
    """

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._born = time.monotonic()
        self._process = _spawn(program, log)

    @property
    def pid(self) -> int:
        """The number of its process, which is also the number of its group."""
        return self._process.pid

    def age(self) -> float:
        """How many seconds ago it was started."""
        return time.monotonic() - self._born

    def exit_code(self) -> int | None:
        """None while it runs; negative is the number of the signal that killed it."""
        return self._process.poll()

    def said(self, text: str) -> bool:
        """Whether this life of the program has logged these words."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return text.encode() in log.read()

    def stop(self) -> None:
        """End the program and all that it started; returns when it has ended."""
        for number in self.program.stop_signals:
            self._process.send_signal(number)
            if self._has_ended_within(self.program.stop_seconds):
                break
        self.kill_group()
        self._has_ended_within(self.program.stop_seconds)

    def kill_group(self) -> None:
        """Kill what is left of its process group, so that nothing holds its port."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # PermissionError is macOS' word for a group of zombies

    def _has_ended_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _spawn(program: Program, log: Path) -> subprocess.Popen[bytes]:
    with ExitStack() as opened:
        errors: IO[bytes] = opened.enter_context(log.open("ab"))
        output = program.output and opened.enter_context(program.output.open("wb"))
        return subprocess.Popen(
            program.command,
            env=program.env,
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=output or errors,
            stderr=errors,
            start_new_session=True,
            # One system call, in a process that has no other thread.
            preexec_fn=_die_with_parent(program.stop_signals[0]),  # noqa: PLW1509
            **program.run_as,
        )


def _die_with_parent(number: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    parent = os.getpid()

    def ask_the_kernel() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(1)

    return ask_the_kernel
