"""What bookings do about money: it buys its slot or goes back, and people are told."""

from uuid import UUID

from bookings.queries import find_booking_of
from bookings.services.messages import tell_refund_delayed
from bookings.services.settling import settle_payable
from recovery.models import OutboxEvent
from recovery.outbox import Subscriber, subscribe


def _settle(event: OutboxEvent) -> None:
    settle_payable(payable_id=UUID(event.subject_id))


def _tell_customer(event: OutboxEvent) -> None:
    """A refund did not arrive: its customer should not find out by waiting."""
    if booking := find_booking_of(UUID(event.data["payable"])):
        tell_refund_delayed(
            booking,
            refund_id=UUID(event.subject_id),
            amount_minor=event.data["amount_minor"],
        )


subscribe(
    # In transactions of its own: one of them retires holds, another one sells.
    Subscriber(
        "bookings.settling",
        events=frozenset({"payments.payable_settled"}),
        call=_settle,
    )
)
subscribe(
    Subscriber(
        "bookings.refunds",
        events=frozenset({"payments.refund_failed"}),
        handle=_tell_customer,
    )
)
