"""What coaches write after a session, and what became of it."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from bookings.models.sales import Booking
from bookings.states import EnhancementStatus, FallbackReason
from recovery.models import DueRow
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7

LONGEST_NOTES = 8000


class Taught(models.Model):
    """What feedback may name: what a venue's coaches teach, and nothing else."""

    venue = models.ForeignKey(Venue, models.PROTECT, related_name="%(class)ss")
    name = models.CharField(max_length=80)
    retired_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on new feedback does not name it."
    )

    class Meta:
        abstract = True
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                "venue", Lower("name"), name="bookings_%(class)s_once_a_venue"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of_these(cls, ids: list[int], venue_id: int) -> list[int]:
        """Those of the ids that the venue teaches now, each once, in their order."""
        rows = cls._default_manager.filter(venue=venue_id, retired_at=None, pk__in=ids)
        known = {*rows.values_list("pk", flat=True)}
        return [each for each in dict.fromkeys(ids) if each in known]


class Skill(Taught):
    """Something to be good at."""


class Drill(Taught):
    """An exercise."""

    description = models.CharField(
        max_length=500, blank=True, help_text="What to do, as customers read it."
    )


class SessionFeedback(DueRow):
    """A coach's notes on one booking; enhancing them is what the row owes.

    `notes` stay as they were written. What the model makes of them stands beside, and
    customers see neither, but what the coach accepted.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    booking = models.OneToOneField(Booking, models.PROTECT, related_name="feedback")
    coach = models.ForeignKey(User, models.PROTECT, related_name="feedback_written")
    notes = models.TextField(max_length=LONGEST_NOTES)
    status = models.CharField(
        max_length=10, choices=EnhancementStatus, default=EnhancementStatus.PENDING
    )
    fallback_reason = models.CharField(
        max_length=16, choices=FallbackReason, blank=True, db_default=""
    )
    enhanced_text = models.TextField(blank=True, db_default="")
    skills = ArrayField(models.BigIntegerField(), default=list, blank=True)
    drills = ArrayField(models.BigIntegerField(), default=list, blank=True)
    accepted_text = models.TextField(blank=True, db_default="")
    accepted_skills = ArrayField(models.BigIntegerField(), default=list, blank=True)
    accepted_drills = ArrayField(models.BigIntegerField(), default=list, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        User, models.PROTECT, related_name="feedback_accepted", null=True, blank=True
    )
    made_from = models.CharField(
        max_length=64,
        blank=True,
        db_default="",
        editable=False,
        help_text="Of what was sent: the same is not paid for twice.",
    )
    asked_at = models.DateTimeField(
        db_default=DatabaseNow(), help_text="When it was last asked for."
    )
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    enhanced_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, db_default=1)

    class Meta(DueRow.Meta):
        verbose_name_plural = "session feedback"
        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="bookings_feedback_due",
            ),
            models.Index(
                fields=["made_from"],
                condition=~Q(made_from=""),
                name="bookings_feedback_made_from",
            ),
        )
        constraints = (
            *DueRow.due_constraints("bookings_feedback"),
            models.CheckConstraint(
                condition=Q(status__in=EnhancementStatus.values)
                & Q(fallback_reason__in=["", *FallbackReason.values]),
                name="bookings_feedback_choices",
            ),
            models.CheckConstraint(
                condition=~Q(status=EnhancementStatus.DONE)
                | ~Q(enhanced_text="")
                & Q(enhanced_at__isnull=False, fallback_reason=""),
                name="bookings_feedback_done",
            ),
            models.CheckConstraint(
                condition=~Q(
                    status__in=[
                        EnhancementStatus.DEGRADED,
                        EnhancementStatus.SKIPPED,
                        EnhancementStatus.FAILED,
                    ]
                )
                | ~Q(fallback_reason=""),
                name="bookings_feedback_reason",
            ),
            models.CheckConstraint(
                condition=Q(
                    accepted_at__isnull=True, accepted_by__isnull=True, accepted_text=""
                )
                | Q(accepted_at__isnull=False, accepted_by__isnull=False)
                & ~Q(accepted_text=""),
                name="bookings_feedback_accepted",
            ),
        )

    def __str__(self) -> str:
        return f"Feedback on {self.booking.reference}"


class TokenBudget(models.Model):
    """The tokens taken of one day's budget, by all venues."""

    day = models.DateField(primary_key=True, help_text="In UTC.")
    taken = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ("-day",)

    def __str__(self) -> str:
        return f"{self.day}: {self.taken}"
