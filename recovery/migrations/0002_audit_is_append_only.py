"""Audit entries can only be added."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION recovery_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are append-only'
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER recovery_auditentry_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON recovery_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION recovery_refuse_change();
"""
BACKWARD = """
DROP TRIGGER recovery_auditentry_append_only ON recovery_auditentry;
DROP FUNCTION recovery_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("recovery", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
