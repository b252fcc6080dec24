"""The ledger of what really happened, whatever the clients were told."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

KEPT_CALLS = 100_000


@dataclass(frozen=True)
class Call:
    """One call of a provider, the fault that struck it, and what it did, or None."""

    number: int
    at: str
    provider: str
    operation: str
    fault: str | None
    effect: Mapping[str, Any] | None


class Journal:
    """All calls of the providers in their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._calls: deque[Call] = deque(maxlen=KEPT_CALLS)
            self._count = 0

    def record(
        self,
        provider: str,
        operation: str,
        *,
        fault: str | None,
        effect: Mapping[str, Any] | None,
    ) -> None:
        """Write one call down."""
        at = datetime.fromtimestamp(time.time(), UTC).isoformat()
        with self._lock:
            self._count += 1
            self._calls.append(
                Call(self._count, at, provider, operation, fault, effect)
            )

    def calls(self, provider: str | None) -> list[dict[str, Any]]:
        """Every call, of one provider or of all, also those that did nothing."""
        with self._lock:
            return [
                asdict(call)
                for call in self._calls
                if provider is None or call.provider == provider
            ]

    def effects(self, provider: str | None) -> list[dict[str, Any]]:
        """The calls that did something."""
        return [call for call in self.calls(provider) if call["effect"] is not None]
