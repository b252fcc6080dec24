"""What a simulated provider is: a name, its addresses, its way to say no.

A provider is one module with one subclass, listed in `__main__`. Its handlers, also
those of its controls, run one at a time, so they need no locks; what they did they tell
in `Reply.effect`.
"""

from typing import ClassVar

from slotbase.sandbox.exchange import Reply, Request, Route


class Provider:
    """One provider under `/<name>`; the frame applies faults and records effects."""

    name: ClassVar[str]

    def routes(self) -> list[Route]:
        """The provider's own addresses, relative to `/<name>`."""
        raise NotImplementedError

    def controls(self) -> list[Route]:
        """What tests may tell this provider, relative to `/_sandbox`."""
        return []

    def error(self, status: int) -> Reply:
        """A refusal in the provider's own words."""
        raise NotImplementedError

    def remember(self, request: Request, reply: Reply) -> Reply | None:
        """Keep a scripted failure for repeats of the request's idempotency key, if any.

        Returns what to send in its place, such as what the key was answered before.
        """

    def keep_in_flight(self, request: Request, seconds: int) -> None:
        """The reply is on its way for that long: until then repeats come too early."""

    def reset(self) -> None:
        """Forget all objects; keys and settings stay."""

    def operations(self) -> list[str]:
        """The names that faults may be scripted for."""
        return sorted({route.operation for route in self.routes()})
