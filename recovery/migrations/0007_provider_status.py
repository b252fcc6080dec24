"""How each provider is, as the calls that are made anyway have shown."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("recovery", "0006_dead_letters")]

    operations = [
        migrations.CreateModel(
            name="ProviderStatus",
            fields=[
                (
                    "provider",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("last_success_at", models.DateTimeField(blank=True, null=True)),
                ("last_failure_at", models.DateTimeField(blank=True, null=True)),
                (
                    "last_code",
                    models.CharField(
                        blank=True, max_length=64, verbose_name="last failure"
                    ),
                ),
                ("open_since", models.DateTimeField(blank=True, null=True)),
                ("open_until", models.DateTimeField(blank=True, null=True)),
                ("counted_since", models.DateTimeField()),
                ("successes", models.PositiveIntegerField(default=0)),
                ("failures", models.PositiveIntegerField(default=0)),
            ],
            options={"verbose_name": "provider", "verbose_name_plural": "health"},
        ),
        migrations.AddIndex(
            model_name="workflowrun",
            index=models.Index(
                fields=["limit_at"],
                condition=models.Q(finished_at__isnull=True, is_late=True),
                name="recovery_workflow_late",
            ),
        ),
    ]
