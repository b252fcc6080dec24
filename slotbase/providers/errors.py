"""How a call of a provider can end without success."""

import re
from enum import StrEnum

BREAKER_OPEN = "breaker_open"
_SAFE_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Outcome(StrEnum):
    """What is known after a failed call; a call that was done returns its value."""

    REFUSED = "refused"
    """For good: the same call will never succeed."""

    NOT_EXECUTED = "not executed"
    """Nothing happened there; it is safe to call again."""

    UNKNOWN = "unknown"
    """It may have happened: ask the provider before calling again."""

    CONFIGURATION = "configuration"
    """Our credentials are wrong: no call will succeed until a person acts."""


class ProviderError(Exception):
    """A call that did not succeed. Its text holds nothing that the provider wrote."""

    def __init__(
        self,
        outcome: Outcome,
        *,
        provider: str,
        code: str,
        http_status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.outcome = outcome
        self.provider = provider
        # A code may come from the provider: only what looks like one is let through.
        self.code = code if _SAFE_CODE.fullmatch(code) else "unrecognised"
        self.http_status = http_status
        self.retry_after = retry_after
        answer = f", HTTP {http_status}" if http_status else ""
        super().__init__(f"{provider}: {outcome} ({self.code}{answer})")

    @property
    def was_tried(self) -> bool:
        """False if our own breaker was open: the provider was not asked at all."""
        return self.code != BREAKER_OPEN
