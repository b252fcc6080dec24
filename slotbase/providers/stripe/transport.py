"""How requests get to Stripe: once, and in time whatever happens."""

import logging
import os
import threading
from collections.abc import Mapping
from enum import Enum
from typing import Any

import requests
import stripe
import urllib3
from django.conf import settings

from slotbase.providers import deadlines
from slotbase.providers.http import read_body

MAX_ANSWER_BYTES = 1024 * 1024
# Nothing about this computer or earlier calls is sent, nothing of Stripe's is logged.
stripe.enable_telemetry = False
logging.getLogger("stripe").setLevel(logging.WARNING)

_thread = threading.local()


class Patience(Enum):
    """How long a call may take in all; the value is the name of the setting."""

    REQUEST = "PROVIDER_TIMEOUT_SECONDS"
    """A customer waits, and so does a thread of the web process."""

    WORKER = "PROVIDER_WORKER_TIMEOUT_SECONDS"
    """Nobody waits."""

    @property
    def total_seconds(self) -> float:
        """Until the last byte of the answer."""
        seconds: float = getattr(settings, self.value)
        return seconds


class Exchange(stripe.HTTPClient):
    """The HTTP client of one call of the SDK; it remembers what was answered.

    `status` stays None, and `headers` empty, unless the whole answer came.
    """

    name = "slotbase"

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self._seconds = patience.total_seconds

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_: Any,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Called by the SDK: send once, and read the answer.

        Raises:
            ProviderError: the answer is too large or too slow.
            requests.RequestException, urllib3.exceptions.HTTPError: there is none.
        """
        deadline = deadlines.set_deadline(self._seconds)
        with _session().request(
            method,
            url,
            headers=headers,
            data=post_data,
            timeout=_timeout(self._seconds),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = read_body(
                response, provider="stripe", deadline=deadline, most=MAX_ANSWER_BYTES
            )
        self.status, self.headers = response.status_code, response.headers
        # The SDK stumbles over bytes that are no UTF-8 before it looks at the status.
        return body.decode(errors="replace"), self.status, self.headers


def _timeout(seconds: float) -> Any:
    # requests takes it; its types do not say so.
    return urllib3.Timeout(connect=settings.PROVIDER_CONNECT_SECONDS, total=seconds)


def _session() -> requests.Session:
    """One a thread, to keep its connection; a child of a fork makes its own."""
    if getattr(_thread, "process", None) != os.getpid():
        _thread.process, _thread.session = os.getpid(), deadlines.new_session()
    session: requests.Session = _thread.session
    return session
