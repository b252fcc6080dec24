"""Workflows that were started, and their steps."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from recovery.models.due import DueRow
from recovery.states import RunStatus, StepStatus
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class WorkflowRun(DueRow):
    """A workflow that was started for a subject; `recovery.workflows` advances it.

    It is due while there are steps to take. One that is not finished and not due waits
    for a person. `input` has ids, times, states and amounts, no personal data.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    status = models.CharField(
        max_length=12,
        choices=RunStatus,
        default=RunStatus.RUNNING,
        db_default=RunStatus.RUNNING,
    )
    input = models.JSONField(default=dict)
    venue = models.ForeignKey(
        "accounts.Venue", models.PROTECT, null=True, blank=True, related_name="+"
    )
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    reference = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    limit_at = models.DateTimeField(help_text="Not finished then: a case is opened.")
    is_late = models.BooleanField(default=False, db_default=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    abandoned_because = models.CharField(max_length=200, blank=True, db_default="")

    class Meta(DueRow.Meta):
        verbose_name = "workflow"
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="recovery_workflow_due",
            ),
            models.Index(
                fields=["limit_at"],
                condition=Q(finished_at__isnull=True, is_late=False),
                name="recovery_workflow_limit",
            ),
            models.Index(
                fields=["limit_at"],
                condition=Q(finished_at__isnull=True, is_late=True),
                name="recovery_workflow_late",
            ),
            models.Index(
                fields=["finished_at"],
                condition=Q(finished_at__isnull=False),
                name="recovery_workflow_finished",
            ),
            models.Index(
                fields=["subject_type", "subject_id"], name="recovery_workflow_subject"
            ),
        )
        constraints = (
            *DueRow.due_constraints("recovery_workflow"),
            models.UniqueConstraint(
                fields=["name", "subject_type", "subject_id"],
                condition=Q(finished_at__isnull=True),
                name="recovery_workflow_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=RunStatus.values),
                name="recovery_workflow_choices",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[RunStatus.RUNNING, RunStatus.COMPENSATING],
                    finished_at__isnull=True,
                )
                | Q(
                    status__in=[
                        RunStatus.DONE,
                        RunStatus.COMPENSATED,
                        RunStatus.ABANDONED,
                    ],
                    finished_at__isnull=False,
                    next_run_at__isnull=True,
                ),
                name="recovery_workflow_due_until_finished",
            ),
            models.CheckConstraint(
                condition=Q(status=RunStatus.ABANDONED) & ~Q(abandoned_because="")
                | ~Q(status=RunStatus.ABANDONED) & Q(abandoned_because=""),
                name="recovery_workflow_abandoned_with_reason",
            ),
        )

    def __str__(self) -> str:
        return self.title or f"{self.name} of {self.subject_type} {self.subject_id}"

    def timeline(self) -> models.QuerySet["WorkflowStep"]:
        """Its steps, in order."""
        return WorkflowStep.objects.filter(run=self.pk).order_by("position")


class WorkflowStep(models.Model):
    """One step of a run, made when the run is: what is done, and what is to come."""

    run = models.ForeignKey(WorkflowRun, models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=64)
    status = models.CharField(
        max_length=12, choices=StepStatus, default=StepStatus.PENDING
    )
    attempts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Stored before the first attempt."
    )
    finished_at = models.DateTimeField(
        null=True, blank=True, help_text="When it came to the state that it has."
    )
    error = models.CharField(max_length=200, blank=True)
    output = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["run", "position"], name="recovery_step_position"
            ),
            models.UniqueConstraint(fields=["run", "name"], name="recovery_step_name"),
            models.CheckConstraint(
                condition=Q(status__in=StepStatus.values), name="recovery_step_choices"
            ),
            models.CheckConstraint(
                condition=Q(status=StepStatus.PENDING, finished_at__isnull=True)
                | ~Q(status=StepStatus.PENDING) & Q(finished_at__isnull=False),
                name="recovery_step_finished",
            ),
        )

    def __str__(self) -> str:
        return f"{self.position}. {self.name}"
