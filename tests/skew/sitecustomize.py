"""For one process on PYTHONPATH: its clock is wrong by the seconds in CLOCK_SKEW_FILE.

As that of a computer without NTP. The file may change while the process runs.
"""

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

_time, _datetime = time.time, dt.datetime


def _skew() -> float:
    return float(Path(os.environ["CLOCK_SKEW_FILE"]).read_text("ascii"))


class _Real(type):
    """Moments that others made are moments, too."""

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, _datetime)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _datetime)


class _Skewed(_datetime, metaclass=_Real):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return _datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dt.UTC).replace(tzinfo=None)


time.time = lambda: _time() + _skew()
dt.datetime = _Skewed  # type: ignore[misc]
