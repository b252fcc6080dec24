"""What a call that did not succeed means: Stripe's answers, and the lack of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import stripe
import urllib3

from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe.transport import Exchange

UNREADABLE = "unreadable_answer"
KEY_IN_USE = "idempotency_key_in_use"
KEY_IN_USE_SECONDS = 5
_BAD_ADDRESS = (
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)


class Unreadable(Exception):
    """An answer that is not what Stripe would say."""


@dataclass(frozen=True)
class _Failure:
    """What became of a call: the status and headers of its answer, if one came."""

    status: int | None
    headers: Mapping[str, str]
    is_write: bool

    def means(self, outcome: Outcome, code: str, **more: Any) -> ProviderError:
        details = {"retry_after": _retry_after(self.headers), **more}
        return ProviderError(
            outcome, provider="stripe", code=code, http_status=self.status, **details
        )

    def leaves_in_doubt(self, code: str, **more: Any) -> ProviderError:
        """Reading changes nothing, so only a write may have been executed."""
        outcome = Outcome.UNKNOWN if self.is_write else Outcome.NOT_EXECUTED
        return self.means(outcome, code, **more)


def outcome_of(
    error: Exception, exchange: Exchange, *, is_write: bool
) -> ProviderError:
    """The error to raise for what went wrong during a call; nothing of it is quoted."""
    failure = _Failure(exchange.status, exchange.headers, is_write)
    if exchange.status is not None:
        return _answered(failure, exchange.status, _error_object(error))
    if isinstance(error, ProviderError):
        return failure.leaves_in_doubt(error.code)
    if isinstance(error, _BAD_ADDRESS):
        return failure.means(Outcome.CONFIGURATION, "bad_address")
    if _was_never_connected(error):
        return failure.means(Outcome.NOT_EXECUTED, "not_reached")
    return failure.leaves_in_doubt("no_answer")


def not_configured() -> ProviderError:
    """There is no secret key that could be sent."""
    return ProviderError(Outcome.CONFIGURATION, provider="stripe", code="no_secret_key")


def _answered(failure: _Failure, status: int, told: Mapping[str, Any]) -> ProviderError:
    """Stripe said no, or something between us did: only Stripe refuses for good."""
    if status in {401, 403}:
        return failure.means(Outcome.CONFIGURATION, _code(told, "not_authorised"))
    if status == 429 or told.get("code") == "rate_limit":
        return failure.means(Outcome.NOT_EXECUTED, _code(told, "rate_limit"))
    if told.get("code") == KEY_IN_USE:
        # The first call with this key is still on its way, and may succeed.
        return failure.leaves_in_doubt(KEY_IN_USE, retry_after=KEY_IN_USE_SECONDS)
    if status in {400, 402, 404} and told:
        return failure.means(Outcome.REFUSED, _refusal(status, told))
    default = UNREADABLE if status < 300 else "http_error"
    return failure.leaves_in_doubt(_code(told, default))


def _refusal(status: int, told: Mapping[str, Any]) -> str:
    if told.get("type") == "idempotency_error":
        return "idempotency_key_reused"
    if status == 402:
        # Why the bank did not like the card is nobody's business.
        return "card_declined"
    return _code(told, "invalid_request")


def _error_object(error: Exception) -> Mapping[str, Any]:
    # Not error.code, which the SDK sets for some classes of errors only.
    body = error.json_body if isinstance(error, stripe.StripeError) else None
    told = body.get("error") if isinstance(body, dict) else None
    return told if isinstance(told, dict) else {}


def _code(told: Mapping[str, Any], default: str) -> str:
    code = told.get("code")
    return code if isinstance(code, str) and code else default


def _was_never_connected(error: Exception) -> bool:
    """A refused connection or a name that is not found: nothing can have been sent."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectionError) and isinstance(
        reason, urllib3.exceptions.ConnectTimeoutError
    )


def _retry_after(headers: Mapping[str, str]) -> int | None:
    seconds = headers.get("Retry-After", "")
    return int(seconds) if seconds.isdecimal() and len(seconds) < 6 else None
