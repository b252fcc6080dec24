"""Registers the app and keeps the staff groups as the code describes them."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as all_apps
from django.apps.registry import Apps
from django.contrib.admin import apps as admin_apps
from django.db.models.signals import post_migrate  # noqa: TID251 - the one exception


class AccountsConfig(AppConfig):
    name = "slotbase.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Load what registers itself; write the groups after each migrate.

        That is the one legal signal (decisions).
        """
        # ruff: noqa: F401, PLC0415 - importing registers, once the models are loaded
        from recovery import step_up, vitals
        from slotbase.accounts import handlers, invariants, sessions
        from slotbase.accounts.queries import look_at_sign_in
        from slotbase.accounts.services import factor_resets, key_alerts, own_data

        vitals.register("sign_in", look_at_sign_in)

        step_up.use(step_up.Check(sessions.is_fresh, sessions.show_code))
        post_migrate.connect(_write_groups, dispatch_uid="accounts.write_groups")


def _write_groups(sender: AppConfig, apps: Apps = all_apps, **_: Any) -> None:
    from slotbase.accounts.services.groups import write_groups

    # Once, for our last app; `apps` has no groups yet after `migrate <one app>`.
    if sender.label == "bookings" and "group" in apps.all_models["auth"]:
        write_groups()


class BackOfficeConfig(admin_apps.AdminConfig):
    """Django's admin with our way to sign in."""

    default = False  # of the two here, our own app is found by itself
    default_site = "slotbase.accounts.site.BackOffice"
