"""Posts notices of alerts to ALERT_WEBHOOK_URL."""

from collections.abc import Mapping
from typing import Any

import requests
from django.conf import settings

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import post_json, refuse_failure

CONNECT_SECONDS, TOTAL_SECONDS = 2, 5
# The address is wrong, or what is secret in it: no notice will be taken.
WRONG_ADDRESS = {401, 403, 404, 405, 410}

breaker = Breaker("alerts")


def post_notice(notice: Mapping[str, Any]) -> None:
    """Post a notice; takes about five seconds at most.

    The receiver knows a notice by its `id`, which is also the Idempotency-Key, so
    sending it again is safe whatever came out of it.

    Raises:
        ProviderError: no answer, or a refusal; or the breaker is open.
    """
    with breaker:
        post_json(
            settings.ALERT_WEBHOOK_URL,
            notice,
            provider="alerts",
            idempotency_key=notice["id"],
            connect_seconds=CONNECT_SECONDS,
            total_seconds=TOTAL_SECONDS,
            refuse=_refuse,
        )


def _refuse(response: requests.Response) -> None:
    if response.status_code in WRONG_ADDRESS:
        raise ProviderError(
            Outcome.CONFIGURATION,
            provider="alerts",
            code="wrong_address",
            http_status=response.status_code,
        )
    refuse_failure(response, provider="alerts")
