"""Each invariant is checked once a night; webhooks know their request."""

from django.conf import settings
from django.db import migrations, models

import slotbase.lib.clock


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_profile_fetch"),
        ("recovery", "0007_provider_status"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="inboxevent",
            name="request_id",
            field=models.CharField(blank=True, db_default="", max_length=64),
        ),
        migrations.CreateModel(
            name="RuleCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
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
                ("rule", models.CharField(max_length=32, unique=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddIndex(
            model_name="case",
            index=models.Index(
                condition=models.Q(
                    ("kind", "invariant_violation"), ("status__in", ["OPEN", "CLAIMED"])
                ),
                fields=["id"],
                name="recovery_case_violation",
            ),
        ),
        migrations.AddIndex(
            model_name="rulecheck",
            index=models.Index(
                condition=models.Q(("next_run_at__isnull", False)),
                fields=["next_run_at"],
                name="recovery_rulecheck_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="rulecheck",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("lease_token__isnull", True), ("lease_until__isnull", True)
                    ),
                    models.Q(
                        ("lease_token__isnull", False), ("lease_until__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="recovery_rulecheck_lease",
            ),
        ),
    ]
