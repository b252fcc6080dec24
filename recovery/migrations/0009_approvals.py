"""What needs a second person."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import slotbase.lib.clock
import slotbase.lib.ids


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_staff_sign_in"),
        ("recovery", "0008_rule_checks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=slotbase.lib.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(max_length=32)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PROPOSED", "Proposed"),
                            ("APPROVED", "Approved"),
                            ("REFUSED", "Refused"),
                            ("WITHDRAWN", "Withdrawn"),
                            ("EXPIRED", "Expired"),
                        ],
                        default="PROPOSED",
                        max_length=10,
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("subject_type", models.CharField(max_length=32)),
                ("subject_id", models.CharField(max_length=64)),
                ("terms", models.JSONField(default=dict)),
                ("amount_minor", models.BigIntegerField(blank=True, null=True)),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "proposed_at",
                    models.DateTimeField(
                        db_default=slotbase.lib.clock.DatabaseNow(), editable=False
                    ),
                ),
                ("expires_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_reason", models.CharField(blank=True, max_length=200)),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "venue",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.venue",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "PROPOSED")),
                        fields=["expires_at"],
                        name="recovery_approval_open",
                    ),
                    models.Index(
                        fields=["subject_type", "subject_id"],
                        name="recovery_approval_subject",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "PROPOSED")),
                        fields=("kind", "subject_type", "subject_id"),
                        name="recovery_approval_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "PROPOSED",
                                    "APPROVED",
                                    "REFUSED",
                                    "WITHDRAWN",
                                    "EXPIRED",
                                ],
                            )
                        ),
                        name="recovery_approval_choices",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "APPROVED"), _negated=True),
                            models.Q(
                                ("decided_by__isnull", False),
                                models.Q(
                                    ("decided_by", models.F("proposed_by")),
                                    _negated=True,
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="recovery_approval_second_person",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("decided_at__isnull", True), ("status", "PROPOSED")
                            ),
                            models.Q(
                                models.Q(("status", "PROPOSED"), _negated=True),
                                ("decided_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="recovery_approval_decided",
                    ),
                ],
            },
        ),
    ]
