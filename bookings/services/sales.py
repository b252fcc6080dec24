"""What a hold costs, as something that is owed."""

from bookings.models import BookingHold
from payments.locks import lock_payable
from payments.models import Payable
from payments.services.payables import open_payable
from recovery import audit
from slotbase.lib.db import transaction_required
from slotbase.lib.ids import uuid7


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
