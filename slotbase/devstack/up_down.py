"""Starts a stack in the background, and stops whatever runs."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence

from slotbase.devstack.errors import StackError
from slotbase.devstack.leftovers import end_leftovers
from slotbase.devstack.run import START_SECONDS
from slotbase.devstack.run_env import forget_run_env
from slotbase.devstack.state import State
from slotbase.devstack.status import (
    AlreadyRunning,
    Status,
    is_supervised,
    only_process,
    read_status,
)
from slotbase.devstack.terminal import last_lines

PAUSE_SECONDS = 0.05
#: The exit code of a supervisor that finds another one at work.
NOT_NEEDED = 75
# Every program may take its time to stop, one after the other.
STOP_SECONDS = 120


def bring_up(state: State, supervise: Sequence[str]) -> None:
    """Return when the stack is healthy; started by us, or by somebody else just now.

    `supervise` is the command of a supervisor in the foreground.

    Raises:
        StackError: it did not become healthy; if we started it, nothing runs any more.
    """
    supervisor: subprocess.Popen[bytes] | None = None
    end = time.monotonic() + START_SECONDS + STOP_SECONDS
    while not _is_healthy(state):
        if supervisor is not None and (code := supervisor.poll()) is not None:
            if code != NOT_NEEDED:
                raise StackError(explanation(state))
            supervisor = None
        if supervisor is None and not is_supervised(state):
            supervisor = _start_detached(state, supervise)
        if time.monotonic() > end:
            raise StackError(explanation(state))
        time.sleep(PAUSE_SECONDS)
    status = read_status(state)
    if supervisor is not None and status is not None and status.pid != supervisor.pid:
        # Somebody else's is faster. Ours may still be on its way to find that out, and
        # would begin anew if theirs were stopped before.
        supervisor.terminate()
        supervisor.wait()


def bring_down(state: State) -> None:
    """Stop the stack and what a killed supervisor left; returns when nothing runs.

    Raises:
        StackError: the supervisor does not stop.
    """
    asked, end = set[int](), time.monotonic() + STOP_SECONDS
    while time.monotonic() < end:
        try:
            with only_process(state, patience=0):
                end_leftovers(state)
                forget_run_env(state)
                return
        except AlreadyRunning:
            status = read_status(state)
            if status and status.is_alive and status.pid not in asked:
                os.kill(status.pid, signal.SIGTERM)
                asked.add(status.pid)
        time.sleep(PAUSE_SECONDS)
    raise StackError(f"The supervisor does not stop; see {state.logs}.")


def explanation(state: State) -> str:
    """Why the stack is not healthy, with the end of the log that says more."""
    status = read_status(state) or Status(pid=0, failed="supervisor")
    failed = status.failed or next(iter(status.waiting_for), "")
    why = status.failure or f"{failed} is not ready."
    if not failed:
        return why
    log = state.logs / f"{failed}.log"
    return f"{why}\n{last_lines(log)}\n(the end of {log})"


def _is_healthy(state: State) -> bool:
    status = read_status(state)
    return status is not None and status.is_healthy and is_supervised(state)


def _start_detached(state: State, command: Sequence[str]) -> subprocess.Popen[bytes]:
    with (state.logs / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
