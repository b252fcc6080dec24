"""What OpenAI says no with."""

from slotbase.sandbox.exchange import Reply

RETRY_AFTER_SECONDS = 20
#: What stands behind a status: type, code and message of the error.
_USUAL: dict[int, tuple[str, str | None, str]] = {
    401: (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: sk-slotb************box.",
    ),
    403: ("invalid_request_error", None, "You are not allowed to use this model."),
    404: ("invalid_request_error", None, "Invalid URL."),
    429: ("tokens", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error."),
    503: ("server_error", None, "The engine is currently overloaded."),
}


class Refused(Exception):
    """A request that OpenAI does not do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type_: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.code, self.param = status, type_, code, param
        self.retry_after = retry_after

    def reply(self) -> Reply:
        """In OpenAI's form."""
        error = {
            "message": str(self),
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        wait = self.retry_after
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return Reply(self.status, {"error": error}, headers)


def refusal_of(status: int, *, retry_after: int | None = None) -> Refused:
    """What OpenAI most often means by a status."""
    type_, code, message = _USUAL.get(
        status, ("invalid_request_error", None, "Something is wrong with it.")
    )
    if status == 429 and retry_after is None:
        retry_after = RETRY_AFTER_SECONDS
    return Refused(status, message, type_=type_, code=code, retry_after=retry_after)


def no_quota() -> Refused:
    """A 429 that no waiting helps."""
    name = "insufficient_quota"
    message = "You exceeded your current quota, please check your plan and billing."
    return Refused(429, message, type_=name, code=name)
