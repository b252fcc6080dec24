"""The frame around the providers: who answers, which fault strikes, what happened."""

import threading
from dataclasses import replace
from functools import partial

from slotbase.sandbox.exchange import Reply, Request, Route, find_route
from slotbase.sandbox.faults import FaultScript, perform, read_fault
from slotbase.sandbox.fields import ControlError, check_choice
from slotbase.sandbox.journal import Journal
from slotbase.sandbox.provider import Provider
from slotbase.sandbox.webhooks import Webhooks

CONTROL = "_sandbox"


class Sandbox:
    """All simulated providers and the control API."""

    def __init__(self, providers: list[Provider], webhooks: Webhooks) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self.webhooks = webhooks
        self.faults = FaultScript()
        self.journal = Journal()
        self._one_call_at_a_time = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """The reply to a request, whether control or provider."""
        first, _, rest = request.path.removeprefix("/").partition("/")
        if first == CONTROL:
            return self._answer_control(request, "/" + rest)
        if first in self.providers:
            return self._answer_provider(self.providers[first], request, "/" + rest)
        return _not_here([CONTROL, *self.providers])

    def _answer_provider(
        self, provider: Provider, request: Request, path: str
    ) -> Reply:
        found = find_route(provider.routes(), request, path)
        if found is None:
            return provider.error(404)
        route, params = found
        with self._one_call_at_a_time:
            return self._perform(provider, route, replace(request, params=params))

    def _perform(self, provider: Provider, route: Route, request: Request) -> Reply:
        fault = self.faults.take(provider.name, route.operation, request)
        if fault is None:
            reply = route.handler(request)
        else:
            reply = perform(fault, provider, route.handler, request)
        self.journal.record(
            provider.name,
            route.operation,
            fault=fault.fault if fault else None,
            effect=reply.effect,
        )
        return reply

    def _answer_control(self, request: Request, path: str) -> Reply:
        routes = self._controls()
        found = find_route(routes, request, path)
        if found is None:
            return _not_here([f"{r.method} /{CONTROL}{r.path}" for r in routes])
        route, params = found
        try:
            return route.handler(replace(request, params=params))
        except ControlError as error:
            return Reply(400, {"error": str(error)})

    def _controls(self) -> list[Route]:
        own = [
            Route("GET", "/health", "health", self._health),
            Route("GET", "/faults", "list_faults", self._list_faults),
            Route("POST", "/faults", "add_fault", self._add_fault),
            Route("DELETE", "/faults", "clear_faults", self._clear_faults),
            Route("GET", "/effects", "effects", self._effects),
            Route("GET", "/calls", "calls", self._calls),
            Route("POST", "/reset", "reset", self._reset),
        ]
        return [*own, *self.webhooks.controls(), *self._provider_controls()]

    def _provider_controls(self) -> list[Route]:
        return [
            replace(route, handler=partial(self._tell, provider, route))
            for provider in self.providers.values()
            for route in provider.controls()
        ]

    def _tell(self, provider: Provider, route: Route, request: Request) -> Reply:
        with self._one_call_at_a_time:
            reply = route.handler(request)
            if reply.effect is not None:
                self.journal.record(
                    provider.name, route.operation, fault=None, effect=reply.effect
                )
        return reply

    def _health(self, _: Request) -> Reply:
        return Reply(200, {"status": "ok", "providers": list(self.providers)})

    def _list_faults(self, _: Request) -> Reply:
        return Reply(200, {"faults": self.faults.pending()})

    def _add_fault(self, request: Request) -> Reply:
        self.faults.add(read_fault(request, self.providers))
        return Reply(201, {"faults": self.faults.pending()})

    def _clear_faults(self, _: Request) -> Reply:
        self.faults.clear()
        return Reply(204)

    def _effects(self, request: Request) -> Reply:
        return Reply(200, {"effects": self.journal.effects(self._chosen(request))})

    def _calls(self, request: Request) -> Reply:
        return Reply(200, {"calls": self.journal.calls(self._chosen(request))})

    def _chosen(self, request: Request) -> str | None:
        if "provider" not in request.query:
            return None
        return check_choice(
            request.query["provider"], "provider", choices=self.providers
        )

    def _reset(self, _: Request) -> Reply:
        with self._one_call_at_a_time:
            self.faults.clear()
            self.journal.clear()
            for provider in self.providers.values():
                provider.reset()
            self.webhooks.forget()
        # Not under the lock: its receiver may be asking a provider meanwhile.
        self.webhooks.wait_until_idle()
        return Reply(204)


def _not_here(known: list[str]) -> Reply:
    return Reply(404, {"error": "There is nothing here.", "known": known})
