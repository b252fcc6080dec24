"""The ground floor as a Django app: it owns the SQL clock, checks and static files."""

from django.apps import AppConfig

from slotbase.lib.checks import (
    refuse_unsafe_settings,
    warn_if_nobody_is_told,
    warn_of_the_model_at_start,
)


class LibConfig(AppConfig):
    name = "slotbase.lib"
    label = "lib"

    def ready(self) -> None:
        """Refuse to start unsafe, whatever kind of process this is."""
        refuse_unsafe_settings()
        warn_if_nobody_is_told()
        warn_of_the_model_at_start()
