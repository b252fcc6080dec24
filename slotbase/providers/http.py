"""What all HTTP clients share: how they are made, and a body read in time.

Sessions are made here alone. They follow no redirect and take nothing from the
environment but where certificates are, so that whom they call stands in the settings.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import requests
import urllib3
from django.conf import settings

from slotbase.providers.errors import Outcome, ProviderError

MAX_ANSWER_BYTES = 16 * 1024
_BAD_ADDRESS = (
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)
_thread = threading.local()


class DirectSession(requests.Session):
    """A session that goes where it is sent, and nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        confine(self)

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        """Whose certificates are believed is said by the environment, as anywhere."""
        merged = super().merge_environment_settings(*args, **kwargs)
        merged["verify"] = _authorities()
        return merged


def confine(session: requests.Session) -> None:
    """Do the same to a session that an SDK has made."""
    # No proxy, no password of ~/.netrc.
    session.trust_env = False
    proxy = settings.PROVIDER_PROXY_URL
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    session.verify = _authorities()
    # Whatever a caller forgets: there is nothing to be followed.
    session.get_redirect_target = _nowhere  # type: ignore[method-assign, assignment]


def _nowhere(_: requests.Response) -> str | None:
    return None


def _authorities() -> str | bool:
    return os.environ.get("REQUESTS_CA_BUNDLE") or True


def request(method: str, url: str, **options: Any) -> requests.Response:
    """One request, on a connection of its own; the answer is no redirect's target."""
    with DirectSession() as session:
        return session.request(method, url, allow_redirects=False, **options)


def post_json(  # noqa: PLR0913 - these make a call
    url: str,
    body: Mapping[str, Any],
    *,
    provider: str,
    idempotency_key: str,
    connect_seconds: float,
    total_seconds: float,
    refuse: Callable[[requests.Response], None],
) -> None:
    """Post JSON to whoever knows it again by its key, and read nothing of the answer.

    `refuse` raises where the answer is no success, as `refuse_failure` does.

    Raises:
        ProviderError: no answer, or a refusal.
    """
    # requests takes it; its types do not say so.
    timeout: Any = urllib3.Timeout(connect=connect_seconds, total=total_seconds)
    deadline = time.monotonic() + total_seconds
    try:
        with _session().post(
            url,
            json=body,
            headers={"Idempotency-Key": idempotency_key},
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            refuse(response)
            # Only a connection that was read to the end is used again. What the answer
            # says does not matter.
            with suppress(ProviderError, urllib3.exceptions.HTTPError):
                read_body(
                    response,
                    provider=provider,
                    deadline=deadline,
                    most=MAX_ANSWER_BYTES,
                )
    except requests.RequestException as error:
        # Without the error, which holds the address and so perhaps a key.
        raise classify(error, provider) from None


def _session() -> requests.Session:
    """One a thread, to keep its connection; a child of a fork makes its own."""
    if getattr(_thread, "process", None) != os.getpid():
        _thread.process, _thread.session = os.getpid(), DirectSession()
    session: requests.Session = _thread.session
    return session


def classify(error: requests.RequestException, provider: str) -> ProviderError:
    """What it means that there is no answer; nothing of the error is quoted."""
    if isinstance(error, _BAD_ADDRESS):
        outcome, code = Outcome.CONFIGURATION, "bad_address"
    elif was_not_reached(error):
        outcome, code = Outcome.NOT_EXECUTED, "not_reached"
    else:
        outcome, code = Outcome.UNKNOWN, "no_answer"
    return ProviderError(outcome, provider=provider, code=code)


def was_not_reached(error: requests.RequestException) -> bool:
    """Whether no connection was made, so that nothing was sent."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    # A refused connection and a name that is not found are kinds of it.
    return isinstance(reason, urllib3.exceptions.ConnectTimeoutError)


def refuse_failure(response: requests.Response, *, provider: str) -> None:
    """Return if the answer is a 2xx.

    Raises:
        ProviderError: it is another one; redirects are refusals.
    """
    status = response.status_code
    if 200 <= status < 300:
        return
    if status in {401, 403}:
        outcome = Outcome.CONFIGURATION
    elif status == 429 or status >= 500:
        outcome = Outcome.NOT_EXECUTED
    else:
        outcome = Outcome.REFUSED
    raise ProviderError(
        outcome,
        provider=provider,
        code="http_error",
        http_status=status,
        retry_after=read_seconds(response.headers.get("Retry-After", "")),
    )


def read_seconds(header: str) -> int | None:
    """The seconds of a Retry-After header; None if it is something else."""
    return int(header) if header.isdecimal() and len(header) < 6 else None


def read_body(
    response: requests.Response, *, provider: str, deadline: float, most: int
) -> bytes:
    """The body: a slow drip ends at the deadline, a flood after `most` bytes.

    The deadline is one of `time.monotonic()`; the response must be a streamed one.

    Raises:
        ProviderError: it comes too slowly, or is too large.
        requests.RequestException, urllib3.exceptions.HTTPError: it breaks off.
    """
    body = b""
    # requests would wait for full chunks, each byte renewing its time-out.
    while chunk := response.raw.read1(65536, decode_content=True):
        body += chunk
        if len(body) > most:
            raise ProviderError(
                Outcome.REFUSED, provider=provider, code="answer_too_large"
            )
        if time.monotonic() > deadline:
            raise ProviderError(
                Outcome.NOT_EXECUTED, provider=provider, code="answer_too_slow"
            )
    return body
