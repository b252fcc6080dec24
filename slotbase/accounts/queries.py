"""Reads about people."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q

from recovery.vitals import Check, Health
from slotbase.accounts.models import User
from slotbase.accounts.tokens import Session
from slotbase.lib.backoffice import sees_all_venues
from slotbase.lib.look import Ask

# Every request asks this. The same through the ORM takes 0.8 instead of 0.3 ms, nearly
# all of it Python building the statement anew; the columns not named here are deferred.
FIELDS = ("id", "is_active", "is_staff")
SESSION_USER = """
    SELECT id, is_active, is_staff, EXISTS (
        SELECT FROM accounts_revokedsession WHERE session_id = %s
    )
    FROM accounts_user WHERE clerk_id = %s
"""

FALLBACK = "auth_fallback_used"
SIGN_IN = """
    SELECT (SELECT coalesce(sum(number), 0)::int FROM recovery_count
        WHERE name = %s AND minute > slotbase_now() - interval '1 day'),
        fetched_at, failed_at
    FROM (SELECT 1) one LEFT JOIN accounts_signingkeyset ON true
"""


def is_to_be_forgotten(user_id: UUID) -> bool:
    """Whether they are erased, or that was asked for."""
    people = User.objects.filter(pk=user_id)
    gone = Q(erased_at__isnull=False) | Q(erasure__isnull=False)
    return people.filter(gone).exists()


def look_at_sign_in(ask: Ask) -> Iterable[Check]:
    """How sign-in of customers is, for /health: whether Clerk's keys still come."""
    [(fallbacks, fetched_at, failed_at)] = ask(SIGN_IN, FALLBACK)
    stamp = None if fetched_at is None else fetched_at.isoformat()
    details = {"fallbacks": fallbacks, "keys_fetched_at": stamp}
    if _lacks_keys(fetched_at, failed_at):
        says = "There are no keys of Clerk: no customer can sign in."
        yield Check("sign_in", Health.UNHEALTHY, says, "no_keys", details)
    elif failed_at is not None and (fetched_at is None or failed_at > fetched_at):
        says = "Clerk's keys cannot be fetched; those that are there serve on."
        yield Check("sign_in", Health.DEGRADED, says, "clerk_away", details)
    else:
        yield Check("sign_in", Health.HEALTHY, "Nothing is wrong.", "", details)


def _lacks_keys(fetched_at: datetime | None, failed_at: datetime | None) -> bool:
    """Whether none is left to check a token with, though Clerk was asked for some."""
    if not settings.CLERK_JWKS_URL or settings.CLERK_JWT_KEYS:
        return False
    if fetched_at is None:
        return failed_at is not None
    # These stamps are wall clock, as everything about tokens.
    age = datetime.fromtimestamp(time.time(), UTC) - fetched_at
    return age > timedelta(seconds=settings.CLERK_KEYS_MAX_AGE_SECONDS)


def works_at(user_id: UUID, venue_id: int | None) -> bool:
    """Whether a member of staff sees what belongs to this venue."""
    user = User.objects.filter(pk=user_id, is_staff=True).first()
    if user is None:
        return False
    return sees_all_venues(user) or (
        venue_id is not None and user.venues.filter(pk=venue_id).exists()
    )


def get_session_user(session: Session) -> tuple[User, bool] | None:
    """The session's user and whether the session is revoked; None if never seen."""
    with connection.cursor() as cursor:
        cursor.execute(SESSION_USER, [session.session_id, session.customer_id])
        row = cursor.fetchone()
    if row is None:
        return None
    *values, is_revoked = row
    return User.from_db("default", FIELDS, values), is_revoked


def find_leaving(session: Session) -> User | None:
    """Whoever asked to be erased and is not yet, and is let in no more."""
    waiting = User.objects.filter(erasure__ended_at=None, erasure__isnull=False)
    return waiting.filter(clerk_id=session.customer_id).first()


def get_locale(user_id: UUID) -> str | None:
    """What somebody speaks; None if there is no such person."""
    return User.objects.filter(pk=user_id).values_list("locale", flat=True).first()
