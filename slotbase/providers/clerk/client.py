"""Asks Clerk for the public keys that sign session tokens, and for who somebody is."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jwt
import requests
import urllib3
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from slotbase.lib.card_numbers import mask_card_numbers
from slotbase.lib.letters import can_be_shown
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import read_body, refuse_failure, request
from slotbase.providers.reports import reported

CONNECT_SECONDS = READ_SECONDS = 2
TOTAL_SECONDS = 3
MAX_ANSWER_BYTES = 1024 * 1024
KEY_BITS = range(2048, 8192 + 1)
# What is stored must fit PostgreSQL, which takes no NUL and no half of a character.
KEY_TEXTS = {
    "kid": re.compile(r"[!-~]{1,128}"),
    "n": re.compile(r"[\w-]{1,1400}={0,2}", re.ASCII),
    "e": re.compile(r"[\w-]{1,8}={0,2}", re.ASCII),
}
LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,4})?")

breaker = Breaker("clerk")


@dataclass(frozen=True)
class Profile:
    """Who somebody is; texts are empty where Clerk has nothing that can be used."""

    name: str
    email: str
    phone: str
    locale: str


@dataclass(frozen=True)
class Account:
    """A user of Clerk; being locked ends by itself, being banned does not."""

    profile: Profile
    is_banned: bool = False
    is_locked: bool = False


def fetch_signing_keys() -> dict[str, Any]:
    """Clerk's key set, reduced to the RSA keys that can sign tokens.

    Takes about three seconds at most; reading changes nothing, so asking again is safe.

    Raises:
        ProviderError: no answer, a refusal, or an answer without a usable key.
    """
    with reported("clerk"):
        return _read_key_set(_fetch(settings.CLERK_JWKS_URL))


def get_user(clerk_id: str) -> Account | None:
    """Who this is: name, primary address and number if verified; None: nobody there.

    Takes about three seconds at most; reading changes nothing, so asking again is safe.

    Raises:
        ProviderError: no answer, or a refusal; or the breaker is open.
    """
    address = f"{settings.CLERK_API_URL}/v1/users/{quote(clerk_id, safe='')}"
    with breaker:
        return _read_user(_read_json(_fetch(address, may_be_missing=True)))


def _read_user(user: Any) -> Account | None:
    if isinstance(user, dict) and user.get("object") == "user":
        return Account(
            _read_profile(user),
            is_banned=user.get("banned") is True,
            is_locked=user.get("locked") is True,
        )
    if _says_not_found(user):
        return None
    # A 404 of somebody else: CLERK_API_URL is wrong.
    raise _error(Outcome.CONFIGURATION, "not_clerk")


def _fetch(url: str, *, may_be_missing: bool = False) -> bytes:
    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        with _get(url) as response:
            if not (may_be_missing and response.status_code == 404):
                refuse_failure(response, provider="clerk")
            return read_body(
                response, provider="clerk", deadline=deadline, most=MAX_ANSWER_BYTES
            )
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _error(Outcome.NOT_EXECUTED, "no_answer") from error


def _get(url: str) -> requests.Response:
    return request(
        "GET",
        url,
        auth=_authorise,
        timeout=(CONNECT_SECONDS, READ_SECONDS),
        stream=True,
    )


def _authorise(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Show the secret key to Clerk's API alone: the public key set needs none."""
    if (prepared.url or "").startswith(f"{settings.CLERK_API_URL}/v1/"):
        prepared.headers["Authorization"] = f"Bearer {settings.CLERK_SECRET_KEY}"
    return prepared


def _read_key_set(body: bytes) -> dict[str, Any]:
    data = _read_json(body)
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise _error(Outcome.NOT_EXECUTED, "answer_malformed")
    keys = [_public_part(entry) for entry in entries if _signs_tokens(entry)]
    if not keys:
        raise _error(Outcome.NOT_EXECUTED, "answer_without_keys")
    return {"keys": keys}


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _error(Outcome.NOT_EXECUTED, "answer_malformed") from error


def _public_part(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name) for name in ("kty", "kid", "n", "e")}


def _signs_tokens(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(_is_text(entry.get(name), form) for name, form in KEY_TEXTS.items())
        and "d" not in entry
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", "RS256") == "RS256"
        and _is_strong_rsa(entry)
    )


def _is_text(value: Any, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_strong_rsa(entry: dict[str, Any]) -> bool:
    try:
        public = jwt.PyJWK(_public_part(entry), algorithm="RS256").key
    except (jwt.PyJWTError, ValueError):
        return False
    return isinstance(public, RSAPublicKey) and public.key_size in KEY_BITS


def _says_not_found(answer: Any) -> bool:
    errors = answer.get("errors") if isinstance(answer, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return isinstance(first, dict) and first.get("code") == "resource_not_found"


def _read_profile(user: Mapping[str, Any]) -> Profile:
    parts = [_clean(user.get(name)) for name in ("first_name", "last_name")]
    locale = _clean(user.get("locale"))
    return Profile(
        name=mask_card_numbers(" ".join(filter(None, parts)))[:200],
        email=_email(_primary(user, "email_address", "email_addresses")),
        phone=_primary(user, "phone_number", "phone_numbers")[:40],
        locale=locale if LOCALE.fullmatch(locale) else "",
    )


def _primary(user: Mapping[str, Any], kind: str, all_of_them: str) -> str:
    """The primary address of a kind, if it is verified."""
    wanted, listed = user.get(f"primary_{kind}_id"), user.get(all_of_them)
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and wanted and each.get("id") == wanted:
            mark = each.get("verification")
            is_verified = isinstance(mark, dict) and mark.get("status") == "verified"
            return _clean(each.get(kind)) if is_verified else ""
    return ""


def _email(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError:
        return ""
    return text if len(text) <= 254 else ""


def _clean(value: Any) -> str:
    """Text without what cannot be shown, such as NUL, which cannot be stored."""
    text = value if isinstance(value, str) else ""
    return "".join(filter(can_be_shown, text)).strip()


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="clerk", code=code)
