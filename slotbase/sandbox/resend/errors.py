"""What Resend says no with: a status, and a name of its own for the reason."""

from slotbase.sandbox.exchange import Reply

_BY_STATUS = {
    400: ("validation_error", "We found an error with one or more fields."),
    401: ("missing_api_key", "Missing API Key"),
    403: ("invalid_api_key", "API key is invalid"),
    404: ("not_found", "The requested resource was not found."),
    405: ("method_not_allowed", "Method is not allowed for the requested path."),
    409: (
        "concurrent_idempotent_requests",
        "Same idempotency key used while original request is still in progress.",
    ),
    422: ("validation_error", "We found an error with one or more fields."),
    429: ("rate_limit_exceeded", "Too many requests. Please slow down."),
    451: ("security_error", "We may have found a security issue with the request."),
    500: ("application_error", "An unexpected error occurred."),
}


class Refused(Exception):
    """A request that Resend does not do."""

    def __init__(
        self, status: int, name: str, message: str, *, retry_after: int = 1
    ) -> None:
        super().__init__(message)
        self.status, self.name, self.retry_after = status, name, retry_after

    def reply(self) -> Reply:
        """In Resend's form."""
        body = {"statusCode": self.status, "name": self.name, "message": str(self)}
        headers = {"Retry-After": str(self.retry_after)} if self.status == 429 else {}
        return Reply(self.status, body, headers)


def refusal_of(status: int) -> Refused:
    """What Resend most often means by a status."""
    usual = ("application_error", "An unexpected error occurred.")
    return Refused(status, *_BY_STATUS.get(status, usual))


def invalid(message: str, name: str = "validation_error") -> Refused:
    """A field that is missing or wrong."""
    return Refused(422, name, message)
