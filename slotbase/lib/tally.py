"""Counts of what happened: lower parts count here, and do not know who listens.

Counting changes nothing for who counts: it never raises, never waits and may be done
anywhere, also inside a transaction or while the database is away.
"""

from collections.abc import Callable

Listener = Callable[[str], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Be told of everything that is counted; the listener must return at once."""
    if listener not in _listeners:
        _listeners.append(listener)


def count(name: str) -> None:
    """It happened once more: a word of ours such as `breaker_opened:stripe`."""
    for listener in _listeners:
        listener(name)
