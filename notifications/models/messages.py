"""Messages to people, and every attempt to send one."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.models.devices import PushDevice
from notifications.states import OPEN, WENT_OUT, Channel, NotificationStatus
from recovery.models import DueRow
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class Notification(DueRow):
    """A message that is owed to somebody, made by the transaction that causes it.

    `context` has ids, times, titles and amounts, never what identifies a person. What
    does (`rendered`, `address_snapshot`) is written right before the first sending, is
    the same at each later one if it may have gone out, and goes after
    NOTIFICATION_RETENTION_DAYS.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.CharField(
        max_length=8,
        choices=Channel,
        default=Channel.EMAIL,
        db_default=Channel.EMAIL,
    )
    #: A push goes to one device; each has a row of its own.
    device = models.ForeignKey(
        PushDevice, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    template = models.CharField(max_length=64)
    template_version = models.PositiveSmallIntegerField()
    context = models.JSONField(default=dict)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    venue = models.ForeignKey(
        "accounts.Venue", models.PROTECT, null=True, blank=True, related_name="+"
    )
    reference = models.CharField(max_length=64, blank=True)
    urgency = models.PositiveSmallIntegerField(default=2, db_default=2)
    dedupe_key = models.CharField(max_length=200, unique=True)
    not_after = models.DateTimeField(
        null=True, blank=True, help_text="Nobody wants it any more from then on."
    )
    status = models.CharField(
        max_length=20,
        choices=NotificationStatus,
        default=NotificationStatus.PENDING,
        db_default=NotificationStatus.PENDING,
    )
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    rendered = models.JSONField(null=True, blank=True)
    address_snapshot = models.EmailField(blank=True, db_default="")
    #: What a person said who had it sent again.
    because = models.CharField(
        "sent again because", max_length=200, blank=True, db_default=""
    )
    unsure_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since then it may have gone out without our knowing.",
    )
    provider_id = models.CharField(max_length=128, blank=True, db_default="")
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="notifications_due",
            ),
            models.Index(
                fields=["channel", "urgency", "-next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="notifications_urgent",
            ),
            models.Index(
                fields=["created_at"],
                condition=Q(rendered__isnull=False),
                name="notifications_to_empty",
            ),
            models.Index(
                fields=["subject_type", "subject_id"], name="notifications_subject"
            ),
        )
        constraints = (
            *DueRow.due_constraints("notifications"),
            models.CheckConstraint(
                condition=Q(status__in=NotificationStatus.values),
                name="notifications_status_choices",
            ),
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values),
                name="notifications_channel_choices",
            ),
            models.CheckConstraint(
                condition=Q(status__in=OPEN, next_run_at__isnull=False)
                | ~Q(status__in=OPEN) & Q(next_run_at__isnull=True),
                name="notifications_due_while_open",
            ),
            models.CheckConstraint(
                condition=Q(status__in=WENT_OUT, sent_at__isnull=False)
                & ~Q(provider_id="")
                | ~Q(status__in=WENT_OUT) & Q(sent_at__isnull=True, provider_id=""),
                name="notifications_sent_with_id",
            ),
            models.CheckConstraint(
                condition=~Q(status=NotificationStatus.SENDING)
                | Q(rendered__isnull=False, unsure_since__isnull=False),
                name="notifications_sending_is_frozen",
            ),
            models.CheckConstraint(
                condition=Q(channel=Channel.PUSH, device__isnull=False)
                | ~Q(channel=Channel.PUSH) & Q(device__isnull=True),
                name="notifications_push_has_a_device",
            ),
            models.UniqueConstraint(
                fields=["provider_id"],
                condition=~Q(provider_id=""),
                name="notifications_provider_id_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.template} {self.reference}".strip()


class NotificationAttempt(models.Model):
    """One call of a provider about a message, for ever: PostgreSQL refuses changes.

    `outcome` and `code` are words of ours or of the provider's list, never its text.
    """

    notification = models.ForeignKey(
        Notification, models.PROTECT, related_name="attempts_made"
    )
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=16)
    code = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        indexes = (models.Index(fields=["at"], name="notifications_attempted"),)
        constraints = (
            models.UniqueConstraint(
                fields=["notification", "number"], name="notifications_attempt_once"
            ),
        )

    def __str__(self) -> str:
        return f"Attempt {self.number}: {self.outcome}"


def key_of(notification_id: Any) -> str:
    """The idempotency key of a message at its provider: the same at each attempt."""
    return f"sb:{settings.SLOTBASE_ENV}:notif:{notification_id}"
