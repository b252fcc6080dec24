"""Sends mails through Resend."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests
import resend
import urllib3
from django.conf import settings
from resend.exceptions import ResendError

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import BREAKER_OPEN, Outcome, ProviderError
from slotbase.providers.http import read_body, read_seconds, request

CONNECT_SECONDS, TOTAL_SECONDS = 3, 10
# requests takes it; its types do not say so.
TIMEOUT: Any = urllib3.Timeout(connect=CONNECT_SECONDS, total=TOTAL_SECONDS)
MAX_ANSWER_BYTES = 64 * 1024
IN_FLIGHT_SECONDS = 5  # our own first call may take twice as long
# The SDK's name for all that went wrong before an answer was there.
_NO_ANSWER = "HttpClientError"

DAILY_QUOTA, MONTHLY_QUOTA = "daily_quota_exceeded", "monthly_quota_exceeded"
QUOTAS = frozenset({DAILY_QUOTA, MONTHLY_QUOTA})
RATE_LIMIT = "rate_limit_exceeded"
IN_FLIGHT = "concurrent_idempotent_requests"

breaker = Breaker("resend")


def send_email(  # noqa: PLR0913 - these make a mail
    *,
    sender: str,
    to: str | Sequence[str],
    subject: str,
    html: str,
    text: str,
    idempotency_key: str,
    headers: Mapping[str, str] | None = None,
    attachments: Sequence[Mapping[str, str]] = (),
    tags: Mapping[str, str] | None = None,
) -> str:
    """Send a mail and return its id at Resend. Takes about ten seconds at most.

    The same mail with the same key is not sent again for 24 hours: Resend answers with
    the same id. After an UNKNOWN outcome that is the way to find out. Webhooks about
    the mail bring its `tags`.

    Raises:
        ProviderError: it was not sent, or nobody knows; or the breaker is open.
    """
    mail: dict[str, Any] = {
        "from": sender,
        "to": [to] if isinstance(to, str) else [*to],
        "subject": subject,
        "html": html,
        "text": text,
    }
    if headers:
        mail["headers"] = {**headers}
    if attachments:
        mail["attachments"] = [{**each} for each in attachments]
    if tags:
        mail["tags"] = [{"name": name, "value": tags[name]} for name in sorted(tags)]
    require_ready()
    with breaker:
        return _send(mail, idempotency_key)


def require_ready() -> None:
    """Return if Resend can be called now, for whoever has work to do before the call.

    Raises:
        ProviderError: the breaker is open, or there is no key or no sender.
    """
    if not (settings.RESEND_API_KEY and settings.EMAIL_FROM):
        raise _error(Outcome.CONFIGURATION, "not_configured")
    if breaker.state == "open":
        raise _error(Outcome.NOT_EXECUTED, BREAKER_OPEN)


def _send(mail: dict[str, Any], key: str) -> str:
    # The SDK has no client objects: its settings are those of the module.
    resend.api_key, resend.api_url = settings.RESEND_API_KEY, settings.RESEND_API_URL
    resend.default_http_client = _http
    options: Any = {"idempotency_key": key}
    wanted: Any = mail
    try:
        answer: Any = resend.Emails.send(wanted, options)
    except ResendError as error:
        # Without the error, whose text may quote the mail.
        raise _classify(error) from None
    except Exception:  # noqa: BLE001 - whatever broke in the SDK, it may have been sent
        raise _error(Outcome.UNKNOWN, "sdk_error") from None
    id_ = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(id_, str) or not id_:
        raise _error(Outcome.UNKNOWN, "answer_malformed")
    return id_


class _NotReached(Exception):
    """No connection was made, so nothing was sent."""


class _Http(resend.HTTPClient):
    """The SDK's way to the network: our time-outs, no redirects, short answers.

    Its own waits for each read anew, so that a slow drip would never end.
    """

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        json: Any = None,
        files: Any = None,  # noqa: ARG002 - the SDK's signature
        data: Any = None,  # noqa: ARG002 - the SDK's signature
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Body, status and headers of the answer.

        Raises:
            _NotReached, ProviderError, requests.RequestException: there is none.
        """
        deadline = time.monotonic() + TOTAL_SECONDS
        try:
            with request(
                method,
                url,
                headers=dict(headers),
                json=json,
                timeout=TIMEOUT,
                stream=True,
            ) as response:
                body = read_body(
                    response,
                    provider="resend",
                    deadline=deadline,
                    most=MAX_ANSWER_BYTES,
                )
        except requests.RequestException as error:
            raise _NotReached if _was_not_reached(error) else error from None
        return body, response.status_code, response.headers


_http = _Http()


def _was_not_reached(error: requests.RequestException) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    # A refused connection and a name that is not found are kinds of it.
    return isinstance(reason, urllib3.exceptions.ConnectTimeoutError)


def _classify(error: ResendError) -> ProviderError:
    """By status and name: the SDK's classes say less, and not always the same."""
    status, name = int(error.code), error.error_type
    if name == _NO_ANSWER:
        if isinstance(error.__context__, _NotReached):
            return _error(Outcome.NOT_EXECUTED, "not_reached")
        return _error(Outcome.UNKNOWN, "no_answer")
    headers = {key.lower(): value for key, value in error.headers.items()}
    wait = read_seconds(headers.get("retry-after", ""))
    outcome = _outcome_of(status, name)
    if status == 409 and outcome == Outcome.UNKNOWN:
        wait = wait or IN_FLIGHT_SECONDS
    return ProviderError(
        outcome,
        provider="resend",
        code=name,
        http_status=status,
        retry_after=wait,
    )


def _outcome_of(status: int, name: str) -> Outcome:
    if status == 409:
        is_other = name == "invalid_idempotent_request"
        return Outcome.REFUSED if is_other else Outcome.UNKNOWN
    if status == 429:
        return Outcome.NOT_EXECUTED
    # 404 and 405 mean that RESEND_API_URL is wrong: there are no such mails.
    if status in {401, 403, 404, 405}:
        return Outcome.CONFIGURATION
    if 400 <= status < 500 and status != 408:
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="resend", code=code)
