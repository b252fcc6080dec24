"""What Celery carries for accounts."""

from typing import Any

import structlog
from celery import shared_task

from slotbase.accounts.services import profiles, signing_keys
from slotbase.providers.errors import ProviderError

log = structlog.get_logger(__name__)


@shared_task(name="accounts.refresh_signing_keys", ignore_result=True)
def refresh_signing_keys(**_: Any) -> None:
    """Keep Clerk's keys fresh, so that no request has to wait for Clerk."""
    try:
        signing_keys.refresh_signing_keys()
    except ProviderError as error:
        # The stored keys serve on, and beat sends the next attempt.
        log.warning("signing_keys_not_refreshed", error=str(error))


@shared_task(name="accounts.fetch_profiles", ignore_result=True)
def fetch_profiles(*, id: str = "", **_: Any) -> None:  # noqa: A002 - of the row
    """Ask Clerk who one customer is, or all about whom it is due."""
    profiles.fetch_profiles(**({"id": id} if id else {}))
