"""Tasks that failed and have no row of their own."""

from django.db import models
from django.db.models import Q

from recovery.models.due import DueRow
from recovery.states import DeadLetterStatus
from recovery.work import MASK
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class DeadLetter(DueRow):
    """A task with its arguments that failed; `recovery.dead_letters` tries it again.

    There is one open row for each: what fails again is counted in it. `attempts` are
    those of the engine, `failures` all. One that is open and not due has a case. When
    it failed first never changes: PostgreSQL refuses it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=64, help_text="Of the task and its arguments.")
    task = models.CharField(max_length=100)
    kwargs = models.JSONField(default=dict)
    queue = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(
        max_length=10,
        choices=DeadLetterStatus,
        default=DeadLetterStatus.OPEN,
        db_default=DeadLetterStatus.OPEN,
    )
    is_permanent = models.BooleanField(
        default=False, db_default=False, help_text="More attempts would not help."
    )
    failures = models.PositiveIntegerField(default=1, db_default=1)
    first_failed_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    last_failed_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_because = models.CharField(max_length=200, blank=True, db_default="")

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="recovery_dead_letter_due",
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(ended_at__isnull=False),
                name="recovery_dead_letter_ended",
            ),
            models.Index(fields=["key", "ended_at"], name="recovery_dead_letter_of"),
            models.Index(
                fields=["first_failed_at"],
                condition=Q(status=DeadLetterStatus.OPEN),
                name="recovery_dead_letter_open",
            ),
        )
        constraints = (
            *DueRow.due_constraints("recovery_dead_letter"),
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(status=DeadLetterStatus.OPEN),
                name="recovery_dead_letter_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=DeadLetterStatus.values),
                name="recovery_dead_letter_choices",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=DeadLetterStatus.OPEN,
                    ended_at__isnull=True,
                    ended_because="",
                )
                | ~Q(status=DeadLetterStatus.OPEN)
                & Q(ended_at__isnull=False, next_run_at__isnull=True)
                & ~Q(ended_because=""),
                name="recovery_dead_letter_due_while_open",
            ),
        )

    def __str__(self) -> str:
        named = ", ".join(f"{name}={each}" for name, each in self.kwargs.items())
        return f"{self.task}({named})"

    @property
    def is_repeatable(self) -> bool:
        """Whether the row has all that its task needs."""
        return MASK not in [self.task, *self.kwargs.values()]
