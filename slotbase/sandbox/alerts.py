"""A receiver of alerts, simulated: it takes each once, however often it comes."""

from typing import Any, ClassVar

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_text,
    read_object,
)
from slotbase.sandbox.provider import Provider

FIELDS = ("id", "text", "severity", "at", "number", "by_category", "alerts")
SEVERITIES = ("critical", "high", "medium", "low")
KEY = "idempotency-key"


class Alerts(Provider):
    """Takes notices by their id, which is also the idempotency key."""

    name: ClassVar[str] = "alerts"

    def __init__(self) -> None:
        self.reset()

    def routes(self) -> list[Route]:
        """The one address."""
        return [Route("POST", "/notices", "notice", self._take)]

    def error(self, status: int) -> Reply:
        """An error that says no more than its status."""
        return Reply(status, {"error": f"Sandbox: {status}"})

    def remember(self, request: Request, reply: Reply) -> Reply:
        """Answer repeats of this notice with the same reply; this call may be one."""
        return self._replies.setdefault(request.headers.get(KEY, ""), reply)

    def reset(self) -> None:
        """Forget all notices."""
        self._replies: dict[str, Reply] = {}

    def _take(self, request: Request) -> Reply:
        try:
            notice = _read_notice(request)
        except ControlError as error:
            return Reply(400, {"error": str(error)})
        if notice["id"] not in self._replies:
            answer = {"id": notice["id"]}
            self._replies[notice["id"]] = Reply(200, answer)
            return Reply(201, answer, effect=notice)
        return self._replies[notice["id"]]


def _read_notice(request: Request) -> dict[str, Any]:
    notice = read_object(request, allowed=FIELDS)
    for name in ("id", "text", "at"):
        check_text(notice.get(name), name)
    check_choice(notice.get("severity"), "severity", choices=SEVERITIES)
    if not isinstance(notice.get("alerts"), list) or not notice["alerts"]:
        raise ControlError("alerts must be a list that is not empty.")
    if request.headers.get(KEY) != notice["id"]:
        raise ControlError("Idempotency-Key must be the id of the notice.")
    return notice
