"""Back office of accounts; importing the rooms registers their pages."""

from slotbase.accounts.admin import people, venues

__all__ = ("people", "venues")
