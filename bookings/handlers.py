"""What bookings do when money comes in: it buys its slot, or goes back."""

from uuid import UUID

from bookings.services.settling import settle_payable
from recovery.models import OutboxEvent
from recovery.outbox import Subscriber, subscribe


def _settle(event: OutboxEvent) -> None:
    settle_payable(payable_id=UUID(event.subject_id))


subscribe(
    # In transactions of its own: one of them retires holds, another one sells.
    Subscriber(
        "bookings.settling",
        events=frozenset({"payments.payable_settled"}),
        call=_settle,
    )
)
