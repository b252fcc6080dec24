"""Refusals in Stripe's form: `{"error": {type, code, message, param, ...}}`."""

from typing import Any

_DOCS = "https://stripe.com/docs/error-codes/"


class Refused(Exception):
    """Stripe says no: an HTTP status, the error object, and headers of its own."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        told = {name: value for name, value in fields.items() if value is not None}
        if "code" in told:
            told["doc_url"] = _DOCS + str(told["code"]).replace("_", "-")
        self.body = {"error": {"type": kind, "message": message, **told}}


def missing_object(noun: str, id_: str, param: str) -> Refused:
    """No object of this kind has this id."""
    return Refused(
        f"No such {noun}: '{id_}'", status=404, code="resource_missing", param=param
    )


def wrong_key(given: str) -> Refused:
    """The API key is not that of the account."""
    if not given:
        return Refused(
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
            "YOUR_SECRET_KEY').",
            status=401,
        )
    return Refused(f"Invalid API Key provided: {_masked(given)}", status=401)


def _masked(key: str) -> str:
    return key[:8] + "*" * 8 + key[-4:] if len(key) > 16 else "*" * len(key)


def key_in_use(key: str) -> Refused:
    """The first request with this idempotency key has not been answered yet."""
    return Refused(
        "There is currently another in-progress request using this Idempotent Key "
        "(that probably means you submitted twice, and the other request is still "
        f"going through): {key}. Please try again later.",
        status=409,
        code="idempotency_key_in_use",
        headers={"Stripe-Should-Retry": "true"},
    )


def key_used_otherwise(key: str, first_path: str, path: str) -> Refused:
    """The idempotency key belongs to another request."""
    if first_path != path:
        paths = f"('{path}' vs '{first_path}')"
        what = f"for the same endpoint they were first used for {paths}"
    else:
        what = "with the same parameters they were first used with"
    return Refused(
        f"Keys for idempotent requests can only be used {what}. Try using a key other "
        f"than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
    )


def failure(status: int) -> Refused:
    """What Stripe says with this status when nothing more is known."""
    if status >= 500:
        return Refused("An unknown error occurred", status=status, kind="api_error")
    if status == 409:
        return key_in_use("unknown")
    if status == 402:
        return Refused(
            "Your card was declined.",
            status=402,
            kind="card_error",
            code="card_declined",
            decline_code="generic_decline",
        )
    message, code = _FAILURES.get(status, ("Invalid request.", None))
    return Refused(message, status=status, code=code)


_FAILURES = {
    401: ("Invalid API Key provided: sk_test_********", None),
    403: ("The provided key does not have the required permissions.", None),
    404: ("Unrecognized request URL, or no such object.", "resource_missing"),
    429: ("Request rate limit exceeded.", "rate_limit"),
}
