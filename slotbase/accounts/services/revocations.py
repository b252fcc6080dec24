"""Sessions that Clerk has ended: their tokens are refused from the next request on."""

from datetime import timedelta

from django.conf import settings

from slotbase.accounts.models import RevokedSession
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


@retry_on_conflict
def forget_revoked_sessions(*, limit: int) -> int:
    """Forget those of which no token can be alive any more; returns how many."""
    longest = settings.CLERK_MAX_TOKEN_SECONDS + settings.CLERK_GRACE_SECONDS
    old = RevokedSession.objects.filter(
        revoked_at__lte=Now() - (timedelta(seconds=longest) + MARGIN)
    )
    ids = list(old.order_by("revoked_at").values_list("pk", flat=True)[:limit])
    return old.filter(pk__in=ids).delete()[0]
