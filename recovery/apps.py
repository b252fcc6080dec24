"""Registers the app and what it subscribes to."""

from django.apps import AppConfig

from slotbase.providers import reports


class RecoveryConfig(AppConfig):
    name = "recovery"

    def ready(self) -> None:
        """Load what registers itself, and hear what comes of providers' calls."""
        from recovery import (  # noqa: PLC0415 - models must be loaded
            handlers,  # noqa: F401
            health,  # noqa: F401
            provider_status,
        )

        reports.listen(provider_status.reporter.hear)
