"""Examinations, each on its own: one that fails or hangs does not stop the others."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from django.db import connection

LIMIT_SECONDS = 20

Need = Literal["nothing", "database", "tables"]
#: What is wrong, and what to do about it.
Trouble = tuple[str, str]


@dataclass(frozen=True)
class Examination:
    """One thing to look at, and what must work for that."""

    name: str
    look: Callable[[], Iterable[Trouble]]
    needs: Need = "nothing"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    name: str
    says: str
    do: str


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, what is wrong, and what could not be looked at."""

    well: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def examine(examinations: Sequence[Examination], missing: set[Need]) -> Diagnosis:
    """Look at everything that does not need what is missing."""
    diagnosis = Diagnosis()
    for each in examinations:
        if each.needs in missing:
            diagnosis.skipped.append(each.name)
            continue
        found = [Finding(each.name, says, do) for says, do in _look(each.look)]
        diagnosis.findings.extend(found)
        if not found:
            diagnosis.well.append(each.name)
    return diagnosis


def _look(look: Callable[[], Iterable[Trouble]]) -> list[Trouble]:
    """In a thread of its own, which is left behind if it hangs."""
    found: list[Trouble] = []
    hangs = (
        "This could not be looked at: it hangs.",
        "See whether its server answers.",
    )

    def run() -> None:
        try:
            found.extend(look())
        except Exception as error:  # noqa: BLE001 - its text may hold a password
            says = f"This could not be looked at: {type(error).__name__}."
            found.append((says, "Mend the others first, then run the doctor again."))
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    return [hangs] if thread.is_alive() else found
