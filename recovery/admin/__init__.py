"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import cases, dead_letters, engines, history, workflows

__all__ = ("cases", "dead_letters", "engines", "history", "workflows")
