"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import cases, engines, history, workflows

__all__ = ("cases", "engines", "history", "workflows")
