"""Back office of recovery; importing the rooms registers their pages."""

from recovery.admin import alerts, cases, engines, health, history, workflows

__all__ = ("alerts", "cases", "engines", "health", "history", "workflows")
