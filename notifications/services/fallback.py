"""What a mail that does not arrive says is said by push; if that fails, by a person."""

from notifications.errors import UnknownTemplate
from notifications.locks import lock_by_keys
from notifications.models import Notification
from notifications.services.messages import key_of_mail, queue_message
from notifications.services.repeats import is_outdated, is_repeated
from notifications.services.undeliverable import (
    close_undeliverable,
    leave_untold,
    must_arrive,
    open_undeliverable,
)
from notifications.states import LOST, OPEN, WENT_OUT, Channel
from slotbase.lib.clock import read_clock
from slotbase.lib.db import transaction_required


@transaction_required
def tell_otherwise(mail: Notification, *, cause: str) -> None:
    """A mail did not arrive: push what it says, or have a person tell the customer.

    Nothing follows where the mail need not arrive. Its devices that were told, or are
    about to be, are not told again. The case waits until the last push has failed.
    """
    if not must_arrive(mail):
        return
    if nobody_waits_for(mail):
        leave_untold(mail, cause=cause)
        return
    if not _is_told(_pushes_of(mail)):
        _push(mail)
    pushes = _pushes_of(mail)
    if _is_told(pushes):
        close_undeliverable(mail, "They were told by push.")
    elif not any(push.status in OPEN for push in pushes):
        open_undeliverable(mail, cause=cause)


@transaction_required
def push_is_settled(push: Notification) -> None:
    """A push went out or is given up: what that means for its mail.

    Call it once the state of the push is written, and have all that say the same locked
    before the push (`lock_by_keys`): this locks them. Nothing follows unless the mail
    is lost; then its case closes, or opens if this was the last hope.
    """
    for mail in lock_by_keys(key_of_mail(push.dedupe_key)):
        if mail.channel == Channel.EMAIL and mail.status in LOST:
            tell_otherwise(mail, cause="neither mail nor push arrived")


def nobody_waits_for(mail: Notification) -> bool:
    """Whether it is too late for it, something newer was said, or a copy was sent."""
    is_over = mail.not_after is not None and mail.not_after <= read_clock()
    return is_over or is_outdated(mail) or is_repeated(mail)


def _pushes_of(mail: Notification) -> list[Notification]:
    rows = lock_by_keys(mail.dedupe_key)
    return [row for row in rows if row.channel == Channel.PUSH]


def _is_told(pushes: list[Notification]) -> bool:
    return any(push.status in WENT_OUT for push in pushes)


@transaction_required
def _push(mail: Notification) -> None:
    try:
        queue_message(
            recipient_id=mail.recipient_id,
            template=mail.template,
            context=mail.context,
            dedupe_key=mail.dedupe_key,
            subject_type=mail.subject_type,
            subject_id=mail.subject_id,
            venue_id=mail.venue_id,
            reference=mail.reference,
            not_after=mail.not_after,
            channels=[Channel.PUSH],
        )
    except UnknownTemplate:
        # It cannot be written any more; a person reads what it was about.
        return
