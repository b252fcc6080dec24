"""Idempotency keys as Resend has them: a mail that was sent is not sent again.

Only a mail that was accepted is remembered, for a day; a failure is not, so a repeat of
a request that failed is a new one.
"""

import time
from dataclasses import dataclass

from slotbase.sandbox.resend.errors import Refused, refusal_of
from slotbase.sandbox.resend.mails import Mail

SECONDS = 24 * 3600


@dataclass
class Kept:
    """The mail that was sent with a key; its answer arrives at `arrives_at`."""

    mail: Mail
    id: str
    until: float
    arrives_at: float = 0.0


class IdempotencyKeys:
    """The keys of the last day."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def find(self, key: str | None, mail: Mail) -> str | None:
        """The id of the mail that was sent with this key, or None if the key is new.

        Raises:
            Refused: it was another mail, or that one's answer is on its way.
        """
        kept = self._kept.get(key or "")
        now = time.monotonic()
        if kept is None or kept.until <= now:
            return None
        if kept.mail != mail:
            raise Refused(
                409,
                "invalid_idempotent_request",
                "Same idempotency key used with a different request payload.",
            )
        if now < kept.arrives_at:
            raise refusal_of(409)
        return kept.id

    def keep(self, key: str | None, mail: Mail, id_: str) -> None:
        """Remember that this mail was sent."""
        if key is not None:
            self._kept[key] = Kept(mail, id_, time.monotonic() + SECONDS)

    def keep_in_flight(self, key: str, seconds: int) -> None:
        """The answer to the request with this key is on its way for that long."""
        if key in self._kept:
            self._kept[key].arrives_at = time.monotonic() + seconds

    def expire(self, key: str | None) -> int:
        """Forget a key, or all, as Resend does after a day; how many there were."""
        gone = list(self._kept) if key is None else [key]
        return sum(self._kept.pop(each, None) is not None for each in gone)
