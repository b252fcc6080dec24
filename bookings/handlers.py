"""What bookings do about money, which buys a slot or goes back, and moved clocks."""

from uuid import UUID

from bookings.services.closures import close_anew
from bookings.services.moved_clocks import find_moved_bookings
from bookings.services.refund_messages import tell_refund
from bookings.services.settling import settle_payable
from recovery.models import OutboxEvent
from recovery.outbox import Subscriber, subscribe


def _settle(event: OutboxEvent) -> None:
    settle_payable(payable_id=UUID(event.subject_id))


def _tell_customer(event: OutboxEvent) -> None:
    """A refund arrived, or did not: its customer should not find out by waiting."""
    tell_refund(
        payable_id=UUID(event.data["payable"]), refund_id=UUID(event.subject_id)
    )


def _look_at_clocks(event: OutboxEvent) -> None:
    """The clocks of a venue were moved: its closures move with them, sales do not."""
    venue_id = int(event.subject_id)
    close_anew(venue_id=venue_id)
    find_moved_bookings(venue_id=venue_id)


subscribe(
    # In transactions of its own: one of them retires holds, another one sells.
    Subscriber(
        "bookings.settling",
        events=frozenset({"payments.payable_settled", "payments.payment_voided"}),
        call=_settle,
    )
)
subscribe(
    Subscriber(
        "bookings.refunds",
        events=frozenset(
            {
                "payments.refund_failed",
                "payments.refund_settled",
                "payments.refund_paid_otherwise",
                "payments.refund_handed_over",
            }
        ),
        handle=_tell_customer,
    )
)
subscribe(
    # In transactions of its own, booking by booking.
    Subscriber(
        "bookings.clocks",
        events=frozenset({"accounts.venue_time_zone_changed"}),
        call=_look_at_clocks,
    )
)
