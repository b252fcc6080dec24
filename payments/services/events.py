"""Stripe's own list of events, read now and then: webhooks may never have come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q

from payments.models import CardPayment, Reconciliation, Refund
from payments.services.installation import bears_our_mark
from payments.services.lost import has_row, notice_intent_now, notice_refund_now
from payments.services.stamps import now_at_stripe
from recovery import inbox, retries, rowqueue, senders
from recovery.models import InboxEvent
from recovery.rowqueue import Failure
from slotbase.lib.clock import Now, read_clock
from slotbase.providers.envelope import Envelope
from slotbase.providers.stripe import client

NAME = "events"
OVERLAP = timedelta(hours=1)  # Stripe may list an event some time after it happened
FIRST_LOOK = timedelta(days=2)
MOST_LOOKS = 20  # at objects that look lost and are not, in one reading
WAITS = (5, 15, 30, 60, 60, 60, 60, 60)

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


def read_first() -> None:
    """Let nothing be sent before the list was read: a process starts, and who knows.

    It may be that the database was restored while nobody was at work.
    """
    Reconciliation.objects.filter(name=NAME).update(read_at=None, next_run_at=Now())


def has_read_lately() -> bool:
    """Whether what Stripe has of ours was looked at since we began, and lately."""
    if not settings.STRIPE_SECRET_KEY:
        return True
    row = Reconciliation.objects.filter(name=NAME)
    stale = timedelta(seconds=2 * settings.STRIPE_RECONCILE_SECONDS)
    is_stale = Q(read_at=None) | Q(read_at__lte=Now() - stale)
    return not row.filter(is_stale).exists()


senders.register_look("stripe", has_read_lately)


@dataclass(frozen=True)
class Read:
    """Until when we know what Stripe tells, by its clock, and by ours."""

    seen_until: datetime
    read_at: datetime


def _read_list(row: Reconciliation) -> Read:
    """Store what is new, after a look at whether we have forgotten something."""
    read = Read(now_at_stripe(), read_clock())
    since = row.seen_until - OVERLAP if row.seen_until else read.seen_until - FIRST_LOOK
    listed = list(client.list_events(created_from=since))
    _notice_what_is_lost(listed)
    unheard = _unheard(listed)
    # The oldest first, as they would have come.
    for envelope in reversed(unheard):
        inbox.store(envelope)
    if unheard:
        log.warning("webhooks_recovered", provider="stripe", count=len(unheard))
    return read


def _notice_what_is_lost(listed: list[Envelope]) -> None:
    """Before anything is stored: those who process it may begin at once.

    An event tells what was; whether that was lost is decided by what is now.
    """
    looked_at: set[str] = set()
    for told in map(_object, listed):
        if senders.are_stopped() or len(looked_at) >= MOST_LOOKS:
            return
        if told.get("id") not in looked_at and (kind := _lost_kind(told)):
            looked_at.add(told["id"])
            LOOK_CLOSER[kind](told["id"])


def _object(envelope: Envelope) -> dict[str, Any]:
    data = envelope.payload.get("data")
    found = data.get("object") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _lost_kind(told: dict[str, Any]) -> str:
    """Of what kind it is, if it looks as if we had made it and forgotten it."""
    kind, metadata, id_ = (told.get(each) for each in ("object", "metadata", "id"))
    is_known_kind = kind in LOOK_CLOSER and isinstance(id_, str)
    if not (is_known_kind and isinstance(metadata, dict) and bears_our_mark(metadata)):
        return ""
    name, model = NAMED_BY[str(kind)]
    return "" if has_row(model, str(id_), str(metadata.get(name))) else str(kind)


NAMED_BY: dict[str, tuple[str, Any]] = {
    "payment_intent": ("card_payment", CardPayment),
    "refund": ("refund", Refund),
}
LOOK_CLOSER = {
    "payment_intent": lambda id_: notice_intent_now(client.retrieve_intent(id_)),
    "refund": lambda id_: notice_refund_now(client.retrieve_refund(id_)),
}


def _unheard(listed: list[Envelope]) -> list[Envelope]:
    wanted = [each for each in listed if inbox.is_handled(each.provider, each.type)]
    ids = [each.event_id for each in wanted]
    known = InboxEvent.objects.filter(provider="stripe", event_id__in=ids)
    heard = set(known.values_list("event_id", flat=True))
    return [each for each in wanted if each.event_id not in heard]


def _record(_: Reconciliation, read: Read) -> Mapping[str, Any]:
    every = timedelta(seconds=settings.STRIPE_RECONCILE_SECONDS)
    return {**vars(read), "next_run_at": Now() + every, "attempts": 0, "deaths": 0}


def _fail(
    row: Reconciliation,
    failure: Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    """It is tried again, whatever happens; then also what was missed is read.

    Soon: senders wait for it.
    """
    if not is_over:
        return {}
    title = "Stripe's list of events cannot be read: refunds and payments wait for it"
    rowqueue.open_dead_letter(QUEUE, row, failure, title=title)
    return {
        "next_run_at": Now() + timedelta(seconds=WAITS[-1]),
        "attempts": len(WAITS),
        "deaths": 0,
    }


QUEUE = rowqueue.RowQueue(
    name="stripe_events",
    model=Reconciliation,
    call=_read_list,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: WAITS,
    provider="stripe",
)
retries.register(Reconciliation.subject(), retries.of_rows(Reconciliation))
