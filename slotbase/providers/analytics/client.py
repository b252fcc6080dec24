"""Posts what happened to ANALYTICS_URL."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.conf import settings

from slotbase.providers.breaker import Breaker
from slotbase.providers.http import post_json, refuse_failure

CONNECT_SECONDS, TOTAL_SECONDS = 1, 2

breaker = Breaker("analytics")


def post_event(event: Mapping[str, Any]) -> None:
    """Post an event: `id`, `type`, `subject_type`, `subject_id`, `at` and `data`.

    Takes about two seconds at most. The receiver knows an event by its id, so sending
    it again is safe whatever came out of it.

    Raises:
        ProviderError: no answer, or a refusal; or the breaker is open.
    """
    with breaker:
        post_json(
            settings.ANALYTICS_URL,
            event,
            provider="analytics",
            idempotency_key=event["id"],
            connect_seconds=CONNECT_SECONDS,
            total_seconds=TOTAL_SECONDS,
            refuse=partial(refuse_failure, provider="analytics"),
        )
