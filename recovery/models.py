"""History and answers given."""

from django.db import models

from slotbase.lib.clock import DatabaseNow


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
