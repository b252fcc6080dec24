"""Second factors and recovery codes of staff, wrong guesses, and erasures."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import slotbase.lib.clock


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_profile_fetch"),
    ]

    operations = [
        migrations.CreateModel(
            name="Erasure",
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
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=slotbase.lib.clock.DatabaseNow(), editable=False
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="RecoveryCode",
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
                ("code_hash", models.CharField(max_length=64)),
                ("used_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="SecondFactor",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="second_factor",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("sealed_secret", models.TextField()),
                ("last_step", models.BigIntegerField(db_default=0, default=0)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=slotbase.lib.clock.DatabaseNow(), editable=False
                    ),
                ),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="SignInGuard",
            fields=[
                (
                    "name",
                    models.CharField(max_length=80, primary_key=True, serialize=False),
                ),
                ("failures", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "since",
                    models.DateTimeField(db_default=slotbase.lib.clock.DatabaseNow()),
                ),
                ("blocked_until", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.AlterModelOptions(
            name="user",
            options={
                "permissions": (
                    ("see_contact_data", "Can see contact data of customers"),
                    ("export_person", "Can export all that is known of a person"),
                    ("erase_person", "Can erase a person"),
                    ("approve_rights", "Can approve what others get or lose"),
                )
            },
        ),
        migrations.AddField(
            model_name="user",
            name="erased_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="user",
            name="session_epoch",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddIndex(
            model_name="revokedsession",
            index=models.Index(fields=["revoked_at"], name="accounts_revoked_at"),
        ),
        migrations.AddField(
            model_name="erasure",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="erasure",
            name="user",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="erasure",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="recoverycode",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="recovery_codes",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="signinguard",
            index=models.Index(fields=["since"], name="accounts_guard_since"),
        ),
        migrations.AddIndex(
            model_name="erasure",
            index=models.Index(
                condition=models.Q(("next_run_at__isnull", False)),
                fields=["next_run_at"],
                name="accounts_erasure_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
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
                name="accounts_erasure_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="erasure",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("next_run_at__isnull", False),
                    ("ended_at__isnull", False),
                    _connector="OR",
                ),
                name="accounts_erasure_due_until_ended",
            ),
        ),
        migrations.AddConstraint(
            model_name="recoverycode",
            constraint=models.UniqueConstraint(
                fields=("user", "code_hash"), name="accounts_recovery_code_once"
            ),
        ),
    ]
