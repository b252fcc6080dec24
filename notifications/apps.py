"""Registers the app, its kinds of case and what it can check about itself."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        """Load what registers itself."""
        from notifications import invariants  # noqa: F401, PLC0415 - importing registers
        from notifications.services import sending  # noqa: F401, PLC0415 - so does this
