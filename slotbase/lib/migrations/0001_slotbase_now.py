"""The one clock of SlotBase. See slotbase/lib/clock.py."""

from django.db import migrations


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.RunSQL(
            "CREATE FUNCTION slotbase_now() RETURNS timestamptz "
            "LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()'",
            "DROP FUNCTION slotbase_now()",
        )
    ]
