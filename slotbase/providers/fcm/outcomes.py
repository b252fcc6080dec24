"""What FCM's errors mean: a device that is gone, a message with a bug, or our keys."""

from collections.abc import Iterable
from typing import Any

import requests
from firebase_admin.exceptions import FirebaseError

from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.http import read_seconds, was_not_reached

UNREGISTERED, SENDER_ID_MISMATCH = "UNREGISTERED", "SENDER_ID_MISMATCH"
#: FCM calls both INVALID_ARGUMENT: the token is none, or the message is wrong.
INVALID_TOKEN, INVALID_ARGUMENT = "INVALID_TOKEN", "INVALID_ARGUMENT"
#: With these no message will ever reach the device under its token.
TOKEN_IS_DEAD = frozenset({UNREGISTERED, SENDER_ID_MISMATCH, INVALID_TOKEN})
#: Our access token was not taken: another one may be.
UNAUTHENTICATED = "UNAUTHENTICATED"
#: Apple or a web push service does not take the key that Firebase has of us: FCM works,
#: and so do the devices of others.
THIRD_PARTY_AUTH_ERROR = "THIRD_PARTY_AUTH_ERROR"
# Whatever the status that comes with them.
_BY_CODE = {
    **dict.fromkeys([*TOKEN_IS_DEAD, INVALID_ARGUMENT], Outcome.REFUSED),
    THIRD_PARTY_AUTH_ERROR: Outcome.NOT_EXECUTED,
}
_TOKEN_FIELDS = frozenset({"message.token", "message.fid"})


def classify(error: FirebaseError) -> ProviderError:
    """By status and details of the answer: the SDK's classes say less."""
    response = error.http_response
    if response is None:
        cause = error.cause
        if isinstance(cause, requests.RequestException) and was_not_reached(cause):
            return _error(Outcome.NOT_EXECUTED, "not_reached")
        return _error(Outcome.UNKNOWN, "no_answer")
    said = _read_error(response)
    codes, fields = _codes_in(said), _fields_in(said)
    status = response.status_code
    code = _code_of(status, codes, fields, name=said.get("status"))
    return ProviderError(
        _outcome_of(status, code, is_googles=bool(said)),
        provider="fcm",
        code=code,
        http_status=status,
        retry_after=read_seconds(response.headers.get("Retry-After", "")),
    )


def _outcome_of(status: int, code: str, *, is_googles: bool) -> Outcome:
    if known := _BY_CODE.get(code):
        return known
    # 404 without a device that is gone: the project or FCM_API_URL is wrong.
    if status in {401, 403, 404, 405}:
        return Outcome.CONFIGURATION
    # FCM says itself that it did not send; a proxy before it may not know.
    if status == 429 or (status >= 500 and is_googles):
        return Outcome.NOT_EXECUTED
    if 400 <= status < 500 and status != 408:
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def _code_of(status: int, codes: list[str], fields: list[str], *, name: Any) -> str:
    for code in codes:
        if code in TOKEN_IS_DEAD:
            return code
    if status == 400:
        return INVALID_TOKEN if _is_of_the_token(fields) else INVALID_ARGUMENT
    return next(iter(codes), name if isinstance(name, str) else f"http_{status}")


def _is_of_the_token(fields: list[str]) -> bool:
    """If the answer names it. Without, FCM says the same of a message with a bug."""
    return bool(fields) and set(fields) <= _TOKEN_FIELDS


def _read_error(response: requests.Response) -> dict[str, Any]:
    """The `error` of a Google answer; empty if it is none."""
    try:
        error = response.json()["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _codes_in(said: dict[str, Any]) -> list[str]:
    """FCM's own codes."""
    found = [
        detail.get("errorCode")
        for detail in _details_in(said)
        if str(detail.get("@type")).endswith("fcm.v1.FcmError")
    ]
    return [code for code in found if isinstance(code, str)]


def _fields_in(said: dict[str, Any]) -> list[str]:
    """The fields that are wrong, as far as they are named."""
    return [
        str(violation.get("field"))
        for detail in _details_in(said)
        for violation in _objects(detail.get("fieldViolations"))
    ]


def _details_in(said: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return _objects(said.get("details"))


def _objects(values: Any) -> Iterable[dict[str, Any]]:
    listed = values if isinstance(values, list) else []
    return [each for each in listed if isinstance(each, dict)]


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="fcm", code=code)
