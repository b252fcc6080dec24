"""Back office of bookings; importing the rooms registers their pages."""

from bookings.admin import catalogue, sales

__all__ = ("catalogue", "sales")
