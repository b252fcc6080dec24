"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import (
    alerts,
    approvals,
    cases,
    dead_letters,
    engines,
    health,
    history,
    workflows,
)

__all__ = (
    "alerts",
    "approvals",
    "cases",
    "dead_letters",
    "engines",
    "health",
    "history",
    "workflows",
)
