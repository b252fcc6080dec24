"""Bookings that are being cancelled are few, and looked for often."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("bookings", "0005_closures"),
        ("payments", "0005_inquiries"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="booking",
            index=models.Index(
                condition=models.Q(("status", "CANCELLING")),
                fields=["id"],
                name="bookings_booking_cancelling",
            ),
        ),
    ]
