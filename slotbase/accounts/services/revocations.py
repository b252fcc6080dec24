"""Sessions that have ended: their tokens are refused from the next request on.

And, for a while, every session of somebody who was erased, by a keyed hash of who they
are at Clerk: their other devices would bring them back within seconds.
"""

from datetime import timedelta

from django.conf import settings
from django.utils.crypto import salted_hmac

from slotbase.accounts.models import RevokedSession
from slotbase.accounts.tokens import Session
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required

MARGIN = timedelta(days=1)


@transaction_required
def revoke_session(session_id: str) -> bool:
    """Refuse a session from now on; says whether that is new."""
    is_known = RevokedSession.objects.filter(pk=session_id).exists()
    RevokedSession.objects.bulk_create(
        [RevokedSession(session_id=session_id)], ignore_conflicts=True
    )
    return not is_known


@transaction_required
def revoke_person(clerk_id: str) -> None:
    """Refuse all sessions of somebody who is erased now, whichever they are."""
    if clerk_id:
        revoke_session(_names(clerk_id)[0])


def may_make_a_customer(session: Session) -> bool:
    """Whether it did not end, and is not of somebody who was erased lately."""
    names = [session.session_id, *_names(session.customer_id)]
    return not RevokedSession.objects.filter(pk__in=names).exists()


def _names(clerk_id: str) -> list[str]:
    """As it is kept, under each key that may have been SECRET_KEY then.

    No session of Clerk is called so: their ids have no colon.
    """
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    salt = "slotbase.erased_person"
    hashes = (
        salted_hmac(salt, clerk_id, secret=key, algorithm="sha256") for key in keys
    )
    return [f"user:{each.hexdigest()[:56]}" for each in hashes]


@retry_on_conflict
def forget_revoked_sessions(*, limit: int) -> int:
    """Forget those of which no token has been alive for a day; returns how many."""
    longest = settings.CLERK_MAX_TOKEN_SECONDS + settings.CLERK_GRACE_SECONDS
    old = RevokedSession.objects.filter(
        revoked_at__lte=Now() - (timedelta(seconds=longest) + MARGIN)
    )
    ids = list(old.order_by("revoked_at").values_list("pk", flat=True)[:limit])
    return old.filter(pk__in=ids).delete()[0]
