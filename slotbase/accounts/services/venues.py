"""What others must hear about venues."""

from recovery import outbox
from slotbase.accounts.models import Venue
from slotbase.lib.db import transaction_required


@transaction_required
def tell_moved_clocks(venue: Venue) -> None:
    """Its time zone was changed: what was sold there stays at its instants."""
    facts = {venue.pk: {"time_zone": venue.time_zone}}
    outbox.publish("accounts.venue_time_zone_changed", subject="venue", facts=facts)
