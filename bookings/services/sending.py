"""Whether a coach's notes may leave the house at all."""

from django.conf import settings

from bookings.models import SessionFeedback
from slotbase.accounts.queries import is_to_be_forgotten


def why_not_sent(row: SessionFeedback) -> str:
    """Why these notes are not sent to be enhanced, for who asks; empty: they may be.

    `row` is locked.
    """
    if not (settings.AI_ENABLED and settings.OPENAI_API_KEY):
        return "Notes are not enhanced at the moment."
    if not row.booking.resource.venue.enhances_notes:
        return "This venue does not have notes enhanced."
    if not row.notes:
        return "The notes are gone with whoever wrote them."
    if is_to_be_forgotten(row.booking.customer_id):
        return "The customer is erased."
    return ""
