"""Registers the app and what it subscribes to."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate  # noqa: TID251 - tables must be there

from slotbase.providers import reports


class RecoveryConfig(AppConfig):
    name = "recovery"

    def ready(self) -> None:
        """Load what registers itself, and hear what comes of providers' calls."""
        from recovery import (  # noqa: PLC0415 - models must be loaded
            handlers,  # noqa: F401
            health,  # noqa: F401
            lookout,  # noqa: F401
            provider_status,
        )

        reports.listen(provider_status.reporter.hear)
        post_migrate.connect(_guard_history, dispatch_uid="recovery.guard_history")


def _guard_history(sender: AppConfig, **_: Any) -> None:
    from recovery import privileges  # noqa: PLC0415 - models must be loaded

    if sender.label == "bookings":  # once, for our last app
        privileges.write_privileges()
