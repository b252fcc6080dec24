"""What goes over the wire: a request as it was read, a reply as it will be sent."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Delivery(Enum):
    """What becomes of a reply on its way to the client."""

    SEND = auto()
    HANG = auto()  # never sent; the connection stays open until the client leaves
    RESET = auto()  # never sent; the connection is reset


@dataclass(frozen=True)
class Request:
    """One request: header names in lower case, `params` the parts the route names."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)

    def mentions(self, text: str) -> bool:
        """Whether the text stands anywhere in the path, the query or the body."""
        places = [self.path, *self.query.values(), self.body.decode(errors="replace")]
        return any(text in place for place in places)


@dataclass(frozen=True)
class Reply:
    """One reply, and what became of it.

    `body` is sent as JSON unless it is bytes; `effect` is what really happened, for the
    journal, however the reply fares on the wire.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    effect: Mapping[str, Any] | None = None
    delivery: Delivery = Delivery.SEND
    delay_seconds: float = 0.0

    def encoded_body(self) -> bytes:
        """The bytes to send."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


Handler = Callable[[Request], Reply]


@dataclass(frozen=True)
class Route:
    """An address of a provider, the operation it stands for, and who answers.

    `path` may name parts in braces: `/v1/refunds/{id}`.
    """

    method: str
    path: str
    operation: str
    handler: Handler

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The named parts of the path, or None if this is another address."""
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found and method == self.method else None


def find_route(
    routes: list[Route], request: Request, path: str
) -> tuple[Route, dict[str, str]] | None:
    """The first route for this request and the named parts of its path."""
    for route in routes:
        params = route.match(request.method, path)
        if params is not None:
            return route, params
    return None
