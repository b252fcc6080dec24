"""python -m slotbase.devstack: run, up, down, clean, clock, code."""

import os
import sys
from functools import partial

from slotbase.devstack.clock import move_clock
from slotbase.devstack.codes import current_code
from slotbase.devstack.errors import StackError
from slotbase.devstack.postgres import Postgres
from slotbase.devstack.postgres_binaries import remove_unused_copies
from slotbase.devstack.run import StartFailed, run_stack
from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.stack import ProductStack
from slotbase.devstack.state import State, installation
from slotbase.devstack.status import AlreadyRunning
from slotbase.devstack.summary import summary
from slotbase.devstack.up_down import NOT_NEEDED, bring_down, bring_up, explanation

USAGE = """usage: python -m slotbase.devstack COMMAND

  run              start everything in this terminal; Ctrl-C stops it
  up               start everything in the background, return when it is healthy
  down             stop everything
  clean            stop everything and delete its data
  clock CHANGE     move the product's clock: +1d, -30m, +300s, or reset
  code             the code with which the demo's staff sign in now"""


def main(arguments: list[str]) -> int:
    """Do what the command line says; the exit code."""
    os.umask(0o077)  # logs and data hold passwords
    try:
        return _dispatch(arguments, installation())
    except StackError as error:
        print(f"slotbase: {error}", file=sys.stderr)
        return 1


def _dispatch(arguments: list[str], state: State) -> int:
    match arguments:
        case ["run"]:
            _run(state)
        case ["up"]:
            bring_up(state, [sys.executable, "-m", "slotbase.devstack", "supervise"])
            print(summary(state))
        case ["down"]:
            bring_down(state)
        case ["supervise"]:
            return _supervise(state)
        case ["clean"]:
            _clean(state)
        case ["clock", change]:
            move_clock(_owner_url(state), change)
        case ["code"]:
            print(current_code())
        case _:
            print(USAGE, file=sys.stderr)
            return 2
    return 0


def _run(state: State) -> None:
    try:
        run_stack(state, ProductStack, echo=True, greet=partial(summary, state))
    except AlreadyRunning as error:
        site = read_run_env(state).get("SLOTBASE_URL", "still starting")
        raise StackError(f"It is running already: {site}") from error
    except StartFailed as error:
        raise StackError(explanation(state)) from error


def _supervise(state: State) -> int:
    """What `up` starts in the background; `up` itself tells about failures."""
    try:
        run_stack(state, ProductStack, echo=False, greet=lambda: "healthy")
    except AlreadyRunning:
        return NOT_NEEDED
    return 0


def _clean(state: State) -> None:
    bring_down(state)
    Postgres(state.root).discard()
    remove_unused_copies()
    state.delete()


def _owner_url(state: State) -> str:
    url = os.environ.get("DATABASE_OWNER_URL")
    url = url or read_run_env(state).get("DATABASE_OWNER_URL")
    if not url:
        raise StackError("Nothing runs. Start it with `make up`.")
    return url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
