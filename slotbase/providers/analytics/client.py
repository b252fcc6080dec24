"""Posts what happened to ANALYTICS_URL."""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import requests
import urllib3
from django.conf import settings

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import read_body, refuse_failure

TOTAL_SECONDS = 2
# requests takes it; its types do not say so.
TIMEOUT: Any = urllib3.Timeout(connect=1, total=TOTAL_SECONDS)
MAX_ANSWER_BYTES = 16 * 1024
_BAD_ADDRESS = (
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)

breaker = Breaker("analytics")
_thread = threading.local()


def post_event(event: Mapping[str, Any]) -> None:
    """Post an event: `id`, `type`, `subject_type`, `subject_id`, `at` and `data`.

    Takes about two seconds at most. The receiver knows an event by its id, so sending
    it again is safe whatever came out of it.

    Raises:
        ProviderError: no answer, or a refusal; or the breaker is open.
    """
    with breaker:
        try:
            _post(event)
        except requests.RequestException as error:
            # Without the error, which holds the address and so perhaps a key.
            raise _classify(error) from None


def _post(event: Mapping[str, Any]) -> None:
    deadline = time.monotonic() + TOTAL_SECONDS
    with _session().post(
        settings.ANALYTICS_URL,
        json=event,
        headers={"Idempotency-Key": event["id"]},
        timeout=TIMEOUT,
        allow_redirects=False,
        stream=True,
    ) as response:
        refuse_failure(response, provider="analytics")
        # Only a connection that was read to the end is used again. What the answer
        # says does not matter.
        with suppress(ProviderError, urllib3.exceptions.HTTPError):
            read_body(
                response,
                provider="analytics",
                deadline=deadline,
                most=MAX_ANSWER_BYTES,
            )


def _session() -> requests.Session:
    """One a thread, to keep its connection; a child of a fork makes its own."""
    if getattr(_thread, "process", None) != os.getpid():
        _thread.process, _thread.session = os.getpid(), requests.Session()
    session: requests.Session = _thread.session
    return session


def _classify(error: requests.RequestException) -> ProviderError:
    if isinstance(error, _BAD_ADDRESS):
        return _error(Outcome.CONFIGURATION, "bad_address")
    reason = getattr(error.args[0], "reason", None) if error.args else None
    # A refused connection and a name that is not found are kinds of it.
    if isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
        return _error(Outcome.NOT_EXECUTED, "not_reached")
    return _error(Outcome.UNKNOWN, "no_answer")


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="analytics", code=code)
