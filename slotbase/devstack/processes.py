"""Processes by number: which one is it, and how to end what an earlier start left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
PATIENCE_SECONDS = 20


def identity(pid: int) -> str | None:
    """A text that only this process ever has, even when its number is used again.

    None when it is dead, also when it is a zombie that nobody has reaped.
    """
    if sys.platform != "linux":
        return _started_at(pid)
    stat = _stat(pid)
    return f"{_boot()} {stat.started}" if stat.is_alive else None


def is_anyone_in(folder: Path) -> bool:
    """Whether a living process works in this folder (Linux; elsewhere always yes)."""
    return sys.platform != "linux" or folder in _working_folders()


def end_group(pid: int, who: str, first_signal: int) -> None:
    """End the process group that `pid` leads or led; returns when all of it is gone.

    `who` is the leader's `identity` from when it lived. Nothing happens if the number
    belongs to another process by now, or if the computer was started again since.
    """
    if who.split(maxsplit=1)[0] != _boot() or identity(pid) not in {who, None}:
        return
    for number in (first_signal, signal.SIGKILL):
        patience = time.monotonic() + PATIENCE_SECONDS
        _signal_group(pid, number)
        while _is_group_alive(pid) and time.monotonic() < patience:
            time.sleep(0.02)


def _signal_group(pid: int, number: int) -> bool:
    """Whether there is such a group (for macOS a group of zombies is none)."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _is_group_alive(pid: int) -> bool:
    if sys.platform != "linux":
        return _signal_group(pid, 0)
    everybody = (_stat(int(each.name)) for each in PROC.glob("[0-9]*"))
    return any(each.group == str(pid) and each.is_alive for each in everybody)


class _Stat(NamedTuple):
    """What Linux says of a process; all empty if there is none."""

    state: str = ""
    group: str = ""
    started: str = ""

    @property
    def is_alive(self) -> bool:
        return self.state not in {"", "Z", "X"}


def _stat(pid: int) -> _Stat:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return _Stat()
    # The name in brackets may itself hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], group=fields[2], started=fields[19])


def _started_at(pid: int) -> str | None:
    ps = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(ps, capture_output=True, text=True, check=False)
    return f"{_boot()} {done.stdout.strip()}" if done.stdout.strip() else None


def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return "boot"


def _working_folders() -> Iterator[Path]:
    for process in PROC.glob("[0-9]*"):
        try:
            yield (process / "cwd").readlink()
        except OSError:
            continue
