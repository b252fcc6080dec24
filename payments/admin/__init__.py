"""Back office of payments; importing the rooms registers their pages and buttons."""

from payments.admin import actions, payables, payments, reconciliation, refunds

__all__ = ("actions", "payables", "payments", "reconciliation", "refunds")
