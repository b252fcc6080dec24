"""Trouble to look at in the back office, made by the engines themselves."""

from typing import Any

from django.test import override_settings

from recovery import cases, deliveries, inbox, outbox
from recovery.models import Case, EventDelivery, InboxEvent
from slotbase.lib.db import retry_on_conflict
from slotbase.providers.webhooks import Envelope
from tests.row_queue import delivery_of, publish

TYPE = "tester.happened"


def fail(*_: Any) -> None:
    raise ValueError


def store_webhook(event_id: str = "evt_1", **over: Any) -> InboxEvent:
    """A webhook that nobody has processed yet."""
    fields: dict[str, Any] = {
        "provider": "stripe",
        "event_id": event_id,
        "type": TYPE,
        "created_at": None,
        "account": "",
        "api_version": "2026-01-28",
        "livemode": False,
        "payload": {"id": event_id, "object": {"amount": 1200}},
    }
    inbox.store(Envelope(**{**fields, **over}))
    return InboxEvent.objects.get(event_id=event_id)


def fail_webhook(event_id: str = "evt_1", *, gives_up: bool = True, **over: Any) -> Any:
    """The case of a webhook that failed: for good, or with a next attempt to come.

    Its cause is gone: nobody handles such webhooks, so a replay finds nothing to do.
    """
    event = store_webhook(event_id, **over)
    handler = inbox.Handler(
        "stripe", frozenset({event.type}), apply=fail, is_critical=not gives_up
    )
    inbox.register(handler)
    try:
        with override_settings(INBOX_RETRY_SECONDS=[] if gives_up else [600]):
            inbox.process_inbox(id=event.pk)
    finally:
        inbox.unregister(handler)
    return Case.objects.get(subject_id=str(event.pk))


def fail_delivery(subject: str = "7", name: str = "tester") -> EventDelivery:
    """An event that its subscriber could not take, in the end."""
    outbox.subscribe(
        outbox.Subscriber(
            name,
            events=frozenset({"booking.hold.created"}),
            handle=fail,
            retry_seconds=list,
        )
    )
    try:
        publish(subject)
        deliveries.deliver_events(name)
    finally:
        outbox.unsubscribe(name)
    return delivery_of(subject)


@retry_on_conflict
def open_case(fingerprint: str = "invariant_violation:I1", **over: Any) -> Case:
    """Any other case."""
    fields: dict[str, Any] = {
        "kind": "invariant_violation",
        "title": "I1 is broken: No unit is sold twice.",
        "subject_type": "invariant",
        "subject_id": "I1",
        "details": {"rows": ["12 34", "56 78"]},
    }
    opening = cases.Opening(fingerprint=fingerprint, **{**fields, **over})
    return Case.objects.get(pk=cases.open_case(opening))
