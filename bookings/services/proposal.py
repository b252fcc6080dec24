"""What a coach is proposed to accept: the model's text with names, or the notes.

The model knows no names. They are put back when a text is shown or accepted, so that
an answer that is kept for the same notes carries nobody's name.
"""

from bookings.models import SessionFeedback
from bookings.services.pseudonyms import COACH, PLAYER
from bookings.states import EnhancementStatus


def propose_text(row: SessionFeedback) -> str:
    """What is accepted if the coach gives no text of their own."""
    is_done = row.status == EnhancementStatus.DONE
    return write_names(row.enhanced_text, row) if is_done else row.notes


def write_names(text: str, row: SessionFeedback) -> str:
    """The model's text with the first names of whom it speaks of."""
    for stands_for, person in ((PLAYER, row.booking.customer), (COACH, row.coach)):
        # Whoever has no name is called what they are.
        name = next(iter(person.name.split()), stands_for.strip("[]"))
        text = text.replace(stands_for, name)
    return text
