"""Who waits for a slot that others have."""

from typing import Any

from django.db import models
from django.db.models import F, Q

from bookings.hours import Interval
from bookings.models.catalogue import Resource
from bookings.models.sales import BookingHold
from bookings.states import OPEN_ENTRIES, WaitlistStatus
from slotbase.accounts.models import User
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class WaitlistEntry(models.Model):
    """A customer's place in the line for a slot; its offer is a real hold."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    resource = models.ForeignKey(
        Resource, models.PROTECT, related_name="waitlist", db_index=False
    )
    customer = models.ForeignKey(User, models.PROTECT, related_name="waitlist")
    start_time = models.DateTimeField()
    end_time = models.DateTimeField()
    units = models.PositiveSmallIntegerField(default=1, help_text="How many.")
    status = models.CharField(
        max_length=10, choices=WaitlistStatus, default=WaitlistStatus.WAITING
    )
    hold = models.OneToOneField(
        BookingHold,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="waitlist_entry",
        help_text="What was offered.",
    )
    joined_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    offered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(
        max_length=200, blank=True, help_text="Why staff removed it, in their words."
    )
    looked_at = models.DateTimeField(
        db_default=DatabaseNow(),
        editable=False,
        help_text="When the sweep last looked for its slot.",
    )

    class Meta:
        verbose_name_plural = "waitlist entries"
        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=["resource", "start_time"],
                condition=Q(status=WaitlistStatus.WAITING),
                name="bookings_waitlist_line",
            ),
            models.Index(
                fields=["looked_at"],
                condition=Q(status=WaitlistStatus.WAITING),
                name="bookings_waitlist_due",
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(ended_at__isnull=False),
                name="bookings_waitlist_to_purge",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=WaitlistStatus.values),
                name="bookings_waitlist_choices",
            ),
            models.CheckConstraint(
                condition=Q(end_time__gt=F("start_time")) & Q(units__gte=1),
                name="bookings_waitlist_slot",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=WaitlistStatus.WAITING,
                    hold__isnull=True,
                    offered_at__isnull=True,
                )
                | Q(
                    status__in=[WaitlistStatus.OFFERED, WaitlistStatus.CLAIMED],
                    hold__isnull=False,
                    offered_at__isnull=False,
                )
                | Q(status__in=[WaitlistStatus.LEFT, WaitlistStatus.LAPSED]),
                name="bookings_waitlist_offer",
            ),
            models.CheckConstraint(
                condition=Q(status__in=OPEN_ENTRIES, ended_at__isnull=True)
                | ~Q(status__in=OPEN_ENTRIES) & Q(ended_at__isnull=False),
                name="bookings_waitlist_ended_at",
            ),
            models.UniqueConstraint(
                fields=["customer", "resource", "start_time", "end_time"],
                condition=Q(status__in=OPEN_ENTRIES),
                name="bookings_waitlist_once",
            ),
        )

    def __str__(self) -> str:
        local = self.start_time.astimezone(self.resource.venue.zone)
        return f"{self.resource} {local:%Y-%m-%d %H:%M %Z}"

    @property
    def slot(self) -> Interval:
        """The time that is waited for."""
        return Interval(self.start_time, self.end_time)

    def facts(self) -> dict[str, Any]:
        """What events tell of it."""
        return {
            "resource": self.resource_id,
            "start_time": self.start_time.isoformat(),
            "end_time": self.end_time.isoformat(),
            "units": self.units,
            "hold": str(self.hold_id) if self.hold_id else None,
        }
