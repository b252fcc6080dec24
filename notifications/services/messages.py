"""Messages are queued by the transaction that causes them, and withdrawn likewise."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from notifications.locks import lock_by_key
from notifications.models import Notification
from notifications.rendering import find_template
from notifications.services.history import record_move
from notifications.services.undeliverable import close_undeliverable
from notifications.states import NotificationStatus
from recovery import audit
from slotbase.accounts.models import User
from slotbase.accounts.services.profiles import request_profile
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit

BY = audit.Actor.system("messages")


@transaction_required
def queue_email(  # noqa: PLR0913 - what a message is about has no fewer parts
    *,
    recipient_id: UUID,
    template: str,
    context: Mapping[str, Any],
    dedupe_key: str,
    subject_type: str,
    subject_id: Any,
    venue_id: int | None = None,
    reference: str = "",
    not_after: datetime | None = None,
) -> None:
    """Owe somebody a mail; the same `dedupe_key` twice is one mail.

    Part of the transaction that is the reason for it: both commit, or neither does. It
    is sent by a worker, and waits for the address if it is not known yet. `context` has
    what `notifications.rendering.TEMPLATES` lists: ids, titles, amounts in minor units,
    times as ISO 8601 in UTC; nothing that identifies a person. From `not_after` on
    nobody wants the mail any more.

    Raises:
        UnknownTemplate: no such template, or its context lacks something.
    """
    new = Notification(
        recipient_id=recipient_id,
        template=template,
        template_version=find_template(template, context).version,
        context={**context},
        subject_type=subject_type,
        subject_id=str(subject_id),
        venue_id=venue_id,
        reference=reference,
        dedupe_key=dedupe_key,
        not_after=not_after,
    )
    Notification.objects.bulk_create([new], ignore_conflicts=True)
    if not Notification.objects.filter(pk=new.pk).exists():
        return
    record_move(new.pk, "", NotificationStatus.PENDING, actor=BY)
    if User.objects.filter(pk=recipient_id, email="").exists():
        request_profile(user_id=recipient_id)
    after_commit("notifications.send_email", id=new.pk)


@transaction_required
def is_queued(*, dedupe_key: str) -> bool:
    """Whether this message was queued, whatever became of it."""
    return Notification.objects.filter(dedupe_key=dedupe_key).exists()


@transaction_required
def withdraw(*, dedupe_key: str) -> None:
    """Nobody wants this message any more: it is not sent, if it is not sent yet.

    One that is on its way at this moment still arrives, but is not tried again.
    """
    message = lock_by_key(dedupe_key)
    if message is None:
        return
    row = Notification.objects.filter(pk=message.pk)
    if message.status == NotificationStatus.SENDING:
        row.update(not_after=Now())
    elif message.next_run_at is not None:
        to = NotificationStatus.CANCELLED
        record_move(message.pk, message.status, to, actor=BY)
        row.update(status=to, next_run_at=None, lease_token=None, lease_until=None)
        close_undeliverable(message, "Nobody wants it any more.")
