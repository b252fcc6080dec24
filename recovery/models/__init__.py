"""History, answers given, and what is still owed: due rows, events, webhooks, cases."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from recovery.models.alerts import Alert as Alert
from recovery.models.alerts import AlertNotice as AlertNotice
from recovery.models.alerts import Count as Count
from recovery.models.alerts import NoticeDelivery as NoticeDelivery
from recovery.models.approvals import Approval as Approval
from recovery.models.dead_letters import DeadLetter as DeadLetter
from recovery.models.due import DueRow as DueRow
from recovery.models.providers import ProviderStatus as ProviderStatus
from recovery.models.workflows import WorkflowRun as WorkflowRun
from recovery.models.workflows import WorkflowStep as WorkflowStep
from recovery.states import CaseSeverity, CaseStatus, DeliveryStatus, InboxStatus
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


class AuditEntry(models.Model):
    """One thing that happened, for ever: PostgreSQL refuses UPDATE, DELETE, TRUNCATE.

    Holds ids and states, never names, addresses or what people wrote.
    """

    at = models.DateTimeField(db_default=DatabaseNow())
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    from_state = models.CharField(max_length=32, blank=True)
    to_state = models.CharField(max_length=32, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = (
            models.Index(
                fields=["subject_type", "subject_id", "id"],
                name="recovery_audit_subject",
            ),
            models.Index(fields=["request_id"], name="recovery_audit_request"),
            models.Index(
                fields=["actor_id", "id"],
                condition=models.Q(actor_kind="staff"),
                name="recovery_audit_staff",
            ),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_id}"


class IdempotencyRecord(models.Model):
    """The answer given to an Idempotency-Key; kept for 24 h.

    It is inserted first and commits with the effect, so an error leaves none.
    """

    principal = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    route = models.CharField(max_length=128)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    object_id = models.UUIDField()
    created_at = models.DateTimeField(db_default=DatabaseNow(), db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["principal", "key"], name="recovery_idempotency_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.route} {self.key}"


class OutboxEvent(models.Model):
    """Something that happened, told to other parts by the transaction that did it.

    `data` has ids, times, states and amounts, never what identifies a person.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    type = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=DatabaseNow(), db_index=True)

    def __str__(self) -> str:
        return f"{self.type} {self.subject_id}"


class EventDelivery(DueRow):
    """One event for one subscriber, with attempts of its own."""

    event = models.ForeignKey(OutboxEvent, models.CASCADE, related_name="deliveries")
    subscriber = models.CharField(max_length=64)
    status = models.CharField(
        max_length=8,
        choices=DeliveryStatus,
        default=DeliveryStatus.PENDING,
        db_default=DeliveryStatus.PENDING,
    )

    class Meta(DueRow.Meta):
        verbose_name_plural = "event deliveries"
        indexes = (
            models.Index(
                fields=["subscriber", "next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="recovery_delivery_due",
            ),
            models.Index(
                fields=["id"],
                condition=Q(status=DeliveryStatus.DEAD),
                name="recovery_delivery_dead",
            ),
        )
        constraints = (
            *DueRow.due_constraints("recovery_delivery"),
            models.UniqueConstraint(
                fields=["event", "subscriber"], name="recovery_delivery_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=DeliveryStatus.values),
                name="recovery_delivery_choices",
            ),
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.PENDING, next_run_at__isnull=False)
                | ~Q(status=DeliveryStatus.PENDING) & Q(next_run_at__isnull=True),
                name="recovery_delivery_due_while_pending",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event} for {self.subscriber}"

    @property
    def request_id(self) -> str:
        """The request that its event came of."""
        return self.event.request_id


