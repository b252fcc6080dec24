"""Processes by number: which one is it, and how to end what an earlier start left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
PATIENCE_SECONDS = 20


def identity(pid: int) -> str | None:
    """A text that only this process ever has, even when its number is used again.

    None when it is dead, also when it is a zombie that nobody has reaped.
    """
    if sys.platform != "linux":
        return _started_at(pid)
    state, started = _stat(pid)
    return f"{_boot()} {started}" if state not in {"", "Z", "X"} else None


def is_zombie(pid: int) -> bool:
    """Whether the process is dead and waits for a parent that never asks."""
    return sys.platform == "linux" and _stat(pid)[0] == "Z"


def is_anyone_in(folder: Path) -> bool:
    """Whether a living process works in this folder (Linux; elsewhere always yes)."""
    return sys.platform != "linux" or folder in _working_folders()


def end_group(pid: int, who: str, first_signal: int) -> None:
    """End the process group that `pid` leads or led; returns when its leader is gone.

    `who` is the leader's `identity` from when it lived. Nothing happens if the number
    belongs to another process by now, or if the computer was started again since.
    """
    if who.split(maxsplit=1)[0] != _boot() or identity(pid) not in {who, None}:
        return
    _signal_group(pid, first_signal)
    patience = time.monotonic() + PATIENCE_SECONDS
    while identity(pid) == who and time.monotonic() < patience:
        time.sleep(0.02)
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # PermissionError is macOS' word for a group of zombies


def _stat(pid: int) -> tuple[str, str]:
    """State letter and start time of a process, both empty if there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    # The name in brackets may itself hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]


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
