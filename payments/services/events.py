"""Stripe's own list of events, read now and then: webhooks may never have come."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings

from payments.models import Reconciliation
from payments.services.stamps import now_at_stripe
from recovery import inbox, retries, rowqueue
from recovery.models import InboxEvent
from recovery.rowqueue import Failure
from slotbase.lib.clock import Now
from slotbase.providers.envelope import Envelope
from slotbase.providers.stripe import client

NAME = "events"
OVERLAP = timedelta(hours=1)  # Stripe may list an event some time after it happened
FIRST_LOOK = timedelta(days=2)

log = structlog.get_logger(__name__)


def reconcile_events(**only: Any) -> int:
    """Put into the inbox what Stripe tried to tell and we never heard, if it is time.

    Returns how often the list was read: once or not at all.
    """
    if not settings.STRIPE_SECRET_KEY:
        return 0  # nothing is paid online here
    if not Reconciliation.objects.filter(name=NAME).exists():
        Reconciliation.objects.bulk_create(
            [Reconciliation(name=NAME)], ignore_conflicts=True
        )
    return rowqueue.run_due(QUEUE, name=NAME, **only)


def _read_list(row: Reconciliation) -> datetime:
    """Store what is new; returns until when we know now."""
    began_at = now_at_stripe()
    since = row.seen_until - OVERLAP if row.seen_until else began_at - FIRST_LOOK
    unheard = _unheard(list(client.list_events(created_from=since)))
    # The oldest first, as they would have come.
    for envelope in reversed(unheard):
        inbox.store(envelope)
    if unheard:
        log.warning("webhooks_recovered", provider="stripe", count=len(unheard))
    return began_at


def _unheard(listed: list[Envelope]) -> list[Envelope]:
    wanted = [each for each in listed if inbox.is_handled(each.provider, each.type)]
    ids = [each.event_id for each in wanted]
    known = InboxEvent.objects.filter(provider="stripe", event_id__in=ids)
    heard = set(known.values_list("event_id", flat=True))
    return [each for each in wanted if each.event_id not in heard]


def _record(_: Reconciliation, seen_until: datetime) -> Mapping[str, Any]:
    every = timedelta(seconds=settings.STRIPE_RECONCILE_SECONDS)
    return {"seen_until": seen_until, "next_run_at": Now() + every, "attempts": 0}


def _fail(
    row: Reconciliation,
    failure: Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    """It is read again in an hour, whatever happens; then also what was missed."""
    if not is_over:
        return {}
    title = "Stripe's list of events cannot be read"
    rowqueue.open_dead_letter(QUEUE, row, failure, title=title)
    every = timedelta(seconds=settings.STRIPE_RECONCILE_SECONDS)
    return {"next_run_at": Now() + every, "attempts": 0}


QUEUE = rowqueue.RowQueue(
    name="stripe_events",
    model=Reconciliation,
    call=_read_list,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: settings.OUTBOX_RETRY_SECONDS,
    provider="stripe",
)
retries.register(Reconciliation.subject(), retries.of_rows(Reconciliation))
