"""Registers the app and what it can check about itself."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    name = "bookings"

    def ready(self) -> None:
        """Tell `check_invariants` what must hold for bookings."""
        from bookings import invariants  # noqa: F401, PLC0415 - importing registers
