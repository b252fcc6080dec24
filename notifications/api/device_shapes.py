"""What the API of devices takes and gives; never the token."""

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from notifications.models import PushDevice
from slotbase.lib.api.inputs import PatternField, StrictSerializer, WordsField


class DeviceInput(StrictSerializer):
    """A device, as its app describes it."""

    token = PatternField(
        r"^[\x21-\x7e]+\Z",
        max_length=4096,
        trim_whitespace=False,
        help_text="What Firebase gave to the app; each time that it starts.",
        error_messages={"invalid": "Visible ASCII characters only."},
    )
    platform = serializers.ChoiceField(PushDevice.Platform.choices)
    kind = serializers.ChoiceField(
        PushDevice.TokenKind.choices,
        default=PushDevice.TokenKind.TOKEN,
        help_text="FID if `token` is a Firebase installation id.",
    )
    app_version = WordsField(max_length=32, allow_blank=True, default="")


class Device(serializers.Serializer[Any]):
    """A device that messages are pushed to."""

    id = serializers.UUIDField()
    platform = serializers.ChoiceField(PushDevice.Platform.choices)
    app_version = serializers.CharField()
    registered_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField(help_text="When its app registered last.")


def show_device(device: PushDevice) -> dict[str, Any]:
    """As its user sees it."""
    return {
        "id": str(device.pk),
        "platform": device.platform,
        "app_version": device.app_version,
        "registered_at": _in_utc(device.created_at),
        "last_seen_at": _in_utc(device.last_seen_at),
    }


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
