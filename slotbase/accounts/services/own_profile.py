"""What customers change of their own profile."""

from collections.abc import Mapping
from uuid import UUID

from recovery import audit
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import User
from slotbase.lib.db import retry_on_conflict


@retry_on_conflict
def change_profile(*, user_id: UUID, changes: Mapping[str, str]) -> User:
    """Write name, phone or locale; the same again changes nothing."""
    user = lock_user(user_id)
    news = {name: new for name, new in changes.items() if getattr(user, name) != new}
    if news:
        User.objects.filter(pk=user_id).update(**news)
        audit.record(
            actor=audit.Actor.customer(user_id),
            action="customer.profile_changed",
            subject="user",
            ids=[user_id],
            reason=f"changed {', '.join(sorted(news))}",
        )
        user.refresh_from_db()
    return user
