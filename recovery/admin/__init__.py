"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import alerts, cases, engines, history, workflows

__all__ = ("alerts", "cases", "engines", "history", "workflows")
