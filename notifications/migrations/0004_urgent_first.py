"""The most urgent mail is found by an index, and of the same urgency the newest."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("notifications", "0003_channels_and_choices"),)

    operations = (
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(
                condition=models.Q(("next_run_at__isnull", False)),
                fields=["channel", "urgency", "-next_run_at"],
                name="notifications_urgent",
            ),
        ),
    )
