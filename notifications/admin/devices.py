"""Back office: devices that get push messages, without what they are reached by."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from notifications.models import Notification, PushDevice
from notifications.services import device_desk
from recovery.backoffice import HISTORY, ActingAdmin, RowAction, Wish, say_action
from slotbase.lib.columns import badge, format_link, format_state, venue_time


def _revoke(device: PushDevice, wish: Wish) -> None:
    device_desk.revoke(device_id=device.pk, staff_id=wish.staff_id)


@admin.register(PushDevice)
class DeviceAdmin(ActingAdmin[PushDevice]):
    """Which app of whom is reached, and how that went the last time."""

    audit_subject = "pushdevice"
    list_display = ("__str__", "user", "state", "app_version", "seen", "why")
    list_filter = ("status", "platform")
    list_select_related = ("user",)
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        ("Device", {"fields": ("state", "user", "platform", "app_version", "why")}),
        ("Life", {"fields": ("known", "seen", "generation", "ended", "last_push")}),
        HISTORY,
    )
    state = badge("status")
    known = venue_time("created_at", "known since")
    seen = venue_time("last_seen_at", "last seen")
    ended = venue_time("ended_at", "ended")
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "revoke": RowAction(
            "Push nothing there any more",
            "For a device that is lost or somebody else's. When its app signs in again,"
            " it is reached again.",
            "Nothing is pushed there any more.",
            "notifications.change_pushdevice",
            _revoke,
            lambda device, _: device.status in device_desk.REVOCABLE,
        )
    }

    def row_actions(self, row: PushDevice) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Leaving it alone from now on."""
        return self.buttons

    def get_queryset(self, request: HttpRequest) -> QuerySet[PushDevice]:
        """Never with what it is reached by."""
        return super().get_queryset(request).defer("sealed_token", "token_hash")

    @admin.display(description="last push")
    def last_push(self, device: PushDevice) -> SafeString | str:
        """The newest message to it, and what became of it."""
        pushes = Notification.objects.filter(device=device).defer("rendered", "context")
        last = pushes.order_by("-pk").first()
        if last is None:
            return self.get_empty_value_display()
        words = say_action(last.template)
        link = format_link("notifications_notification", last, words)
        return link + " " + format_state(last.status)