class InboxEvent(DueRow):
    """A webhook that was received; answered with 200 once this row is stored.

    The key stays for ever, since providers may send an event again; the payload goes
    after INBOX_RETENTION_DAYS.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=16)
    account = models.CharField(max_length=255, blank=True)
    event_id = models.CharField(max_length=255)
    type = models.CharField(max_length=255)
    api_version = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(null=True, blank=True)
    sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When it happened, as the provider says."
    )
    payload = models.JSONField(null=True, blank=True)
    received_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    status = models.CharField(
        max_length=10,
        choices=InboxStatus,
        default=InboxStatus.RECEIVED,
        db_default=InboxStatus.RECEIVED,
    )
    ignored_because = models.CharField(max_length=200, blank=True, db_default="")
    request_id = models.CharField(max_length=64, blank=True, db_default="")

    class Meta(DueRow.Meta):
        verbose_name = "webhook"
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="recovery_inbox_due",
            ),
            models.Index(
                fields=["received_at"],
                condition=Q(payload__isnull=False),
                name="recovery_inbox_to_empty",
            ),
            models.Index(
                fields=["id"],
                condition=Q(status=InboxStatus.DEAD),
                name="recovery_inbox_dead",
            ),
            models.Index(fields=["event_id"], name="recovery_inbox_event"),
        )
        constraints = (
            *DueRow.due_constraints("recovery_inbox"),
            models.UniqueConstraint(
                fields=["provider", "account", "event_id"], name="recovery_inbox_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=InboxStatus.values),
                name="recovery_inbox_choices",
            ),
            models.CheckConstraint(
                condition=Q(status=InboxStatus.IGNORED) & ~Q(ignored_because="")
                | ~Q(status=InboxStatus.IGNORED) & Q(ignored_because=""),
                name="recovery_inbox_ignored_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        InboxStatus.RECEIVED,
                        InboxStatus.PROCESSING,
                        InboxStatus.RETRY,
                    ],
                    next_run_at__isnull=False,
                )
                | Q(
                    status__in=[
                        InboxStatus.PROCESSED,
                        InboxStatus.IGNORED,
                        InboxStatus.DEAD,
                    ],
                    next_run_at__isnull=True,
                ),
                name="recovery_inbox_due_while_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider} {self.type} {self.event_id}"


class Case(models.Model):
    """One thing that needs a person. `recovery.cases` opens, moves and closes them.

    There is one open case for each fingerprint: what happens again is counted in it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=32)
    fingerprint = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10, choices=CaseStatus, default=CaseStatus.OPEN
    )
    severity = models.CharField(max_length=8, choices=CaseSeverity)
    audience = models.CharField(max_length=16)
    title = models.CharField(max_length=200)
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
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    amount_minor = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    cause = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict)
    occurrences = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    last_seen_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    due_at = models.DateTimeField()
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=64, blank=True)
    close_reason = models.CharField(max_length=200, blank=True)
    evidence = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        indexes = (
            models.Index(
                fields=["due_at"],
                condition=Q(status__in=[CaseStatus.OPEN, CaseStatus.CLAIMED]),
                name="recovery_case_open",
            ),
            models.Index(fields=["fingerprint", "closed_at"], name="recovery_case_of"),
            models.Index(
                fields=["subject_type", "subject_id"], name="recovery_case_subject"
            ),
            models.Index(
                fields=["id"],
                condition=Q(
                    kind="invariant_violation",
                    status__in=[CaseStatus.OPEN, CaseStatus.CLAIMED],
                ),
                name="recovery_case_violation",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=Q(status__in=[CaseStatus.OPEN, CaseStatus.CLAIMED]),
                name="recovery_case_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=CaseStatus.values)
                & Q(severity__in=CaseSeverity.values),
                name="recovery_case_choices",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=CaseStatus.CLAIMED,
                    claimed_by__isnull=False,
                    claimed_until__isnull=False,
                )
                | ~Q(status=CaseStatus.CLAIMED)
                & Q(claimed_by__isnull=True, claimed_until__isnull=True),
                name="recovery_case_claimed_by",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[CaseStatus.RESOLVED, CaseStatus.DISCARDED],
                    closed_at__isnull=False,
                )
                & ~Q(close_reason="")
                | Q(
                    status__in=[CaseStatus.OPEN, CaseStatus.CLAIMED],
                    closed_at__isnull=True,
                    close_reason="",
                ),
                name="recovery_case_closed_with_reason",
            ),
        )

    def __str__(self) -> str:
        return self.title


class RuleCheck(DueRow):
    """An invariant, to be checked over all rows once a night."""

    rule = models.CharField(max_length=32, unique=True)

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="recovery_rulecheck_due",
            ),
        )
        constraints = DueRow.due_constraints("recovery_rulecheck")

    def __str__(self) -> str:
        return self.rule


class WebhookFailures(models.Manager["WebhookFailure"]):
    """The cases of webhooks that could not be processed."""

    def get_queryset(self) -> Any:
        """Only those."""
        return super().get_queryset().filter(kind="webhook_failure")


class WebhookFailure(Case):
    """A webhook that needs a person; its payload is read from its InboxEvent."""

    objects: ClassVar[WebhookFailures] = WebhookFailures()

    class Meta:
        proxy = True


class Heartbeat(models.Model):
    """The last sign of life of a part: of beat, or of a worker that serves a queue."""

    name = models.CharField(max_length=200, primary_key=True)
    beat_at = models.DateTimeField(db_default=DatabaseNow(), db_index=True)

    def __str__(self) -> str:
        return self.name
