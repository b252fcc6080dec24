"""Registers the app, what it handles and what it can check about itself."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "payments"

    def ready(self) -> None:
        """Load what registers itself."""
        from payments import handlers, invariants  # noqa: F401, PLC0415 - models must be loaded
        from payments.services import personal_data  # noqa: F401, PLC0415 - likewise
