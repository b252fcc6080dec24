"""What accounts do with Clerk's webhooks: let in and know whom Clerk does.

They come late, twice and in any order. What shuts somebody out is done at once; how
somebody is now is asked of Clerk by the due row of their profile, whatever the webhook
says, so that the order does not matter.
"""

from collections.abc import Mapping
from typing import Any

from recovery import inbox
from recovery.inbox import Handler, Ignored
from recovery.models import InboxEvent
from slotbase.accounts.locks import lock_customer
from slotbase.accounts.services.blocking import block
from slotbase.accounts.services.profiles import refresh_profile
from slotbase.accounts.services.revocations import revoke_session
from slotbase.accounts.tokens import is_identifier

USER_CHANGES = frozenset({"user.created", "user.updated"})
SESSION_ENDS = frozenset({"session.ended", "session.removed", "session.revoked"})


def _user_changed(event: InboxEvent, _: None) -> None:
    about = _read(event)
    if about.get("banned") is True or about.get("locked") is True:
        user = block(clerk_id=about["id"])
    elif (known := lock_customer(about["id"])) is not None:
        user = known
    else:
        raise Ignored("nobody with this id has been here yet")
    refresh_profile(user_id=user.pk)


def _user_deleted(event: InboxEvent, _: None) -> None:
    block(clerk_id=_read(event)["id"], for_good=True)


def _session_ended(event: InboxEvent, _: None) -> None:
    if not revoke_session(_read(event)["id"]):
        raise Ignored("it says nothing new")


def _read(event: InboxEvent) -> Mapping[str, Any]:
    """The object of an event, whose `id` can be one of Clerk's."""
    about = (event.payload or {}).get("data")
    if not isinstance(about, dict) or not is_identifier(about.get("id")):
        raise Ignored("it names nobody")
    return about


inbox.register(
    Handler("clerk", USER_CHANGES, apply=_user_changed),
    Handler("clerk", frozenset({"user.deleted"}), apply=_user_deleted),
    Handler("clerk", SESSION_ENDS, apply=_session_ended),
)
