"""Who stands behind a session token."""

from django.conf import settings

from slotbase.accounts.errors import (
    AccountDisabled,
    SessionRevoked,
    TokenExpired,
    TokenInvalid,
)
from slotbase.accounts.models import User
from slotbase.accounts.queries import get_session_user
from slotbase.accounts.services.fallback import record_fallback
from slotbase.accounts.services.profiles import request_profile
from slotbase.accounts.services.revocations import may_make_a_customer
from slotbase.accounts.services.signing_keys import clerk_is_away, find_signing_key
from slotbase.accounts.tokens import FRESH_SECONDS, Needs, Session, verify_token
from slotbase.lib.db import retry_on_conflict


def sign_in(*, token: str, needs: Needs = Needs.LIFE) -> tuple[User, Session]:
    """The customer and the session of this token; a first visit makes the customer.

    Costs one query, unless the customer is new or the signing key is. Not inside a
    transaction: for an unknown key it waits for Clerk.

    Raises:
        TokenInvalid, TokenExpired, SessionRevoked: sign in again.
        AccountDisabled: the customer is known and not wanted.
        AuthUnavailable: nobody can tell at the moment.
    """
    session = read_session(token, needs)
    user, is_revoked = get_session_user(session) or _admit(session)
    if is_revoked:
        raise SessionRevoked
    # A constraint forbids staff a Clerk id; the back office must not hang on it alone.
    if user.is_staff:
        raise TokenInvalid("staff")
    if not user.is_active:
        raise AccountDisabled
    if session.is_late:
        record_fallback(user_id=user.pk, session_id=session.session_id)
    return user, session


def read_session(token: str, needs: Needs = Needs.LIFE) -> Session:
    """Whose token it is; what it may have to be while Clerk is away (ADR 0038).

    Raises:
        TokenInvalid, TokenExpired, AuthUnavailable: as `sign_in`.
    """
    key = find_signing_key(token)
    if needs is Needs.LIFE or not clerk_is_away():
        return verify_token(token, key=key)
    if needs is Needs.GRACE:
        return verify_token(token, key=key, grace_seconds=settings.CLERK_GRACE_SECONDS)
    session = verify_token(token, key=key)
    if session.age > FRESH_SECONDS:
        raise TokenExpired
    return session


def _admit(session: Session) -> tuple[User, bool]:
    """Make the customer, unless another request was faster.

    Not by a late token, nor by a session that ended, nor for somebody who was erased
    lately: they would be back.
    """
    if session.is_late:
        raise TokenExpired
    if not may_make_a_customer(session):
        raise SessionRevoked
    _make_customer(session.customer_id)
    admitted = get_session_user(session)
    if admitted is None:
        raise TokenInvalid("account deleted at this moment")
    return admitted


@retry_on_conflict
def _make_customer(clerk_id: str) -> None:
    """And owe them that Clerk is asked who they are; no request waits for that."""
    newcomer = User(clerk_id=clerk_id)
    newcomer.set_unusable_password()
    User.objects.bulk_create([newcomer], ignore_conflicts=True)
    if User.objects.filter(pk=newcomer.pk).exists():
        request_profile(user_id=newcomer.pk)
