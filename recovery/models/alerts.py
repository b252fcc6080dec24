"""Alerts, the notices that tell of them, and each notice on its way to each channel."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from recovery.models.due import DueRow
from recovery.states import AlertStatus, CaseSeverity, NoticeStatus
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class Alert(models.Model):
    """Something that somebody should know of; `recovery.alerts` opens and moves it.

    One that is not resolved stands for each fingerprint. `tell_at` is when it is told
    next; what is empty has been told, or need not be.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    category = models.CharField(max_length=32)
    fingerprint = models.CharField(max_length=200)
    status = models.CharField(
        max_length=8, choices=AlertStatus, default=AlertStatus.OPEN
    )
    severity = models.CharField(max_length=8, choices=CaseSeverity)
    audience = models.CharField(max_length=16)
    title = models.CharField(max_length=200)
    case = models.ForeignKey(
        "recovery.Case", models.SET_NULL, null=True, blank=True, related_name="alerts"
    )
    occurrences = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    last_seen_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    tell_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)
    acked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    acked_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["tell_at"],
                condition=Q(tell_at__isnull=False),
                name="recovery_alert_to_tell",
            ),
            models.Index(
                fields=["category", "last_seen_at"],
                condition=~Q(status=AlertStatus.RESOLVED),
                name="recovery_alert_open",
            ),
            models.Index(
                fields=["fingerprint", "resolved_at"], name="recovery_alert_of"
            ),
            models.Index(
                fields=["resolved_at"],
                condition=Q(resolved_at__isnull=False),
                name="recovery_alert_resolved",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=~Q(status=AlertStatus.RESOLVED),
                name="recovery_alert_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=AlertStatus.values)
                & Q(severity__in=CaseSeverity.values),
                name="recovery_alert_choices",
            ),
            models.CheckConstraint(
                condition=Q(acked_by__isnull=True, acked_at__isnull=True)
                & ~Q(status=AlertStatus.ACKED)
                | Q(acked_by__isnull=False, acked_at__isnull=False)
                & ~Q(status=AlertStatus.OPEN),
                name="recovery_alert_acked_by",
            ),
            models.CheckConstraint(
                condition=Q(status=AlertStatus.RESOLVED, resolved_at__isnull=False)
                | ~Q(status=AlertStatus.RESOLVED) & Q(resolved_at__isnull=True),
                name="recovery_alert_resolved_at",
            ),
        )

    def __str__(self) -> str:
        return self.title


class AlertNotice(models.Model):
    """What is told of one alert or of many; written once, so that repeats are equal.

    Its id never changes: receivers know by it what they were sent before.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    severity = models.CharField(max_length=8, choices=CaseSeverity)
    is_summary = models.BooleanField(default=False)
    title = models.CharField(max_length=200)
    body = models.JSONField()
    created_at = models.DateTimeField(db_default=DatabaseNow(), db_index=True)

    def __str__(self) -> str:
        return self.title


class NoticeDelivery(DueRow):
    """One notice on its way to one channel, with attempts of its own."""

    notice = models.ForeignKey(
        AlertNotice, models.CASCADE, related_name="deliveries", editable=False
    )
    channel = models.CharField(max_length=16)
    status = models.CharField(
        max_length=8,
        choices=NoticeStatus,
        default=NoticeStatus.PENDING,
        db_default=NoticeStatus.PENDING,
    )
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta(DueRow.Meta):
        verbose_name_plural = "notice deliveries"
        indexes = (
            models.Index(
                fields=["channel", "next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="recovery_notice_due",
            ),
            models.Index(
                fields=["settled_at"],
                condition=Q(status__in=[NoticeStatus.FAILED, NoticeStatus.EXPIRED]),
                name="recovery_notice_lost",
            ),
        )
        constraints = (
            *DueRow.due_constraints("recovery_notice"),
            models.UniqueConstraint(
                fields=["notice", "channel"], name="recovery_notice_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=NoticeStatus.values),
                name="recovery_notice_choices",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=NoticeStatus.PENDING,
                    next_run_at__isnull=False,
                    settled_at__isnull=True,
                )
                | ~Q(status=NoticeStatus.PENDING)
                & Q(next_run_at__isnull=True, settled_at__isnull=False),
                name="recovery_notice_due_while_pending",
            ),
        )

    def __str__(self) -> str:
        return f"{self.notice} by {self.channel}"


class Count(models.Model):
    """How often something happened in one minute, in all processes together."""

    name = models.CharField(max_length=64)
    minute = models.DateTimeField(db_index=True)
    number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["name", "minute"], name="recovery_count_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.number} {self.name}"
