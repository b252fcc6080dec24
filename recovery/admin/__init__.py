"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import (
    alerts,
    cases,
    dead_letters,
    engines,
    health,
    history,
    workflows,
)

__all__ = (
    "alerts",
    "cases",
    "dead_letters",
    "engines",
    "health",
    "history",
    "workflows",
)
