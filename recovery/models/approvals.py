"""What one member of staff wants to do, and another one has to agree to."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from recovery.states import ApprovalStatus
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class Approval(models.Model):
    """Four eyes: `terms` is all that will be done, and it is frozen.

    `kind` says which service does it. There is one proposal at a time of a kind for a
    subject.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=32)
    status = models.CharField(
        max_length=10, choices=ApprovalStatus, default=ApprovalStatus.PROPOSED
    )
    title = models.CharField(max_length=200)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    terms = models.JSONField(default=dict)
    amount_minor = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    venue = models.ForeignKey(
        "accounts.Venue", models.PROTECT, null=True, blank=True, related_name="+"
    )
    reason = models.CharField(max_length=200, blank=True)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+"
    )
    proposed_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.CharField(max_length=200, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        indexes = (
            models.Index(
                fields=["expires_at"],
                condition=Q(status=ApprovalStatus.PROPOSED),
                name="recovery_approval_open",
            ),
            models.Index(
                fields=["subject_type", "subject_id"],
                name="recovery_approval_subject",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["kind", "subject_type", "subject_id"],
                condition=Q(status=ApprovalStatus.PROPOSED),
                name="recovery_approval_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=ApprovalStatus.values),
                name="recovery_approval_choices",
            ),
            # Nobody agrees to what they want themselves, whatever the code does.
            models.CheckConstraint(
                condition=~Q(status=ApprovalStatus.APPROVED)
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("proposed_by"))),
                name="recovery_approval_second_person",
            ),
            models.CheckConstraint(
                condition=Q(status=ApprovalStatus.PROPOSED, decided_at__isnull=True)
                | (~Q(status=ApprovalStatus.PROPOSED) & Q(decided_at__isnull=False)),
                name="recovery_approval_decided",
            ),
        )

    def __str__(self) -> str:
        return self.title
