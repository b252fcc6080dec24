"""What every refusal looks like, and that it leaves nothing behind."""

import json
from collections.abc import Callable
from typing import Any

from bookings.models import Booking, BookingHold, SlotClaim, WaitlistEntry
from payments.models import CardPayment, Payable, Refund
from recovery.models import AuditEntry, IdempotencyRecord
from tests.bookings.document import documented_codes

MEMBERS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}
WRITTEN = (
    *(BookingHold, SlotClaim, Booking, AuditEntry, IdempotencyRecord),
    *(Payable, CardPayment, Refund, WaitlistEntry),
)


def count_rows() -> list[int]:
    """How much has been written by customers so far."""
    return [model._default_manager.count() for model in WRITTEN]


def refused(
    send: Callable[[], Any], status: int, code: str, field: str | None = None
) -> Any:
    """Send a request that must be refused in just this way; returns the answer."""
    before = count_rows()
    answer = send()
    problem = read_problem(answer, status, code)
    assert count_rows() == before
    assert field is None or field in problem["errors"], problem
    return answer


def read_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, after a look at all its members."""
    request = answer.wsgi_request
    where = f"{request.method} {request.get_full_path()}: "
    assert answer.status_code == status, where + answer.content.decode()
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.content)
    assert problem.keys() >= MEMBERS
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"/api/docs/errors/#{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer["X-Request-Id"]
    for messages in problem.get("errors", {}).values():
        assert all(isinstance(message, str) for message in messages)
    documented = documented_codes(answer)
    # Hosts, lengths and methods are wrong before there is an operation.
    assert documented is None or code in documented, (status, code)
    return problem
