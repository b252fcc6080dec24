"""A hold as it is offered: its terms, and what it costs as something that is owed."""

from uuid import UUID

from bookings.hours import Interval
from bookings.models import BookingHold
from bookings.rules import Rules, in_minutes
from bookings.states import HoldSource
from payments.locks import lock_payable
from payments.models import Payable
from payments.services.payables import open_payable
from recovery import audit
from slotbase.lib.db import transaction_required
from slotbase.lib.ids import uuid7


def draft_hold(
    rules: Rules,
    slot: Interval,
    *,
    hold_id: UUID,
    customer_id: UUID,
    units: int,
    source: HoldSource = HoldSource.CUSTOMER,
) -> BookingHold:
    """A hold on today's terms, not yet saved and without units."""
    return BookingHold(
        id=hold_id,
        resource_id=rules.resource_id,
        customer_id=customer_id,
        start_time=slot.start,
        end_time=slot.end,
        buffer_before_minutes=in_minutes(rules.buffer_before),
        buffer_after_minutes=in_minutes(rules.buffer_after),
        price_minor=rules.price(slot.end - slot.start, units),
        currency=rules.currency,
        source=source,
    )


@transaction_required
def ensure_payable(hold: BookingHold, *, actor: audit.Actor) -> Payable:
    """The payable of a locked hold, locked; one without gets it, with its price."""
    if hold.payable_id is not None:
        return lock_payable(hold.payable_id)
    payable = Payable(
        id=uuid7(),
        venue_id=hold.resource.venue_id,
        customer_id=hold.customer_id,
        title=str(hold)[:200],
        tax_rate=hold.resource.tax_rate,
        currency=hold.currency,
    )
    open_payable(payable, price_minor=hold.price_minor, actor=actor)
    BookingHold.objects.filter(pk=hold.pk).update(payable=payable)
    hold.payable = payable
    return payable
