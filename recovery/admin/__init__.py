"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import cases, engines, health, history, workflows

__all__ = ("cases", "engines", "health", "history", "workflows")
