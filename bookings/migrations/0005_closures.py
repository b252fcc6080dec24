"""Closures claim what is free; bookings know the local time they were sold for."""

from django.db import migrations, models

# Of what is still to come: from then on each booking is made with it.
FILL = """
UPDATE bookings_booking b
SET local_start = to_char(b.start_time AT TIME ZONE v.time_zone, 'YYYY-MM-DD"T"HH24:MI')
FROM bookings_resource r JOIN accounts_venue v ON v.id = r.venue_id
WHERE r.id = b.resource_id AND b.end_time > slotbase_now()
"""


class Migration(migrations.Migration):
    dependencies = [
        ("bookings", "0004_waitlist"),
    ]

    operations = [
        migrations.AddField(
            model_name="booking",
            name="local_start",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The local time at which it was sold to start.",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="slotclaim",
            index=models.Index(
                condition=models.Q(("closure__isnull", False)),
                fields=["closure"],
                name="bookings_claim_of_closure",
            ),
        ),
        migrations.AlterModelOptions(
            name="booking",
            options={
                "ordering": ("-id",),
                "permissions": (
                    ("move_booking", "Can move bookings"),
                    (
                        "cancel_in_full",
                        "Can cancel bookings of which all money goes back",
                    ),
                ),
            },
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
