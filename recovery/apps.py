"""Registers the app and what it subscribes to."""

from django.apps import AppConfig


class RecoveryConfig(AppConfig):
    name = "recovery"

    def ready(self) -> None:
        """Load what registers itself."""
        from recovery import handlers, lookout  # noqa: F401, PLC0415 - models must be loaded
