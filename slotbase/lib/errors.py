"""Errors that are expected: each has a code, an HTTP status and words for the client.

The codes are the contract of docs/reference/errors.md. Concrete errors of an app
inherit one of these kinds and live in its `errors.py`. A kind without a code is never
raised itself.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """Something a client may meet in normal work.

    `detail` may be shown to the client; it never holds provider text or secrets.
    `extra` becomes further members of the problem document.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False
    #: Whether nobody is signed in because of it: such requests count by address.
    leaves_unsigned: ClassVar[bool] = False
    retry_after: int | None = None

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra = extra


class ValidationFailed(DomainError):
    """The request is understood and cannot be right; `errors` names the fields."""

    code, status, title = "validation_error", 400, "The request is not valid"

    def __init__(self, **errors: str) -> None:
        super().__init__(
            "; ".join(errors.values()),
            errors={field: [text] for field, text in errors.items()},
        )


class Unauthenticated(DomainError):
    status = 401


class Forbidden(DomainError):
    code, status, title = "permission_denied", 403, "This is not allowed to you"


class NotFound(DomainError):
    code, status, title = "not_found", 404, "There is nothing here for you"


class Conflict(DomainError):
    """The request is right and the present state does not allow it."""

    status = 409


class InvalidState(Conflict):
    """The object is in a state in which this cannot be done."""

    code, title = "invalid_state", "The request conflicts with the present state"


class Gone(DomainError):
    status = 410


class Unprocessable(DomainError):
    status = 422


class TooMany(DomainError):
    code, status, title = "rate_limited", 429, "Too many requests"
    retryable, retry_after = True, 60


class Unavailable(DomainError):
    """A part we need does not answer; nothing was changed."""

    code, status, title = "try_again", 503, "Please try again"
    retryable, retry_after = True, 2
