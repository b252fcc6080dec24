"""What the demo promises, and what it does until a promise is kept or broken."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

SOON_SECONDS = 60  # much longer than it takes; computers may be busy
BETWEEN_LOOKS_SECONDS = 0.3


class PromiseBroken(Exception):
    """A step of the demo went otherwise than promised."""


def promise(what: str, kept: object, seen: object = "") -> None:
    """Say what was promised, and stop if it was not kept."""
    print(f"  {'ok' if kept else 'BROKEN'}  {what}", flush=True)
    if not kept:
        raise PromiseBroken(f"{what}. Seen: {seen}")


def promise_soon(
    what: str, look: Callable[[], Seen], is_kept: Callable[[Seen], object]
) -> Seen:
    """Look again and again until the promise is kept; what was seen then."""
    end = time.monotonic() + SOON_SECONDS
    while not is_kept(seen := look()) and time.monotonic() < end:
        time.sleep(BETWEEN_LOOKS_SECONDS)
    promise(what, is_kept(seen), seen)
    return seen
