"""How a wish gets to OpenAI: once, through our own door, and in time whatever happens.

The SDK is loaded with this module.
"""

from typing import Any

import httpx2
import openai
import requests
import urllib3
from django.conf import settings

from slotbase.providers import deadlines
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import classify, read_body, read_seconds

CONNECT_SECONDS, TOTAL_SECONDS = 3, 30
MAX_ANSWER_BYTES = 256 * 1024
# It is paid otherwise than by waiting.
NO_QUOTA = "insufficient_quota"
_MEANINGS = {
    401: (Outcome.CONFIGURATION, "unauthorized"),
    403: (Outcome.CONFIGURATION, "unauthorized"),
    # The model is misspelt or has ended, or OPENAI_BASE_URL is wrong.
    404: (Outcome.CONFIGURATION, "no_such_model"),
    408: (Outcome.UNKNOWN, "timeout"),
    409: (Outcome.UNKNOWN, "unavailable"),
    429: (Outcome.NOT_EXECUTED, "rate_limited"),
}


def complete(wish: dict[str, Any]) -> bytes:
    """The body of the answer to a chat completion.

    Raises:
        ProviderError: there is none, or it is no success.
    """
    try:
        with httpx2.Client(transport=_Door(), trust_env=False) as line:
            sdk = openai.OpenAI(
                api_key=settings.OPENAI_API_KEY,
                base_url=settings.OPENAI_BASE_URL,
                max_retries=0,
                http_client=line,
            )
            answer = sdk.chat.completions.with_raw_response.create(**wish)
            return answer.content
    except ProviderError:
        raise
    except openai.APIStatusError as error:
        # Without the error, whose text is the provider's.
        raise _classify(error) from None
    except Exception:  # noqa: BLE001 - whatever broke in the SDK, it may quote the notes
        raise _error(Outcome.UNKNOWN, "unavailable") from None


class _Door(httpx2.BaseTransport):
    """The SDK's way to the network: our sessions, time-outs and short answers."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Called by the SDK: send once, and read the answer.

        Raises:
            ProviderError: there is none.
        """
        try:
            status, headers, body = _exchange(request)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _no_answer(error) from None
        except ProviderError as error:
            if error.code == "answer_too_large":
                raise _error(Outcome.REFUSED, "invalid_output") from None
            raise _error(Outcome.UNKNOWN, "timeout") from None
        return httpx2.Response(status, headers=headers, content=body, request=request)


def _exchange(wanted: httpx2.Request) -> tuple[int, dict[str, str], bytes]:
    deadline = deadlines.set_deadline(TOTAL_SECONDS)
    # requests takes it; its types do not say so.
    timeout: Any = urllib3.Timeout(connect=CONNECT_SECONDS, total=TOTAL_SECONDS)
    with (
        deadlines.new_session() as session,
        session.request(
            wanted.method,
            str(wanted.url),
            headers=_headers(),
            data=wanted.read(),
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        body = read_body(
            response, provider="openai", deadline=deadline, most=MAX_ANSWER_BYTES
        )
    # The body is decoded; of the rest only this one is looked at.
    wait = response.headers.get("Retry-After")
    return response.status_code, {"Retry-After": wait} if wait else {}, body


def _headers() -> dict[str, str]:
    # The SDK's own tell of this computer.
    key = f"Bearer {settings.OPENAI_API_KEY}"
    return {"Authorization": key, "Content-Type": "application/json"}


def _no_answer(error: Exception) -> ProviderError:
    if not isinstance(error, requests.RequestException):
        # While the body was read.
        is_late = isinstance(error, urllib3.exceptions.TimeoutError)
        return _error(Outcome.UNKNOWN, "timeout" if is_late else "unavailable")
    if isinstance(error, requests.ReadTimeout):
        return _error(Outcome.UNKNOWN, "timeout")
    outcome = classify(error, "openai").outcome
    is_ours = outcome is Outcome.CONFIGURATION
    return _error(outcome, "not_configured" if is_ours else "unavailable")


def _classify(error: openai.APIStatusError) -> ProviderError:
    """By status, and one code: nothing that the provider wrote is handed on."""
    status = error.status_code
    outcome, code = _MEANINGS.get(status) or _usual_meaning(status)
    if status == 429 and NO_QUOTA in {error.code, error.type}:
        outcome, code = Outcome.CONFIGURATION, NO_QUOTA
    return ProviderError(
        outcome,
        provider="openai",
        code=code,
        http_status=status,
        retry_after=read_seconds(error.response.headers.get("Retry-After", "")),
    )


def _usual_meaning(status: int) -> tuple[Outcome, str]:
    if 400 <= status < 500:
        return Outcome.REFUSED, "rejected"
    return Outcome.UNKNOWN, "unavailable"


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="openai", code=code)
