"""The id of the request that is served, or whose work is done: in logs and history."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

from slotbase.lib.ids import uuid7
from slotbase.lib.redaction import blank_out

_current: ContextVar[str] = ContextVar("request_id", default="")
_ACCEPTED = re.compile(r"[A-Za-z0-9_.-]{8,64}\Z")


def begin(proposed: str = "") -> str:
    """Take the caller's id if it is a harmless one, else make a new one.

    It stands in logs as it is: what would be blanked elsewhere is not taken.
    """
    is_harmless = _ACCEPTED.match(proposed) and blank_out(proposed) == proposed
    request_id = proposed if is_harmless else uuid7().hex
    _use(request_id)
    return request_id


def end() -> None:
    """Forget the id when the request is over."""
    _current.set("")
    structlog.contextvars.unbind_contextvars("request_id")


@contextmanager
def resumed(request_id: str, *, instead: bool = False) -> Iterator[None]:
    """Do what an earlier request left to be done: history and logs name that request.

    Whoever is asked by a request now keeps that one's id, if not told `instead`.
    """
    before = current()
    if not request_id or (before and not instead):
        yield
        return
    _use(request_id)
    try:
        yield
    finally:
        _use(before) if before else end()


def _use(request_id: str) -> None:
    _current.set(request_id)
    structlog.contextvars.bind_contextvars(request_id=request_id)


def current() -> str:
    """The id of the present request, empty outside one."""
    return _current.get()
