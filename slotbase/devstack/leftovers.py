"""Remembers which processes run, and ends those whose supervisor was killed."""

from collections.abc import Iterable

from slotbase.devstack.child import Child
from slotbase.devstack.processes import end_group, identity
from slotbase.devstack.state import State, read_json, write_json


def remember_children(state: State, children: Iterable[Child]) -> None:
    """Write down the children that run, in the order of their start."""
    record = [
        {
            "pid": child.pid,
            "identity": identity(child.pid),
            "stop_signal": child.program.stop_signals[0],
        }
        for child in children
    ]
    write_json(state.root / "processes.json", record)


def end_leftovers(state: State) -> None:
    """End what is left of an earlier start, the last child first."""
    for child in reversed(read_json(state.root / "processes.json") or []):
        if child["identity"]:
            end_group(child["pid"], child["identity"], child["stop_signal"])
    (state.root / "processes.json").unlink(missing_ok=True)
