"""Reads about people."""

from uuid import UUID

from django.db import connection

from slotbase.accounts.models import User
from slotbase.accounts.tokens import Session
from slotbase.lib.backoffice import sees_all_venues

# Every request asks this. The same through the ORM takes 0.8 instead of 0.3 ms, nearly
# all of it Python building the statement anew; the columns not named here are deferred.
FIELDS = ("id", "is_active", "is_staff")
SESSION_USER = """
    SELECT id, is_active, is_staff, EXISTS (
        SELECT FROM accounts_revokedsession WHERE session_id = %s
    )
    FROM accounts_user WHERE clerk_id = %s
"""


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


def get_locale(user_id: UUID) -> str | None:
    """What somebody speaks; None if there is no such person."""
    return User.objects.filter(pk=user_id).values_list("locale", flat=True).first()
