"""The id of the request that is being served: in answers, logs and audit entries."""

import re
from contextvars import ContextVar

import structlog

from slotbase.lib.ids import uuid7

_current: ContextVar[str] = ContextVar("request_id", default="")
_ACCEPTED = re.compile(r"[A-Za-z0-9_.-]{8,64}\Z")


def begin(proposed: str = "") -> str:
    """Take the caller's id if it is a harmless one, else make a new one."""
    request_id = proposed if _ACCEPTED.match(proposed) else uuid7().hex
    _current.set(request_id)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def end() -> None:
    """Forget the id when the request is over."""
    _current.set("")
    structlog.contextvars.unbind_contextvars("request_id")


def current() -> str:
    """The id of the present request, empty outside one."""
    return _current.get()
