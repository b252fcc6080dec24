"""The SDK's way to the network: no retries, our time-outs, and no endless answers.

The SDK would send a message again by itself after a time-out or a 503, and sleep for as
long as FCM says, in the middle of a task.
"""

import io
import json
import os
import threading
import time
from typing import Any

import firebase_admin
import requests
import urllib3
from django.conf import settings
from firebase_admin import credentials, messaging
from google.auth import exceptions as auth_exceptions
from google.auth.transport.requests import Request
from requests.adapters import HTTPAdapter

from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import DirectSession, confine, read_body

CONNECT_SECONDS, TOTAL_SECONDS = 3, 10
# requests takes it; its types do not say so.
TIMEOUT: Any = urllib3.Timeout(connect=CONNECT_SECONDS, total=TOTAL_SECONDS)
MAX_ANSWER_BYTES = 64 * 1024
# Of Google's sign-in: these pass by themselves.
_BUSY = frozenset({408, 429, *range(500, 600)})

_lock = threading.Lock()
_kept: dict[tuple[Any, ...], "Line"] = {}


class Line:
    """A line to FCM with one service account; a child of a fork makes its own."""

    def __init__(self, account: dict[str, Any]) -> None:
        """Connects to nobody yet.

        Raises:
            ValueError: that is no service account.
        """
        certificate = credentials.Certificate(account)
        app = firebase_admin.App(
            "slotbase", certificate, {"projectId": account.get("project_id")}
        )
        # The SDK has no option for the address, and none against its retries.
        service = messaging._MessagingService(app)  # noqa: SLF001 - see above
        base = settings.FCM_API_URL.rstrip("/")
        project = app.project_id
        service._fcm_url = f"{base}/v1/projects/{project}/messages:send"  # noqa: SLF001
        session = service._client.session  # noqa: SLF001 - see above
        confine(session)
        # A 401 is told to us at once, not after three more attempts.
        session._max_refresh_attempts = 0  # noqa: SLF001 - its own option, out of reach
        mount(session, "https://fcm.googleapis.com", "https://", "http://")
        self.service: Any = service
        self._credential: Any = certificate.get_credential()
        self._sign_in = _SignIn(mount(DirectSession(), "https://", "http://"))

    def authorize(self) -> None:
        """See to an access token that is valid; most often there is one.

        Raises:
            ProviderError: Google gives none.
        """
        with _lock:
            if not self._credential.valid:
                self._fetch_access_token()

    def _fetch_access_token(self) -> None:
        try:
            self._credential.refresh(self._sign_in)
        except ProviderError:
            raise
        except auth_exceptions.TransportError:
            raise _error(Outcome.NOT_EXECUTED, "auth_not_reached") from None
        except auth_exceptions.RefreshError:
            raise _error(Outcome.CONFIGURATION, "auth_refused") from None
        except Exception:  # noqa: BLE001 - nothing was sent yet, whatever it is
            raise _error(Outcome.NOT_EXECUTED, "auth_malformed") from None


class _SignIn(Request):
    """Google's sign-in, without the waits and attempts of its client."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        response: Any = super().__call__(*args, **options)  # type: ignore[no-untyped-call]
        if response.status in _BUSY:
            raise _error(Outcome.NOT_EXECUTED, "auth_unavailable")
        return response


class _Adapter(HTTPAdapter):
    """One attempt, and an answer that is read in time or not at all."""

    def send(
        self, request: requests.PreparedRequest, *_: Any, **options: Any
    ) -> requests.Response:
        """The answer, read to its end.

        Raises:
            ProviderError: it is a redirect, too slow or too large.
            requests.RequestException: there is none.
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        ours = {"stream": True, "timeout": TIMEOUT}
        response = super().send(request, **{**options, **ours})
        try:
            if response.is_redirect:
                raise _error(Outcome.CONFIGURATION, "redirected")
            response.raw = io.BytesIO(_read(response, deadline))
        except BaseException:
            response.close()
            raise
        return response


def _read(response: requests.Response, deadline: float) -> bytes:
    try:
        return read_body(
            response, provider="fcm", deadline=deadline, most=MAX_ANSWER_BYTES
        )
    except (ProviderError, urllib3.exceptions.HTTPError, OSError):
        # The message was there before its answer.
        raise _error(Outcome.UNKNOWN, "no_answer") from None


def mount(session: requests.Session, *prefixes: str) -> requests.Session:
    """Let a session go our way to all that begins so."""
    for prefix in prefixes:
        session.mount(prefix, _Adapter())
    return session


def line() -> Line:
    """The line to FCM of this process, for the settings as they are.

    Raises:
        ProviderError: FCM_CREDENTIALS are missing or not those of a service account.
    """
    if not settings.FCM_CREDENTIALS:
        raise _error(Outcome.CONFIGURATION, "not_configured")
    key = (os.getpid(), settings.FCM_CREDENTIALS, settings.FCM_API_URL)
    with _lock:
        if key not in _kept:
            _kept.clear()
            _kept[key] = _open_line()
        return _kept[key]


def _open_line() -> Line:
    try:
        return Line(json.loads(settings.FCM_CREDENTIALS))
    except (ValueError, TypeError, AttributeError):
        # Without the error, which may quote the key.
        raise _error(Outcome.CONFIGURATION, "bad_credentials") from None


def hang_up() -> None:
    """The next call begins anew, with an access token of its own."""
    with _lock:
        _kept.clear()


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="fcm", code=code)
