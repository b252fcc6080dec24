"""A receiver of events, simulated: it takes each once, however often it comes."""

from datetime import datetime
from typing import Any, ClassVar

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import ControlError, check_text, read_object
from slotbase.sandbox.provider import Provider

TEXTS = ("id", "type", "subject_type", "subject_id", "at")
KEY = "idempotency-key"


class Analytics(Provider):
    """Takes events by their id, which is also the idempotency key."""

    name: ClassVar[str] = "analytics"

    def __init__(self) -> None:
        self.reset()

    def routes(self) -> list[Route]:
        """The one address."""
        return [Route("POST", "/events", "event", self._take)]

    def error(self, status: int) -> Reply:
        """An error that says no more than its status."""
        return Reply(status, {"error": f"Sandbox: {status}"})

    def remember(self, request: Request, reply: Reply) -> Reply:
        """Answer repeats of this event with the same reply; this call may be one."""
        return self._replies.setdefault(request.headers.get(KEY, ""), reply)

    def reset(self) -> None:
        """Forget all events."""
        self._replies: dict[str, Reply] = {}

    def _take(self, request: Request) -> Reply:
        try:
            event = _read_event(request)
        except ControlError as error:
            return Reply(400, {"error": str(error)})
        if event["id"] not in self._replies:
            answer = {"id": event["id"]}
            self._replies[event["id"]] = Reply(200, answer)
            return Reply(201, answer, effect=event)
        return self._replies[event["id"]]


def _read_event(request: Request) -> dict[str, Any]:
    event = read_object(request, allowed=(*TEXTS, "data"))
    for name in TEXTS:
        check_text(event.get(name), name)
    if not isinstance(event.get("data"), dict):
        raise ControlError("data must be an object.")
    if not _is_moment(event["at"]):
        raise ControlError("at must be a time of RFC 3339 with its offset.")
    if request.headers.get(KEY) != event["id"]:
        raise ControlError("Idempotency-Key must be the id of the event.")
    return event


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
