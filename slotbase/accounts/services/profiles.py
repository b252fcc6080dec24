"""Who the customers are: Clerk is asked once for each, by a due row, in no request.

Mails need an address; whoever has one to send asks again here (`request_profile`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from recovery import audit, retries, rowqueue
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import ProfileFetch, User
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.providers.clerk import client
from slotbase.providers.clerk.client import Profile

# Whoever has no verified address may have one later: Clerk is not asked more often.
ASK_AGAIN_AFTER = timedelta(minutes=15)
DEFAULT_LOCALE = "en"


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
    over.update(next_run_at=Now(), attempts=0, deaths=0)
    after_commit("accounts.fetch_profiles", id=fetches.values_list("pk").get()[0])


def fetch_profiles(**only: Any) -> int:
    """Ask Clerk about the customers that are due; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


def _ask(fetch: ProfileFetch) -> Profile | None:
    clerk_id = fetch.user.clerk_id
    return client.get_user(clerk_id) if clerk_id else None


def _learn(fetch: ProfileFetch, profile: Profile | None) -> Mapping[str, Any]:
    changes = _news(lock_user(fetch.user_id), profile) if profile else {}
    if changes:
        User.objects.filter(pk=fetch.user_id).update(**changes)
        audit.record(
            actor=audit.Actor.system("profiles"),
            action="customer.profile_fetched",
            subject="user",
            ids=[fetch.user_id],
            reason=f"learned {', '.join(sorted(changes))}",
        )
    return {"ended_at": Now()}


def _news(user: User, profile: Profile) -> dict[str, str]:
    """What is not known yet: what staff typed stays."""
    known = {name: getattr(user, name) for name in vars(profile)}
    if known["locale"] == DEFAULT_LOCALE:
        known["locale"] = ""
    return {name: new for name, new in vars(profile).items() if new and not known[name]}


def _fail(
    fetch: ProfileFetch,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    if not is_over:
        return {}
    title = "Clerk could not be asked who a customer is"
    rowqueue.open_dead_letter(QUEUE, fetch, failure, title=title)
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
