"""Named points at which a test or a drill makes a process fail, to see it recover.

They do nothing unless armed: by the variable FAILPOINTS, or in a test by `armed`. The
variable counts in a demonstration (DEMO) alone; anywhere else it is ignored, and
nothing starts while it is set. In production no failpoint can be armed.

    FAILPOINTS="inbox.stored=kill;inbox.called=sleep:5"

`raise` raises FailpointReached, `sleep:SECONDS` waits, `kill` ends the process as
`kill -9` would, and `stop` pauses it until it is sent SIGCONT.
"""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings

Action = Callable[[str], None]

SLEEP = re.compile(r"sleep:(\d+(?:\.\d+)?)")


class FailpointReached(RuntimeError):
    """What a failpoint that is armed with `raise` raises."""


class UnknownAction(ValueError):
    """What a failpoint was to be armed with is none of the actions above."""


def failpoint(name: str) -> None:
    """Fail here in the way this name is armed with; by far most often, do nothing.

    Raises:
        FailpointReached: it is armed with `raise`.
    """
    if action := _armed().get(name):
        action(name)


@contextmanager
def armed(name: str, action: str) -> Iterator[None]:
    """Arm one failpoint, in all threads of this process, inside the block.

    Raises:
        UnknownAction: the action is misspelt.
    """
    _armed()[name] = _action(action)
    try:
        yield
    finally:
        del _armed()[name]


def parse(text: str) -> dict[str, Action]:
    """What a value of FAILPOINTS arms.

    Raises:
        UnknownAction: an entry has no name, or its action is misspelt.
    """
    entries = (each.strip().partition("=") for each in text.split(";") if each.strip())
    return {name: _action(action, name) for name, _, action in entries}


@cache
def _armed() -> dict[str, Action]:
    return parse(settings.FAILPOINTS) if settings.DEMO else {}


def _action(text: str, name: str = "name") -> Action:
    if found := SLEEP.fullmatch(text):
        return lambda _: time.sleep(float(found[1]))
    if text not in ACTIONS or not name:
        wanted = ", ".join((*ACTIONS, "sleep:SECONDS"))
        raise UnknownAction(f"{name}={text} is not NAME=ACTION, with one of {wanted}.")
    return ACTIONS[text]


def _raise(name: str) -> None:
    raise FailpointReached(name)


ACTIONS: dict[str, Action] = {
    "raise": _raise,
    # To this very thread, so that nothing more is done in it.
    "kill": lambda _: signal.raise_signal(signal.SIGKILL),
    "stop": lambda _: signal.raise_signal(signal.SIGSTOP),
}
