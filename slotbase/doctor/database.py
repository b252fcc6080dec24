"""PostgreSQL: its version, our role in it, the guards in it, and its clock."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from recovery import health
from slotbase.doctor.examining import Examination, Trouble
from slotbase.lib.look import ask

ROLES = "See docs/howto/use-your-own-postgres.md for the roles and their limits."
OLDEST = 150000
APART_SECONDS = 5
CROWDED = 0.9


def _version() -> Iterable[Trouble]:
    [(number, name)] = ask(
        "SELECT current_setting('server_version_num')::int,"
        " current_setting('server_version')"
    )
    if number < OLDEST:
        yield f"PostgreSQL {name} is too old.", "Use PostgreSQL 15 or newer."


def _migrations() -> Iterable[Trouble]:
    if missing := health.find_missing_migrations(ask):
        do = "Run as the owner of the tables: manage.py migrate"
        yield f"Migrations are not applied: {', '.join(missing)}.", do


def _limits() -> Iterable[Trouble]:
    endless = ask(
        "SELECT name FROM pg_settings WHERE setting = '0' AND name IN"
        " ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout')"
    )
    for (name,) in sorted(endless):
        yield f"This role has no {name}: one request may block all others.", ROLES


def _role() -> Iterable[Trouble]:
    [(is_superuser, is_owner)] = ask(
        "SELECT rolsuper, EXISTS (SELECT FROM pg_tables WHERE tableowner = current_user"
        " AND tablename = 'recovery_auditentry') FROM pg_roles"
        " WHERE rolname = current_user"
    )
    if is_superuser or is_owner:
        who = "a superuser" if is_superuser else "the owner of the tables"
        yield f"The product is {who}: it could drop them, or change history.", ROLES


def _history() -> Iterable[Trouble]:
    [(guards, may_disable)] = ask(
        "SELECT (SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'D'"
        "  AND NOT tgisinternal AND tgrelid = 'recovery_auditentry'::regclass),"
        " has_parameter_privilege('session_replication_role', 'SET')"
    )
    if not guards:
        do = "Enable its trigger, find out who disabled it, and compare with a backup."
        yield "History can be changed: the guard of the audit is off.", do
    if may_disable:
        do = "As a superuser: REVOKE SET ON PARAMETER session_replication_role FROM it."
        yield "This role may switch the guard of the audit off.", do


def _clock() -> Iterable[Trouble]:
    [(body, now)] = ask(
        "SELECT prosrc, slotbase_now() FROM pg_proc WHERE proname = 'slotbase_now'"
    )
    apart = abs(now.timestamp() - time.time())
    if body.strip().removesuffix(";") != "SELECT clock_timestamp()":
        do = "Of a demonstration: python -m slotbase.devstack clock reset."
        yield f"The clock has been moved, by {round(apart)} s just now.", do
    elif apart > APART_SECONDS:
        do = "Let both computers follow an NTP server: tokens and webhooks need it."
        yield f"Our clock and PostgreSQL's are {round(apart)} s apart.", do


def _crowd() -> Iterable[Trouble]:
    # Not pg_stat_activity, which does not say of other roles' sessions what they are.
    [(used, most)] = ask(
        "SELECT sum(numbackends)::int, current_setting('max_connections')::int"
        " FROM pg_stat_database"
    )
    if used > most * CROWDED:
        do = "Raise max_connections, or run fewer web and worker processes."
        yield f"{used} of {most} connections are in use.", do


_OFFSETS = """
SELECT zone, at, extract(epoch FROM at AT TIME ZONE zone - at AT TIME ZONE 'UTC')::int
FROM (SELECT DISTINCT time_zone AS zone FROM accounts_venue
      WHERE time_zone IN (SELECT name FROM pg_timezone_names)) zones,
    (SELECT slotbase_now() + days * interval '1 day' AS at
     FROM unnest('{0,90,180,270}'::int[]) days) moments
ORDER BY zone, at
"""
_UNKNOWN_ZONES = """
SELECT DISTINCT time_zone FROM accounts_venue
WHERE time_zone NOT IN (SELECT name FROM pg_timezone_names)
"""


def _time_zones() -> Iterable[Trouble]:
    do = "Update tzdata here and for PostgreSQL: both must know the same rules."
    for (zone,) in ask(_UNKNOWN_ZONES):
        yield f"PostgreSQL does not know the time zone {zone} of a venue.", do
    different = {
        zone for zone, at, offset in ask(_OFFSETS) if _differs(zone, at, offset)
    }
    for zone in sorted(different):
        yield f"Python and PostgreSQL disagree about the time in {zone}.", do


def _differs(zone: str, at: datetime, offset: int) -> bool:
    try:
        return at.astimezone(ZoneInfo(zone)).utcoffset() != timedelta(seconds=offset)
    except ZoneInfoNotFoundError:
        return True


EXAMINATIONS = (
    Examination("database version", _version, "database"),
    Examination("migrations", _migrations, "database"),
    Examination("limits of the database role", _limits, "database"),
    Examination("rights of the database role", _role, "database"),
    Examination("guard of the audit", _history, "tables"),
    Examination("clock", _clock, "tables"),
    Examination("connections", _crowd, "database"),
    Examination("time zones", _time_zones, "tables"),
)
