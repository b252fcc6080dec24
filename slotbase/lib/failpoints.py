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

ENTRY = re.compile(r"([\w.]+)=(?:(raise|kill|stop)|sleep:(\d+(?:\.\d+)?))")


class FailpointReached(RuntimeError):
    """What a failpoint that is armed with `raise` raises."""


class UnreadableFailpoint(ValueError):
    """What should arm a failpoint is not of the form above."""


def failpoint(name: str) -> None:
    """Fail here in the way this name is armed with; nearly always, do nothing.

    Raises:
        FailpointReached: it is armed with `raise`.
    """
    if action := _armed().get(name):
        action(name)


@contextmanager
def armed(name: str, action: str) -> Iterator[None]:
    """Arm one failpoint, in all threads of this process, inside the block.

    Raises:
        UnreadableFailpoint: the action is misspelt.
    """
    _armed().update(parse(f"{name}={action}"))
    try:
        yield
    finally:
        del _armed()[name]


def parse(text: str) -> dict[str, Action]:
    """What a value of FAILPOINTS arms.

    Raises:
        UnreadableFailpoint: an entry has no name, or its action is misspelt.
    """
    return dict(_entry(each.strip()) for each in text.split(";") if each.strip())


@cache
def _armed() -> dict[str, Action]:
    return parse(settings.FAILPOINTS) if settings.DEMO else {}


def _entry(text: str) -> tuple[str, Action]:
    found = ENTRY.fullmatch(text)
    if found is None:
        raise UnreadableFailpoint(
            f"{text} must be NAME=raise, NAME=kill, NAME=stop or NAME=sleep:SECONDS."
        )
    name, word, seconds = found.groups()
    return name, ACTIONS[word] if word else lambda _: time.sleep(float(seconds))


def _raise(name: str) -> None:
    raise FailpointReached(name)


ACTIONS: dict[str, Action] = {
    "raise": _raise,
    # To this very thread, so that it does nothing more.
    "kill": lambda _: signal.raise_signal(signal.SIGKILL),
    "stop": lambda _: signal.raise_signal(signal.SIGSTOP),
}
