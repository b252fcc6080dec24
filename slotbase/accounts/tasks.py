"""What Celery carries for accounts."""

from typing import Any

import structlog
from celery import shared_task
from django.conf import settings

from slotbase.accounts.services import (
    erasing,
    guesses,
    profiles,
    revocations,
    signing_keys,
)
from slotbase.providers.errors import ProviderError

log = structlog.get_logger(__name__)


@shared_task(name="accounts.refresh_signing_keys", ignore_result=True)
def refresh_signing_keys(**_: Any) -> None:
    """Keep Clerk's keys fresh, so that no request has to wait for Clerk."""
    if not settings.CLERK_JWKS_URL:
        return
    try:
        signing_keys.refresh_signing_keys()
    except ProviderError as error:
        # The stored keys serve on, and beat sends the next attempt.
        log.warning("signing_keys_not_refreshed", error=str(error))


@shared_task(name="accounts.fetch_profiles", ignore_result=True)
def fetch_profiles(*, id: str = "", **_: Any) -> None:  # noqa: A002 - of the row
    """Ask Clerk who one customer is, or all about whom it is due."""
    profiles.fetch_profiles(**({"id": id} if id else {}))


@shared_task(name="accounts.forget_guesses", ignore_result=True)
def forget_guesses(**_: Any) -> None:
    """Forget who guessed wrong yesterday."""
    limit = settings.SWEEP_BATCH_SIZE
    while guesses.forget_old_guesses(limit=limit) == limit:
        pass


@shared_task(name="accounts.erase_people", ignore_result=True)
def erase_people(*, id: str = "", **_: Any) -> None:  # noqa: A002 - of the row
    """Erase one person, or all who are to be erased."""
    erasing.erase_people(**({"id": id} if id else {}))


@shared_task(name="accounts.forget_revoked_sessions", ignore_result=True)
def forget_revoked_sessions(**_: Any) -> None:
    """Forget ended sessions that no token can be of any more."""
    revocations.forget_revoked_sessions(limit=settings.SWEEP_BATCH_SIZE)
