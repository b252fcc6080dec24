"""Back office of bookings; importing the rooms registers their pages."""

from bookings.admin import cases, catalogue, sales, special_days, waitlist

__all__ = ("cases", "catalogue", "sales", "special_days", "waitlist")
