"""A stack of three tiny programs with the real commands: tiny_stack.py FOLDER COMMAND.

The file `programs.json` in FOLDER says what runs, so that a test can break it.
"""

import json
import sys
from pathlib import Path

from slotbase.devstack import processes
from slotbase.devstack.errors import StackError
from slotbase.devstack.run import run_stack
from slotbase.devstack.state import State
from slotbase.devstack.status import AlreadyRunning
from slotbase.devstack.up_down import NOT_NEEDED, bring_down, bring_up
from tests.devstack.tiny import python

FOLDER = Path(sys.argv[1])
processes.PATIENCE_SECONDS = 0.2


class TinyStack:
    def __init__(self, _state):
        codes = json.loads((FOLDER / "programs.json").read_text())
        self.programs = [
            self._program(name, code, once=name == "job")
            for name, code in codes.items()
        ]

    def _program(self, name, code, *, once):
        stopped = FOLDER / "stopped"
        return python(name, code, name, stopped, once=once, stop_seconds=0.5)

    def run_env(self, children):
        pids = {f"{name.upper()}_PID": str(it.pid) for name, it in children.items()}
        return {"WORDS": "two words", **pids}


def main(command):
    state = State(FOLDER / "state")
    match command:
        case "up":
            bring_up(
                state, [sys.executable, "-m", __spec__.name, *sys.argv[1:2], "run"]
            )
        case "down":
            bring_down(state)
        case "run":
            run_stack(state, TinyStack, echo=True, greet=lambda: "all is well")


if __name__ == "__main__":
    try:
        main(sys.argv[2])
    except AlreadyRunning as error:
        print(error)
        sys.exit(NOT_NEEDED)
    except StackError as error:
        print(error)
        sys.exit(1)
