"""What customers are told about their bookings, with the transaction that did it."""

from bookings.models import Booking, BookingHold
from payments.models import Payable
from slotbase.lib.db import transaction_required


@transaction_required
def tell_confirmed(booking: Booking) -> None:
    """The slot is theirs."""


@transaction_required
def tell_cancelled(booking: Booking) -> None:
    """It is cancelled, and what goes back."""


@transaction_required
def tell_late_refund(hold: BookingHold, payable: Payable) -> None:
    """Their money came too late and goes back."""
