"""The inbox: webhooks are stored, answered, and then processed from their row.

An answer of 200 means that the row is durable, nothing more. What happens is decided
later, from the row, by the handler of its type; upper apps register theirs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from recovery import audit, cases, rowqueue
from recovery.locks import lock_inbox_event
from recovery.models import InboxEvent
from recovery.states import INBOX_MOVES, CaseSeverity, InboxStatus
from slotbase.lib import request_id
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.failpoints import failpoint
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move
from slotbase.providers.webhooks import Envelope


class Ignored(Exception):
    """A handler found that there is nothing to do; its text says why, in our words."""


class NotPlaced(Exception):
    """What it is about is not known here, or not yet: it is tried again for a while."""


@dataclass(frozen=True)
class Handler:
    """What to do with webhooks of these types.

    `fetch(event)` asks the provider for the object as it is now, outside of any
    transaction: the event is only a hint. `apply(event, fetched)` runs in the
    transaction that marks the event as processed. Where it still raises NotPlaced in
    the end, `give_up(event, fetched)` may see to what nobody knows.
    """

    provider: str
    types: frozenset[str]
    apply: Callable[[InboxEvent, Any], None]
    fetch: Callable[[InboxEvent], Any] = lambda _: None
    is_critical: bool = False
    give_up: Callable[[InboxEvent, Any], None] = lambda _event, _fetched: None


_handlers: dict[tuple[str, str], Handler] = {}


def register(*handlers: Handler) -> None:
    """Process webhooks with these handlers from now on."""
    for handler in handlers:
        _handlers.update({(handler.provider, each): handler for each in handler.types})


def unregister(handler: Handler) -> None:
    """Forget a handler."""
    for each in handler.types:
        _handlers.pop((handler.provider, each), None)


_STORE = """
INSERT INTO recovery_inboxevent (id, provider, account, event_id, type, api_version,
    livemode, sent_at, payload, request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


@retry_on_conflict
def store(envelope: Envelope) -> bool:
    """Make a webhook durable; says whether it is new. The same one twice is one row.

    Raises:
        OperationalError: it cannot be stored now; let the provider send it again.
    """
    event_id = uuid7()
    values: list[Any] = [
        *(event_id, envelope.provider, envelope.account, envelope.event_id),
        *(envelope.type, envelope.api_version[:64], envelope.livemode),
        *(envelope.created_at, Jsonb(envelope.payload)),
        request_id.current(),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, values)
        is_new = bool(cursor.rowcount)
    failpoint("inbox.stored")
    if is_new:
        after_commit("recovery.process_inbox", id=event_id)
    return is_new


def process_inbox(**only: Any) -> int:
    """Process the webhooks that are due; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


def is_handled(provider: str, type: str) -> bool:  # noqa: A002 - of the webhook
    """Whether any part of SlotBase wants webhooks of this type."""
    return (provider, type) in _handlers


def _handler_of(event: InboxEvent) -> Handler | None:
    return _handlers.get((event.provider, event.type))


def _why_ignored(event: InboxEvent) -> str:
    if event.livemode is not None and event.livemode != settings.STRIPE_LIVEMODE:
        return "livemode: test and live data do not mix"
    return "" if _handler_of(event) else "no part of SlotBase handles this type"


def _fetch(event: InboxEvent) -> Any:
    handler = _handler_of(event)
    return handler.fetch(event) if handler and not _why_ignored(event) else None


def _apply(event: InboxEvent, fetched: Any) -> Mapping[str, Any]:
    reason, handler = _why_ignored(event), _handler_of(event)
    if not reason and handler:
        try:
            handler.apply(event, fetched)
        except Ignored as why:
            reason = str(why)
        except NotPlaced:
            if wait := _wait_to_place(event):
                return wait
            handler.give_up(event, fetched)
            reason = "it belongs to nothing that is known here"
    if event.last_error:
        cases.close_by_itself(fingerprint_of(event.pk), "It was processed.")
        refused_us = rowqueue.fingerprint_of(event.provider)
        cases.close_by_itself(refused_us, "It works again.")
    if reason:
        require_move(INBOX_MOVES, event.status, InboxStatus.IGNORED)
        return {"status": InboxStatus.IGNORED, "ignored_because": reason[:200]}
    require_move(INBOX_MOVES, event.status, InboxStatus.PROCESSED)
    return {"status": InboxStatus.PROCESSED}


def _wait_to_place(event: InboxEvent) -> Mapping[str, Any]:
    """When to try again; nothing once all attempts are used."""
    waits = settings.INBOX_RETRY_SECONDS
    if event.attempts > len(waits):
        return {}
    require_move(INBOX_MOVES, event.status, InboxStatus.RETRY)
    wait = rowqueue.with_jitter(waits[event.attempts - 1])
    return {"status": InboxStatus.RETRY, "next_run_at": Now() + wait}


def _fail(
    event: InboxEvent,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    handler = _handler_of(event)
    is_critical = handler is not None and handler.is_critical
    if is_over or is_critical:
        severity = CaseSeverity.CRITICAL if is_critical else None
        _open_failure_case(event, failure, severity)
    to = InboxStatus.DEAD if is_over else InboxStatus.RETRY
    require_move(INBOX_MOVES, event.status, to)
    return {"status": to}


@transaction_required
def _open_failure_case(
    event: InboxEvent, failure: rowqueue.Failure, severity: CaseSeverity | None
) -> None:
    cases.open_case(
        cases.Opening(
            kind="webhook_failure",
            fingerprint=fingerprint_of(event.pk),
            title=f"{event.provider} {event.type} could not be processed",
            subject_type="inboxevent",
            subject_id=str(event.pk),
            reference=event.event_id[:64],
            cause=failure.error,
            details={"attempts": event.attempts},
            severity=severity,
        )
    )


def fingerprint_of(event_id: UUID) -> str:
    """Of the case about a webhook that could not be processed."""
    return f"webhook_failure:{event_id}"


QUEUE = rowqueue.RowQueue(
    name="inbox",
    model=InboxEvent,
    call=_fetch,
    record=_apply,
    fail=_fail,
    retry_seconds=lambda _: settings.INBOX_RETRY_SECONDS,
    claimed={"status": InboxStatus.PROCESSING},
)


@retry_on_conflict
def replay(*, event_id: UUID, staff_id: UUID) -> None:
    """A person lets a webhook be processed again, with all its attempts.

    One that waits for its next attempt has it at once.

    Raises:
        InvalidState: it is still being processed.
        ValidationFailed: its payload is gone.
    """
    event, to = lock_inbox_event(event_id), InboxStatus.RECEIVED
    if event.status == InboxStatus.RETRY:
        to = InboxStatus.RETRY
    else:
        require_move(INBOX_MOVES, event.status, to)
    if event.payload is None:
        raise ValidationFailed(payload="It is too old: its payload is gone.")
    InboxEvent.objects.filter(pk=event.pk).update(
        status=to,
        ignored_because="",
        next_run_at=Now(),
        attempts=0,
        deaths=0,
    )
    _audit_by_staff(event, "webhook.replayed", to, staff_id)
    after_commit("recovery.process_inbox", id=event.pk)


@retry_on_conflict
def ignore(*, event_id: UUID, staff_id: UUID, reason: str) -> None:
    """A person decides that nothing is to be done about a webhook; closes its case.

    Raises:
        InvalidState: it was processed, or is being processed.
        ValidationFailed: without a reason.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why nothing is to be done.")
    # The case first, as the engine does (lock order).
    cases.close_by_itself(fingerprint_of(event_id), "The webhook is ignored.")
    event = lock_inbox_event(event_id)
    if event.status == InboxStatus.PROCESSING:
        raise InvalidState("A worker is processing it.")
    require_move(INBOX_MOVES, event.status, InboxStatus.IGNORED)
    InboxEvent.objects.filter(pk=event.pk).update(
        status=InboxStatus.IGNORED,
        ignored_because=reason[:200],
        next_run_at=None,
        lease_token=None,
        lease_until=None,
    )
    _audit_by_staff(event, "webhook.ignored", InboxStatus.IGNORED, staff_id)


@transaction_required
def _audit_by_staff(event: InboxEvent, action: str, to: str, staff_id: UUID) -> None:
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action=action,
        subject="inboxevent",
        ids=[event.pk],
        move=(event.status, to),
    )


@retry_on_conflict
def empty_old_webhooks(*, limit: int) -> int:
    """Drop payloads after INBOX_RETENTION_DAYS; keys stay. Returns how many.

    The payload of a webhook that is still open stays with it.
    """
    age = timedelta(days=settings.INBOX_RETENTION_DAYS)
    old = InboxEvent.objects.filter(
        payload__isnull=False,
        received_at__lte=Now() - age,
        status__in=[InboxStatus.PROCESSED, InboxStatus.IGNORED],
    )
    ids = list(old.order_by("received_at").values_list("pk", flat=True)[:limit])
    # The conditions once more: staff may replay one of them at this moment.
    return old.filter(pk__in=ids).update(payload=None)
