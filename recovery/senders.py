"""Whether what has effects outside may go on: charges, refunds, mails.

After a restore the database has forgotten what was sent, and would send it again. So
senders stop when something is found that only we can have made and that we do not know,
until a person says go; and they do not begin before somebody has looked.
"""

from collections.abc import Callable
from datetime import datetime

from recovery import cases
from recovery.models import Case
from recovery.states import CaseSeverity
from slotbase.lib.db import transaction_required
from slotbase.lib.errors import Unavailable

RESTORED = "restore_detected"  # the kind of case, and its fingerprint: there is one
Look = Callable[[], bool]

_looks: dict[str, Look] = {}


def register_look(provider: str, look: Look) -> None:
    """Let who sends to a provider wait until it was looked at lately, as this says."""
    _looks[provider] = look


def has_looked_at(provider: str) -> bool:
    """Whether it was looked there lately for what we do not know, if anybody does.

    Of each provider by itself: mails do not wait for Stripe while it is down.
    """
    look = _looks.get(provider)
    return look is None or look()


def are_stopped() -> bool:
    """Whether a person has to say first that senders may go on."""
    return stopped_at() is not None


def stopped_at() -> datetime | None:
    """Since when they are stopped; None if they are not."""
    is_open = Case.objects.filter(fingerprint=RESTORED, status__in=cases.IS_OPEN)
    return is_open.values_list("last_seen_at", flat=True).first()


def require_going() -> None:
    """Refuse, within a request, what would begin something outside.

    Raises:
        Unavailable: senders are stopped.
    """
    if are_stopped():
        raise Unavailable("Nothing can be paid for the moment.")


@transaction_required
def stop(*, cause: str, example: str = "") -> None:
    """Stop all senders; while they are stopped, no change."""
    if are_stopped():
        return
    cases.open_case(
        cases.Opening(
            kind=RESTORED,
            fingerprint=RESTORED,
            title="The database was restored: nothing is sent",
            subject_type="reconciliation",
            subject_id="",
            cause=cause,
            details={"for example": example} if example else {},
        )
    )


cases.register(
    cases.Kind(
        RESTORED,
        CaseSeverity.CRITICAL,
        "operations",
        "The database has forgotten what was done: senders are stopped.",
        opened_when="Stripe has an object that only we can have made and that no row"
        " knows, or a person says that a backup was restored",
        actions=("reconcile", "resolve"),
    )
)
