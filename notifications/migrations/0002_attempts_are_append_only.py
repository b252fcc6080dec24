"""Attempts can only be added."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION notifications_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attempts are append-only'
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER notifications_attempt_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON notifications_notificationattempt
    FOR EACH STATEMENT EXECUTE FUNCTION notifications_refuse_change();
"""
BACKWARD = """
DROP TRIGGER notifications_attempt_append_only ON notifications_notificationattempt;
DROP FUNCTION notifications_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
