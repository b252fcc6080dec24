"""Why a message was sent again, and why an address takes mails again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0004_urgent_first"),
    ]

    operations = [
        migrations.AddField(
            model_name="notification",
            name="because",
            field=models.CharField(
                blank=True,
                db_default="",
                max_length=200,
                verbose_name="sent again because",
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="lifted_because",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
    ]
