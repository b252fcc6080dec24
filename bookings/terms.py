"""The terms of a cancellation: what is kept of a price, by how early it comes.

Terms are a list of tiers as JSON, copied into a booking when it is made: what its
customer agreed to stays, whatever the venue changes later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Tier:
    """Up to so many hours before the start: a part and a flat fee are kept."""

    hours_before: int
    keep_percent: int
    keep_minor: int

    def keeps(self, price_minor: int) -> int:
        """How much of a price is kept, in minor units; never more than all of it."""
        part = (price_minor * self.keep_percent + 50) // 100  # half is rounded up
        return min(part + self.keep_minor, price_minor)


@dataclass(frozen=True)
class Quote:
    """What a cancellation would cost now, and until when it costs no more."""

    fee_minor: int
    until: datetime


def read_terms(terms: Iterable[Mapping[str, Any]]) -> list[Tier]:
    """Tiers, the earliest first."""
    tiers = [Tier(**each) for each in terms]
    return sorted(tiers, key=lambda tier: -tier.hours_before)


def quote(
    terms: Iterable[Mapping[str, Any]],
    *,
    price_minor: int,
    start: datetime,
    now: datetime,
) -> Quote:
    """The fee of a cancellation now, for something that starts at `start`.

    Without any terms nothing is kept. With terms, all is kept once the last tier is
    over.
    """
    tiers = read_terms(terms)
    if not tiers:
        return Quote(0, start)
    for tier in tiers:
        until = start - timedelta(hours=tier.hours_before)
        if now <= until:
            return Quote(tier.keeps(price_minor), until)
    return Quote(price_minor, start)
