"""Addresses that take no mail, and what people want to hear of."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from notifications.kinds import ALWAYS, Topic
from notifications.states import Channel, SuppressionReason
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class Suppression(models.Model):
    """An address to which no mail is sent, since mails came back or were complained of.

    The address itself is not here, only a keyed hash of it. Staff may lift it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    address_hash = models.CharField(max_length=64, editable=False)
    reason = models.CharField(max_length=16, choices=SuppressionReason)
    detail = models.CharField(max_length=64, blank=True)
    #: Whoever had the address when it happened.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )

    lifted_because = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["address_hash"],
                condition=Q(lifted_at__isnull=True),
                name="notifications_suppressed_once",
            ),
            models.CheckConstraint(
                condition=Q(reason__in=SuppressionReason.values),
                name="notifications_suppression_choices",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_reason_display()} {str(self.pk)[-6:]}"


class Choice(models.Model):
    """What somebody said about a topic and a channel; no row: they want it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="message_choices"
    )
    topic = models.CharField(max_length=16, choices=Topic)
    channel = models.CharField(max_length=8, choices=Channel)
    is_wanted = models.BooleanField()
    changed_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user", "topic", "channel"], name="notifications_choice_once"
            ),
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values)
                & Q(topic__in=[topic for topic in Topic if topic not in ALWAYS]),
                name="notifications_choice_of_what_is_optional",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_topic_display()} by {self.get_channel_display().lower()}"
