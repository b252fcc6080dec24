"""Scripted faults: which of the coming calls go wrong, and how."""

import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from slotbase.sandbox.exchange import Delivery, Handler, Reply, Request
from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_number,
    check_text,
    read_object,
)
from slotbase.sandbox.provider import Provider

FAULTS = {
    "ok": "works; with a count it lets that many calls pass before the next fault",
    "4xx": "refused with `status` (default 400), nothing happens",
    "5xx": "fails with `status` (default 500), nothing happens",
    "stored_500": "fails with 500, and repeats of the same idempotency key do too",
    "hang": "never answered, nothing happens",
    "accept_then_hang": "happens, and is never answered",
    "reset_after_effect": "happens, and the connection is reset",
    "malformed": "happens, and the answer is cut in half",
    "slow": "happens, and the answer comes after `seconds` (default 1)",
}
ANY = "*"
_FIELDS = (
    *("provider", "operation", "fault", "count", "percentage", "match"),
    *("status", "seconds"),
)
_NOTHING_HAPPENS = {"4xx", "5xx", "stored_500", "hang"}
_STATUS_RANGES = {"4xx": (400, 499), "5xx": (500, 599)}


@dataclass(frozen=True)
class Fault:
    """One line of the script; `count` None means until it is deleted."""

    provider: str
    operation: str
    fault: str
    count: int | None = None
    percentage: int = 100
    match: str = ""
    status: int = 500
    seconds: int = 1

    def is_meant_for(self, provider: str, operation: str, request: Request) -> bool:
        """Whether the fault may strike this call."""
        return (
            self.provider == provider
            and self.operation in {ANY, operation}
            and request.mentions(self.match)
        )


class FaultScript:
    """The faults to come, in the order in which they were told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all faults; the dice begin anew, so that a run can be repeated."""
        with self._lock:
            self._faults: list[Fault] = []
            self._dice = random.Random(0)  # noqa: S311 - repeatable on purpose

    def add(self, fault: Fault) -> None:
        """Add a line at the end."""
        with self._lock:
            self._faults.append(fault)

    def pending(self) -> list[dict[str, Any]]:
        """What is still to come."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def take(self, provider: str, operation: str, request: Request) -> Fault | None:
        """The first fault that strikes this call, its count used up by one."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.is_meant_for(provider, operation, request) and self._roll(
                    fault
                ):
                    self._use_up(index, fault)
                    return fault
        return None

    def _roll(self, fault: Fault) -> bool:
        return self._dice.uniform(0, 100) <= fault.percentage

    def _use_up(self, index: int, fault: Fault) -> None:
        if fault.count == 1:
            del self._faults[index]
        elif fault.count is not None:
            self._faults[index] = replace(fault, count=fault.count - 1)


def read_fault(request: Request, providers: Mapping[str, Provider]) -> Fault:
    """The fault that a control request describes.

    Raises:
        ControlError: no such provider, operation or fault, or a number out of range.
    """
    data = read_object(request, allowed=_FIELDS)
    provider = check_choice(data.get("provider"), "provider", choices=providers)
    operations = [*providers[provider].operations(), ANY]
    kind = check_choice(data.get("fault"), "fault", choices=FAULTS)
    return Fault(
        provider=provider,
        operation=check_choice(data.get("operation"), "operation", choices=operations),
        fault=kind,
        **_read_options(data, kind),
    )


def _read_options(data: dict[str, Any], kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {"status": _read_status(data, kind)}
    if "count" in data:
        options["count"] = check_number(data["count"], "count", low=1, high=1_000_000)
    if "percentage" in data:
        options["percentage"] = check_number(
            data["percentage"], "percentage", low=0, high=100
        )
    if "match" in data:
        options["match"] = check_text(data["match"], "match")
    if "seconds" in data:
        options["seconds"] = check_number(data["seconds"], "seconds", low=0, high=600)
    return options


def _read_status(data: dict[str, Any], kind: str) -> int:
    low, high = _STATUS_RANGES.get(kind, (500, 500))
    if "status" in data and kind not in _STATUS_RANGES:
        raise ControlError("status goes with the faults 4xx and 5xx only.")
    return check_number(data.get("status", low), "status", low=low, high=high)


def perform(
    fault: Fault, provider: Provider, handler: Handler, request: Request
) -> Reply:
    """Do what the provider would do, or not, and spoil the reply as the fault says."""
    if fault.fault in _NOTHING_HAPPENS:
        return _refuse(fault, provider, request)
    if fault.fault == "slow":
        return _delay(fault, provider, handler, request)
    return _spoil(fault, handler(request))


def _refuse(fault: Fault, provider: Provider, request: Request) -> Reply:
    if fault.fault == "hang":
        return Reply(delivery=Delivery.HANG)
    reply = provider.error(fault.status)
    if fault.fault == "stored_500":
        return provider.remember(request, reply) or reply
    return reply


def _delay(
    fault: Fault, provider: Provider, handler: Handler, request: Request
) -> Reply:
    reply = handler(request)
    provider.keep_in_flight(request, fault.seconds)
    return replace(reply, delay_seconds=fault.seconds)


def _spoil(fault: Fault, reply: Reply) -> Reply:
    match fault.fault:
        case "accept_then_hang":
            return replace(reply, delivery=Delivery.HANG)
        case "reset_after_effect":
            return replace(reply, delivery=Delivery.RESET)
        case "malformed":
            return replace(reply, body=_first_half(reply.encoded_body()))
        case _:
            return reply


def _first_half(body: bytes) -> bytes:
    return body[: len(body) // 2] or b"{"
