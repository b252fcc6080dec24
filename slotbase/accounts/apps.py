"""Registers the app and keeps the staff groups as the code describes them."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as all_apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate  # noqa: TID251 - the one exception


class AccountsConfig(AppConfig):
    name = "slotbase.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Write the groups after each migrate (decisions: the one legal signal)."""
        from slotbase.accounts import invariants  # noqa: F401, PLC0415 - importing registers

        post_migrate.connect(_write_groups, dispatch_uid="accounts.write_groups")


def _write_groups(sender: AppConfig, apps: Apps = all_apps, **_: Any) -> None:
    from slotbase.accounts.services.groups import write_groups  # noqa: PLC0415 - models must be loaded

    # Once, for our last app; `apps` has no groups yet after `migrate <one app>`.
    if sender.label == "bookings" and "group" in apps.all_models["auth"]:
        write_groups()
