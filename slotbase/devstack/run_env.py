"""`run.env`: addresses, passwords and process numbers, for a shell to read."""

import shlex
from collections.abc import Mapping

from slotbase.devstack.state import State, write_private


def write_run_env(state: State, values: Mapping[str, str]) -> None:
    """Write the file in one step; only its owner can read it."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]
    write_private(state.root / "run.env", "".join(lines))


def read_run_env(state: State) -> dict[str, str]:
    """What the running stack wrote; empty if none runs."""
    try:
        words = shlex.split((state.root / "run.env").read_text())
    except FileNotFoundError:
        return {}
    return dict(word.split("=", 1) for word in words)


def forget_run_env(state: State) -> None:
    """Remove the file: nothing runs any more."""
    (state.root / "run.env").unlink(missing_ok=True)
