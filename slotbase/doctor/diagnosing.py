"""All examinations, in the order in which a person would mend what they find."""

from recovery import health
from slotbase.doctor import database, installation, work
from slotbase.doctor.examining import Diagnosis, Examination, examine
from slotbase.doctor.parts import missing_in, troubles_of

EXAMINATIONS = (
    *database.EXAMINATIONS,
    *installation.EXAMINATIONS,
    *work.EXAMINATIONS,
)


def diagnose() -> Diagnosis:
    """What is well, what is wrong, and what could not be looked at."""
    seen = health.look_now()
    parts = Examination("parts", lambda: troubles_of(seen))
    return examine([parts, *EXAMINATIONS], missing_in(seen))
