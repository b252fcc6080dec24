"""Who stands behind a session token."""

from slotbase.accounts.errors import AccountDisabled, SessionRevoked, TokenInvalid
from slotbase.accounts.models import User
from slotbase.accounts.queries import get_session_user
from slotbase.accounts.services.profiles import request_profile
from slotbase.accounts.services.signing_keys import find_signing_key
from slotbase.accounts.tokens import Session, read_key_id, verify_token
from slotbase.lib.db import retry_on_conflict


def sign_in(*, token: str) -> tuple[User, Session]:
    """The customer and the session of this token; a first visit makes the customer.

    Costs one query, unless the customer is new or the signing key is. Not inside a
    transaction: for an unknown key it waits for Clerk.

    Raises:
        TokenInvalid, TokenExpired, SessionRevoked: sign in again.
        AccountDisabled: the customer is known and not wanted.
        AuthUnavailable: nobody can tell at the moment.
    """
    session = verify_token(token, key=find_signing_key(read_key_id(token)))
    user, is_revoked = get_session_user(session) or _admit(session)
    if is_revoked:
        raise SessionRevoked
    # A constraint forbids staff a Clerk id; the back office must not hang on it alone.
    if user.is_staff:
        raise TokenInvalid("staff")
    if not user.is_active:
        raise AccountDisabled
    return user, session


def _admit(session: Session) -> tuple[User, bool]:
    """Make the customer, unless another request was faster."""
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
