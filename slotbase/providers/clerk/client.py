"""Asks Clerk for the public keys with which customers' session tokens are signed."""

import json
import time
from typing import Any

import jwt
import requests
import urllib3
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings

from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import read_body, refuse_failure

CONNECT_SECONDS = READ_SECONDS = 2
TOTAL_SECONDS = 3
MAX_ANSWER_BYTES = 1024 * 1024
MIN_KEY_BITS = 2048


def fetch_signing_keys() -> dict[str, Any]:
    """Clerk's key set, reduced to the RSA keys that can sign tokens.

    Takes about three seconds at most; reading changes nothing, so asking again is safe.

    Raises:
        ProviderError: no answer, a refusal, or an answer without a usable key.
    """
    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        with _get(settings.CLERK_JWKS_URL) as response:
            refuse_failure(response, provider="clerk")
            body = read_body(
                response, provider="clerk", deadline=deadline, most=MAX_ANSWER_BYTES
            )
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _error(Outcome.NOT_EXECUTED, "no_answer") from error
    return _read_key_set(body)


def _get(url: str) -> requests.Response:
    return requests.get(
        url,
        auth=_authorise,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
        allow_redirects=False,
        stream=True,
    )


def _authorise(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Show the secret key to Clerk's API alone: the public key set needs none."""
    if (request.url or "").startswith(f"{settings.CLERK_API_URL}/v1/"):
        request.headers["Authorization"] = f"Bearer {settings.CLERK_SECRET_KEY}"
    return request


def _read_key_set(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _error(Outcome.NOT_EXECUTED, "answer_malformed") from error
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise _error(Outcome.NOT_EXECUTED, "answer_malformed")
    keys = [_public_part(entry) for entry in entries if _signs_tokens(entry)]
    if not keys:
        raise _error(Outcome.NOT_EXECUTED, "answer_without_keys")
    return {"keys": keys}


def _public_part(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("kty", "kid", "n", "e")}


def _signs_tokens(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(name), str) for name in ("kid", "n", "e"))
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", "RS256") == "RS256"
        and _is_strong_rsa(entry)
    )


def _is_strong_rsa(entry: dict[str, Any]) -> bool:
    try:
        public = jwt.PyJWK(entry, algorithm="RS256").key
    except (jwt.PyJWTError, ValueError):
        return False
    return isinstance(public, RSAPublicKey) and public.key_size >= MIN_KEY_BITS


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="clerk", code=code)
