"""Devices that take push messages."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.states import DeviceStatus
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class PushDevice(models.Model):
    """One app on one device; it belongs to whoever signed in there last.

    `generation` counts its registrations: what is found out about an earlier one says
    nothing of this one. The token is sealed and never shown; of a device that ended
    long ago it is gone, and the row stays if a message went there.
    """

    class Platform(models.TextChoices):
        ANDROID = "ANDROID", "Android"
        IOS = "IOS", "iOS"
        WEB = "WEB", "Web"

    class TokenKind(models.TextChoices):
        TOKEN = "TOKEN"  # noqa: S105 - not a secret, but what FCM calls it
        FID = "FID"  # a Firebase installation id

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="push_devices"
    )
    token_kind = models.CharField(
        max_length=8, choices=TokenKind, default=TokenKind.TOKEN
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    sealed_token = models.TextField(editable=False)
    platform = models.CharField(max_length=8, choices=Platform)
    app_version = models.CharField(max_length=32, blank=True)
    status = models.CharField(
        max_length=8, choices=DeviceStatus, default=DeviceStatus.ACTIVE
    )
    why = models.CharField(max_length=64, blank=True, verbose_name="why not active")
    generation = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    last_seen_at = models.DateTimeField(db_default=DatabaseNow())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(fields=["status", "last_seen_at"], name="notifications_seen"),
            models.Index(
                fields=["status", "ended_at"],
                condition=Q(ended_at__isnull=False) & ~Q(sealed_token=""),
                name="notifications_to_forget",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=DeviceStatus.values),
                name="notifications_device_choices",
            ),
            models.CheckConstraint(
                condition=Q(status=DeviceStatus.ACTIVE, ended_at__isnull=True)
                | ~Q(status=DeviceStatus.ACTIVE) & Q(ended_at__isnull=False),
                name="notifications_device_ended_at",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_platform_display()} {str(self.pk)[-6:]}"
