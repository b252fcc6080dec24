"""How many requests and mails Resend takes: all, until the control API says so."""

import time
from collections import deque

from slotbase.sandbox.resend.errors import Refused, refusal_of

NAMES = ("per_second", "daily", "monthly")


class Limits:
    """Requests in a second, and the mails that are left of today and of this month."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self._lately: deque[float] = deque()

    def set(self, values: dict[str, int]) -> None:
        """From now on these hold, and no others; `daily` and `monthly` count down."""
        self.values = dict(values)
        self._lately.clear()

    def count_request(self) -> None:
        """Raises Refused: there were too many within a second."""
        most = self.values.get("per_second")
        if most is None:
            return
        now = time.monotonic()
        while self._lately and self._lately[0] <= now - 1:
            self._lately.popleft()
        if len(self._lately) >= most:
            raise refusal_of(429)
        self._lately.append(now)

    def count_mail(self) -> None:
        """Raises Refused: the quota of today, or of this month, is used up."""
        for name in ("daily", "monthly"):
            if self.values.get(name, 1) <= 0:
                message = f"You have reached your {name} email sending quota."
                wait = 86_400 if name == "daily" else 30 * 86_400
                quota = f"{name}_quota_exceeded"
                raise Refused(429, quota, message, retry_after=wait)
        for name in ("daily", "monthly"):
            if name in self.values:
                self.values[name] -= 1
