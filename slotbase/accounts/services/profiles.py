"""Who the customers are: Clerk is asked once for each, by a due row, in no request.

Mails need an address; whoever has one to send asks again here (`request_profile`).
What Clerk tells of a change is a hint as well: it is asked again how things are now.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from recovery import audit, retries, rowqueue
from recovery.models import AuditEntry
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import ProfileFetch, User
from slotbase.accounts.services.blocking import follow_clerk
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.providers.clerk import client
from slotbase.providers.clerk.client import Account, Profile

# Whoever has no verified address may have one later: Clerk is not asked more often.
ASK_AGAIN_AFTER = timedelta(minutes=15)
NOTHING_KNOWN = {"name": {""}, "email": {""}, "phone": {""}, "locale": {"", "en"}}
DUE_NOW: Mapping[str, Any] = {"next_run_at": Now(), "attempts": 0, "deaths": 0}
LEARNED, TYPED = "customer.profile_fetched", "user.changed"


@transaction_required
def request_profile(*, user_id: UUID) -> None:
    """Have Clerk asked who a customer is, if it was not asked lately.

    Nothing is owed to people without a Clerk id.
    """
    if not User.objects.filter(pk=user_id, clerk_id__isnull=False).exists():
        return
    new = ProfileFetch(user_id=user_id)
    ProfileFetch.objects.bulk_create([new], ignore_conflicts=True)
    fetches = ProfileFetch.objects.filter(user=user_id)
    over = fetches.filter(
        next_run_at__isnull=True, ended_at__lte=Now() - ASK_AGAIN_AFTER
    )
    over.update(**DUE_NOW)
    after_commit("accounts.fetch_profiles", id=fetches.values_list("pk").get()[0])


@transaction_required
def refresh_profile(*, user_id: UUID) -> None:
    """Have Clerk asked who a customer is now, whenever it was asked before.

    Also if it is being asked at this moment: the answer may be of a moment ago.
    """
    ProfileFetch.objects.bulk_create(
        [ProfileFetch(user_id=user_id)], ignore_conflicts=True
    )
    fetches = ProfileFetch.objects.filter(user=user_id)
    fetches.update(**DUE_NOW, lease_token=None, lease_until=None)
    after_commit("accounts.fetch_profiles", id=fetches.values_list("pk").get()[0])


def fetch_profiles(**only: Any) -> int:
    """Ask Clerk about the customers that are due; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


def _ask(fetch: ProfileFetch) -> Account | None:
    clerk_id = fetch.user.clerk_id
    return client.get_user(clerk_id) if clerk_id else None


def _learn(fetch: ProfileFetch, account: Account | None) -> Mapping[str, Any]:
    user = lock_user(fetch.user_id)
    if account is None or user.erased_at is not None:
        return {"ended_at": Now()}
    _learn_profile(user, account.profile)
    follow_clerk(user, is_blocked=account.is_banned or account.is_locked)
    if account.is_locked and not account.is_banned:
        # Clerk tells nobody when the lock ends by itself.
        again = {"next_run_at": Now() + ASK_AGAIN_AFTER, "attempts": 0}
        return {"ended_at": Now(), **again}
    return {"ended_at": Now()}


def _learn_profile(user: User, profile: Profile) -> None:
    changes = _news(user, profile)
    if not changes:
        return
    User.objects.filter(pk=user.pk).update(**changes)
    audit.record(
        actor=audit.Actor.system("profiles"),
        action=LEARNED,
        subject="user",
        ids=[user.pk],
        reason=f"learned {', '.join(sorted(changes))}",
    )


def _news(user: User, profile: Profile) -> dict[str, str]:
    """What is not known yet, or came from Clerk: what staff typed stays."""
    told = {name: new for name, new in vars(profile).items() if new}
    news = {name: new for name, new in told.items() if new != getattr(user, name)}
    ours = _learned_from_clerk(user) if news else set()
    return {
        name: new
        for name, new in news.items()
        if name in ours or getattr(user, name) in NOTHING_KNOWN[name]
    }


def _learned_from_clerk(user: User) -> set[str]:
    """The columns of which the history says that Clerk was the last to fill them."""
    told = AuditEntry.objects.filter(
        subject_type="user", subject_id=str(user.pk), action__in=[LEARNED, TYPED]
    )
    learned: set[str] = set()
    for action, reason in told.order_by("id").values_list("action", "reason"):
        names = set(re.findall(r"\w+", reason))
        learned = learned | names if action == LEARNED else learned - names
    return learned


def _fail(
    fetch: ProfileFetch,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    if not is_over:
        return {}
    title = "Clerk could not be asked who a customer is"
    whose = fetch.user_id
    rowqueue.open_dead_letter(QUEUE, fetch, failure, title=title, customer_id=whose)
    return {"ended_at": Now()}


QUEUE = rowqueue.RowQueue(
    name="profiles",
    model=ProfileFetch,
    call=_ask,
    record=_learn,
    fail=_fail,
    retry_seconds=lambda _: settings.PROFILE_RETRY_SECONDS,
    provider="clerk",
)
retries.register(ProfileFetch.subject(), retries.of_rows(ProfileFetch))
