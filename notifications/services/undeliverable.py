"""The case of a message that must arrive and does not."""

from notifications.kinds import KINDS
from notifications.models import Notification
from recovery import cases
from recovery.models import Case
from recovery.states import CaseSeverity
from slotbase.lib.db import transaction_required

KIND = "notification_undeliverable"


def fingerprint_of(message: Notification) -> str:
    """Of the case about a message."""
    return f"{KIND}:{message.pk}"


def must_arrive(message: Notification) -> bool:
    """Whether a person tells the customer if no channel could; if in doubt, yes."""
    kind = KINDS.get(message.template)
    return kind is None or kind.must_arrive


@transaction_required
def open_undeliverable(message: Notification, *, cause: str) -> None:
    """A person at the front desk has to reach the customer in another way."""
    name = message.template.replace("_", " ")
    cases.open_case(
        cases.Opening(
            kind=KIND,
            fingerprint=fingerprint_of(message),
            title=f"A customer was not told: {name}",
            subject_type="notification",
            subject_id=str(message.pk),
            cause=cause,
            venue_id=message.venue_id,
            customer_id=message.recipient_id,
            reference=message.reference,
            details={"about": f"{message.subject_type} {message.subject_id}"},
        )
    )


@transaction_required
def close_undeliverable(message: Notification, reason: str) -> None:
    """The trouble is over."""
    cases.close_by_itself(fingerprint_of(message), reason)


@transaction_required
def leave_untold(mail: Notification, *, cause: str) -> None:
    """A mail did not arrive that nobody wants any more: a closed case says so.

    What a person wrote into an earlier one stays.
    """
    if must_arrive(mail):
        if not Case.objects.filter(fingerprint=fingerprint_of(mail)).exists():
            open_undeliverable(mail, cause=cause)
        close_undeliverable(mail, "Nobody wants it any more.")


cases.register(
    cases.Kind(
        KIND,
        CaseSeverity.MEDIUM,
        "front_desk",
        "A message that must arrive did not.",
        opened_when="a mail was refused for good, came back, is out of attempts or its"
        " address is suppressed, and no push told it; or it is unsure for 23 hours, or"
        " without an address for a day",
        closes_itself_when="it is sent or delivered after all, also by push, or nobody"
        " wants it any more",
        actions=("resend", "called"),
    )
)
