"""Registers the app and what it can check about itself."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    name = "bookings"

    def ready(self) -> None:
        """Load what registers itself."""
        from bookings import handlers, invariants, workflows  # noqa: F401, PLC0415
        from bookings.services import personal_data  # noqa: F401, PLC0415 - likewise
