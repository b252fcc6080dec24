"""A due row for each customer who is not known yet."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import slotbase.lib.clock


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProfileFetch",
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
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="profile_fetch",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "profile fetches",
                "abstract": False,
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_run_at__isnull", False)),
                        fields=["next_run_at"],
                        name="accounts_profile_due",
                    )
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
                        name="accounts_profile_lease",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("next_run_at__isnull", False),
                            ("ended_at__isnull", False),
                            _connector="OR",
                        ),
                        name="accounts_profile_due_until_ended",
                    ),
                ],
            },
        ),
    ]
