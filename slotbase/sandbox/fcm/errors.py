"""What FCM says no with: a `google.rpc` error, with FCM's own code in its details."""

from collections.abc import Sequence
from typing import Any

from slotbase.sandbox.exchange import Reply

_TYPE = "type.googleapis.com"
FCM_ERROR = f"{_TYPE}/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = f"{_TYPE}/google.rpc.BadRequest"

#: Each code of FCM: HTTP status, status of `google.rpc`, and what it says.
CODES = {
    "UNREGISTERED": (404, "NOT_FOUND", "Requested entity was not found."),
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", "SenderId mismatch"),
    "INVALID_ARGUMENT": (
        400,
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
    ),
    "QUOTA_EXCEEDED": (
        429,
        "RESOURCE_EXHAUSTED",
        "Message rate exceeded for the registration token.",
    ),
    "UNAVAILABLE": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "INTERNAL": (500, "INTERNAL", "Internal error encountered."),
    "THIRD_PARTY_AUTH_ERROR": (
        401,
        "UNAUTHENTICATED",
        "Auth error from APNS or Web Push Service",
    ),
}
# What stands behind a status that no code of FCM explains.
_BY_STATUS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "The caller does not have permission."),
    404: ("NOT_FOUND", "Requested entity was not found."),
    500: ("INTERNAL", "Internal error encountered."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
}
RETRY_AFTER_SECONDS = 60  # what Google asks for where a quota is used up


class Refused(Exception):
    """A request that FCM does not do."""

    def __init__(
        self,
        status: int,
        name: str,
        message: str,
        *,
        details: Sequence[dict[str, Any]] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.name, self.details = status, name, details
        self.retry_after = retry_after

    def reply(self) -> Reply:
        """In Google's form."""
        error = {"code": self.status, "message": str(self), "status": self.name}
        if self.details:
            error["details"] = list(self.details)
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return Reply(self.status, {"error": error}, headers)


def refusal_of(status: int) -> Refused:
    """What Google most often means by a status."""
    if status == 429:
        return coded("QUOTA_EXCEEDED", retry_after=RETRY_AFTER_SECONDS)
    usual = ("UNKNOWN", "Unknown error.")
    return Refused(status, *_BY_STATUS.get(status, usual))


def coded(code: str, *, retry_after: int | None = None) -> Refused:
    """A refusal with one of FCM's codes."""
    detail = {"@type": FCM_ERROR, "errorCode": code}
    return Refused(*CODES[code], details=[detail], retry_after=retry_after)


def invalid(field: str, description: str) -> Refused:
    """A field that is missing or wrong; FCM names it, beside its own code."""
    violation = {"field": field, "description": description}
    return Refused(
        400,
        "INVALID_ARGUMENT",
        f"Invalid value at '{field}'",
        details=[
            {"@type": FCM_ERROR, "errorCode": "INVALID_ARGUMENT"},
            {"@type": BAD_REQUEST, "fieldViolations": [violation]},
        ],
    )
