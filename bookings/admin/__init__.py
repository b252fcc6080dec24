"""Back office of bookings; importing the rooms registers their pages."""

from bookings.admin import (
    cases,
    catalogue,
    feedback,
    sales,
    special_days,
    teaching,
    waitlist,
)

__all__ = (
    "cases",
    "catalogue",
    "feedback",
    "sales",
    "special_days",
    "teaching",
    "waitlist",
)
