"""Failures of tasks that have no row; when each failed first never changes."""

from django.db import migrations, models

import slotbase.lib.clock
import slotbase.lib.ids

FORWARD = """
CREATE FUNCTION recovery_keep_first_failure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'when it failed first never changes'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER recovery_deadletter_first_failure
    BEFORE UPDATE ON recovery_deadletter FOR EACH ROW
    WHEN (NEW.first_failed_at IS DISTINCT FROM OLD.first_failed_at)
    EXECUTE FUNCTION recovery_keep_first_failure();
"""
BACKWARD = """
DROP TRIGGER recovery_deadletter_first_failure ON recovery_deadletter;
DROP FUNCTION recovery_keep_first_failure();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("recovery", "0005_alerts"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "next_run_at",
                    models.DateTimeField(
                        blank=True,
                        db_default=slotbase.lib.clock.DatabaseNow(),
                        help_text="Empty: done.",
                        null=True,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(db_default=0, default=0)),
                ("deaths", models.PositiveSmallIntegerField(db_default=0, default=0)),
                (
                    "lease_until",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
                (
                    "lease_token",
                    models.UUIDField(blank=True, editable=False, null=True),
                ),
                (
                    "last_error",
                    models.CharField(blank=True, db_default="", max_length=200),
                ),
                (
                    "id",
                    models.UUIDField(
                        default=slotbase.lib.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="Of the task and its arguments.", max_length=64
                    ),
                ),
                ("task", models.CharField(max_length=100)),
                ("kwargs", models.JSONField(default=dict)),
                ("queue", models.CharField(blank=True, max_length=64)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("OPEN", "Open"),
                            ("RESOLVED", "Resolved"),
                            ("DISCARDED", "Discarded"),
                        ],
                        db_default="OPEN",
                        default="OPEN",
                        max_length=10,
                    ),
                ),
                (
                    "is_permanent",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="More attempts would not help.",
                    ),
                ),
                ("failures", models.PositiveIntegerField(db_default=1, default=1)),
                (
                    "first_failed_at",
                    models.DateTimeField(
                        db_default=slotbase.lib.clock.DatabaseNow(), editable=False
                    ),
                ),
                (
                    "last_failed_at",
                    models.DateTimeField(
                        db_default=slotbase.lib.clock.DatabaseNow(), editable=False
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ended_because",
                    models.CharField(blank=True, db_default="", max_length=200),
                ),
            ],
            options={
                "abstract": False,
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_run_at__isnull", False)),
                        fields=["next_run_at"],
                        name="recovery_dead_letter_due",
                    ),
                    models.Index(
                        condition=models.Q(("ended_at__isnull", False)),
                        fields=["ended_at"],
                        name="recovery_dead_letter_ended",
                    ),
                    models.Index(
                        fields=["key", "ended_at"], name="recovery_dead_letter_of"
                    ),
                    models.Index(
                        condition=models.Q(("status", "OPEN")),
                        fields=["first_failed_at"],
                        name="recovery_dead_letter_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lease_token__isnull", True),
                                ("lease_until__isnull", True),
                            ),
                            models.Q(
                                ("lease_token__isnull", False),
                                ("lease_until__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="recovery_dead_letter_lease",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "OPEN")),
                        fields=("key",),
                        name="recovery_dead_letter_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["OPEN", "RESOLVED", "DISCARDED"])
                        ),
                        name="recovery_dead_letter_choices",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at__isnull", True),
                                ("ended_because", ""),
                                ("status", "OPEN"),
                            ),
                            models.Q(
                                models.Q(("status", "OPEN"), _negated=True),
                                ("ended_at__isnull", False),
                                ("next_run_at__isnull", True),
                                models.Q(("ended_because", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="recovery_dead_letter_due_while_open",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
