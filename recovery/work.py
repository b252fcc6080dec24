"""What a task was to do, written down without what must not be.

Our tasks carry ids (ADR 0006), and words that we made ourselves. Whatever else comes
out of a broker may be anything, so it is masked.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any

#: In the place of what must not be written down; such work cannot be done again.
MASK = "***"
NOTHING: Mapping[str, Any] = MappingProxyType({})

_TASK = re.compile(r"[a-zA-Z_][\w.]{0,99}", re.ASCII)
_NAME = re.compile(r"[a-z_]{1,40}")
_ID_NAME = re.compile(r"(\w+_)?id")
_ID = re.compile(r"\d{1,19}|[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_WORD_NAMES = {"subscriber", "queue", "channel"}
_WORD = re.compile(r"[a-z_.]{1,64}")
_SHOWN_ARGUMENTS = 10


@dataclass(frozen=True)
class Work:
    """A task with its arguments, as far as they may be written down."""

    task: str
    kwargs: Mapping[str, Any]
    queue: str = ""
    message_id: str = ""

    @property
    def key(self) -> str:
        """The same for the same task and arguments."""
        named = json.dumps([self.task, self.kwargs], sort_keys=True)
        return sha256(named.encode()).hexdigest()


def work_of(
    task: object,
    kwargs: object = NOTHING,
    args: object = (),
    *,
    queue: object = "",
    message_id: object = "",
) -> Work:
    """Name some work. Our tasks carry ids; anything else is masked, whatever it is."""
    given = kwargs if isinstance(kwargs, Mapping) else {"arguments": MASK}
    names = sorted(given, key=str)
    shown = dict(_show(name, given[name]) for name in names[:_SHOWN_ARGUMENTS])
    if args or len(names) > _SHOWN_ARGUMENTS:
        shown["others"] = MASK
    return Work(
        _only(_TASK, task, MASK),
        shown,
        _only(_WORD, queue, ""),
        _only(_ID, message_id, ""),
    )


def _show(name: object, value: object) -> tuple[str, Any]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "others", MASK
    is_id = bool(_ID_NAME.fullmatch(name)) and not isinstance(value, bool)
    if is_id and isinstance(value, int) and abs(value) < 2**63:
        return name, value
    pattern = _ID if is_id else _WORD if name in _WORD_NAMES else None
    return name, _only(pattern, value, MASK) if pattern else MASK


def _only(pattern: re.Pattern[str], value: object, otherwise: str) -> str:
    is_so = isinstance(value, str) and pattern.fullmatch(value)
    return str(value) if is_so else otherwise
