"""What became of a mail after it was sent, as Resend tells by webhook."""

from dataclasses import dataclass
from enum import StrEnum

from notifications.locks import lock_mail_of
from notifications.models import Notification
from notifications.services.fallback import tell_otherwise
from notifications.services.history import record_move
from notifications.services.suppression import find_suppression, suppress
from notifications.services.undeliverable import close_undeliverable
from notifications.states import (
    NOTIFICATION_MOVES,
    WENT_OUT,
    NotificationStatus,
    SuppressionReason,
)
from recovery import audit
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import transaction_required

BY = audit.Actor.system("resend")
# It may have gone out, and we have no answer that says so.
UNSURE = frozenset(
    {
        NotificationStatus.SENDING,
        NotificationStatus.RETRY,
        NotificationStatus.UNKNOWN,
    }
)
# So may these, if they were tried before nobody wanted them any more.
UNWANTED = frozenset({NotificationStatus.CANCELLED, NotificationStatus.EXPIRED})


@dataclass(frozen=True)
class Fact:
    """What a webhook tells of a mail; `to` is empty if only that it went out."""

    provider_id: str
    #: The id of our row, from the tag; empty if it has none.
    message_id: str
    to: NotificationStatus | None = None
    suppresses: SuppressionReason | None = None


class Result(StrEnum):
    """What came of a fact."""

    CHANGED = "changed"
    KNOWN = "known"
    NOT_OURS = "not ours"
    TOO_EARLY = "too early"


@transaction_required
def record_fact(fact: Fact) -> Result:
    """Record what became of a mail; facts may come twice, late and in any order.

    A mail that is being sent at this moment is TOO_EARLY: whoever sends it knows soon.
    """
    mail = lock_mail_of(provider_id=fact.provider_id, message_id=fact.message_id)
    if mail is None:
        return Result.NOT_OURS
    if mail.lease_until is not None and mail.lease_until > read_clock():
        return Result.TOO_EARLY
    # Whatever we know of the mail: its address is not written to again.
    is_news = _suppress(mail, fact.suppresses)
    is_news |= _record_sent(mail, fact.provider_id)
    is_news |= mail.status in WENT_OUT and _record_state(mail, fact.to)
    return Result.CHANGED if is_news else Result.KNOWN


@transaction_required
def _record_sent(mail: Notification, provider_id: str) -> bool:
    """That there is news of it proves that it went out."""
    if not _is_unsure(mail):
        return False
    to = NotificationStatus.SENT
    record_move(mail.pk, mail.status, to, actor=BY, reason="Resend tells of it")
    close_undeliverable(mail, "It was sent after all.")
    mail.status, mail.provider_id = to, provider_id
    Notification.objects.filter(pk=mail.pk).update(
        status=to,
        provider_id=provider_id,
        sent_at=Now(),
        unsure_since=None,
        next_run_at=None,
        lease_token=None,
        lease_until=None,
        last_error="",
    )
    return True


def _is_unsure(mail: Notification) -> bool:
    is_unwanted_yet_tried = mail.status in UNWANTED and mail.unsure_since is not None
    return mail.status in UNSURE or is_unwanted_yet_tried


@transaction_required
def _record_state(mail: Notification, to: NotificationStatus | None) -> bool:
    if to is None or to not in NOTIFICATION_MOVES[mail.status]:
        return False
    if _came_back_for_good(mail):
        return False
    record_move(mail.pk, mail.status, to, actor=BY)
    Notification.objects.filter(pk=mail.pk).update(status=to)
    mail.status = to
    if to == NotificationStatus.BOUNCED:
        _say_that_it_came_back(mail)
    if to == NotificationStatus.DELIVERED:
        close_undeliverable(mail, "It was delivered after all.")
    return True


def _came_back_for_good(mail: Notification) -> bool:
    """Whether its bounce was a permanent one: those put the address on the list."""
    is_back = mail.status == NotificationStatus.BOUNCED
    return is_back and find_suppression(mail.address_snapshot) is not None


@transaction_required
def _say_that_it_came_back(mail: Notification) -> None:
    tell_otherwise(mail, cause="the mail came back")


@transaction_required
def _suppress(mail: Notification, reason: SuppressionReason | None) -> bool:
    address = mail.address_snapshot
    return reason is not None and suppress(
        address=address, reason=reason, user_id=mail.recipient_id
    )
