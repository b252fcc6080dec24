"""What is kept of a person: each app registers its part, and says how it goes.

A part that keeps something new adds it to `holds`; a test knows every column with text.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from recovery.personal import Traces
from slotbase.accounts.models import User

Sections = Mapping[str, Iterable[Any]]


@dataclass(frozen=True)
class Part:
    """What one app keeps of a person.

    `export(user)` gives it by sections, as rows that are JSON. `erase(traces)` makes it
    tell nothing of them any more, in the caller's transaction, and is harmless again.
    `open_business(user_id)` says in plain words what must be over before. `lock` locks
    what that looks at; `leave` is called when somebody asks to be erased. `ids` are
    those by which others tell of what is theirs, `words` what staff called them before.
    """

    name: str
    holds: Mapping[str, frozenset[str]]
    export: Callable[[Traces], Sections]
    erase: Callable[[Traces], None]
    open_business: Callable[[UUID], Iterable[str]] = lambda _: ()
    lock: Callable[[UUID], object] = lambda _: None
    leave: Callable[[UUID], object] = lambda _: None
    ids: Callable[[UUID], Iterable[str]] = lambda _: ()
    words: Callable[[UUID], Iterable[str]] = lambda _: ()


_parts: dict[str, Part] = {}


def register(part: Part) -> None:
    """Make a part known."""
    _parts[part.name] = part


def parts() -> list[Part]:
    """All parts, that of the topmost app first: the order in which rows are locked."""
    return list(reversed(_parts.values()))


def traces_of(user: User) -> Traces:
    """By what everything about a person is found.

    Whoever signs in types what they are called. Names of walk-ins were typed by staff.
    """
    return Traces(
        user.pk,
        ids=tuple(each for part in parts() for each in part.ids(user.pk)),
        account=user.clerk_id or "",
        addresses=(user.email,) if user.email else (),
        words=() if user.clerk_id else _names_of(user),
    )


def _names_of(user: User) -> tuple[str, ...]:
    former = [each for part in parts() for each in part.words(user.pk)]
    return tuple(filter(None, (user.name, *_written(user.phone), *former)))


def _written(phone: str) -> tuple[str, str]:
    """As it was typed, and as providers write it."""
    plus = "+" if phone.startswith("+") else ""
    return phone, plus + "".join(filter(str.isdigit, phone))


def list_open_business(user_id: UUID) -> list[str]:
    """What must be over before somebody can be erased; empty: nothing."""
    return [why for part in parts() for why in part.open_business(user_id)]
