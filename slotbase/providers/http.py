"""What our own HTTP clients share: what an answer means, and a body read in time."""

import time

import requests

from slotbase.providers.errors import Outcome, ProviderError


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
