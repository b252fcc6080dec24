"""Registers the app, its kinds of case and what it can check about itself."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"

    def ready(self) -> None:
        """Load what registers itself."""
        # ruff: noqa: F401, PLC0415 - importing registers, once the models are loaded
        from notifications import handlers, invariants
        from notifications.services import budget, personal_data, push_guard, sending
