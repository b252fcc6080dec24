"""Devices whose token is to be forgotten, and how sending went lately, by index."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0005_reasons"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="pushdevice", name="notifications_device_ended"
        ),
        migrations.AddIndex(
            model_name="notificationattempt",
            index=models.Index(fields=["at"], name="notifications_attempted"),
        ),
        migrations.AddIndex(
            model_name="pushdevice",
            index=models.Index(
                fields=["status", "ended_at"],
                condition=models.Q(
                    ("ended_at__isnull", False),
                    models.Q(("sealed_token", ""), _negated=True),
                ),
                name="notifications_to_forget",
            ),
        ),
    ]
