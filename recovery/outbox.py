"""The outbox: events that commit with what they tell of, one delivery per subscriber.

Lower parts tell upper ones by an event; they do not know who listens. An app subscribes
in its `handlers.py`. `recovery.deliveries` hands the events over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg.types.json import Jsonb

from recovery.models import OutboxEvent
from slotbase.lib import request_id
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.failpoints import failpoint
from slotbase.lib.ids import uuid7


@dataclass(frozen=True)
class Subscriber:
    """Who wants which events, and what happens with each.

    `handle(event)` runs in the transaction that marks the event as delivered, so its
    effect in the database happens once. `call(event)` runs before, outside of it, and
    may talk to a provider; the receiver must know a repeated event by its id.
    """

    name: str
    events: frozenset[str] | None = None  # None: all
    handle: Callable[[OutboxEvent], None] = lambda _: None
    call: Callable[[OutboxEvent], None] = lambda _: None
    provider: str = ""
    is_wanted: Callable[[], bool] = lambda: True
    #: Nobody misses it: retried silently, counted, dropped in the end without a case.
    is_expendable: bool = False
    retry_seconds: Callable[[], Sequence[int]] = lambda: settings.OUTBOX_RETRY_SECONDS

    def __post_init__(self) -> None:
        """Refuse a circle: each case about a lost event would be an event to lose."""
        if self.events is None and not self.is_expendable:
            raise ValueError(f"{self.name}: say which events it must have.")


_subscribers: dict[str, Subscriber] = {}


def subscribe(subscriber: Subscriber) -> None:
    """Deliver events to this subscriber from now on."""
    _subscribers[subscriber.name] = subscriber


def unsubscribe(name: str) -> None:
    """Make no more deliveries for this subscriber."""
    _subscribers.pop(name, None)


def subscribers() -> Mapping[str, Subscriber]:
    """All subscribers, by name."""
    return _subscribers


def event_sql(source: str) -> str:
    """CTEs that add an event, with its deliveries, for each row of `source`.

    `source` has the columns `id` (of the subject), `event_id` and `data`. For
    `publish`, and for statements that make a row and its event at once.
    """
    return f"""
        event AS (
            INSERT INTO recovery_outboxevent
                (id, type, subject_type, subject_id, data, request_id)
            SELECT source.event_id, %(event_type)s, %(event_subject)s, source.id::text,
                source.data, %(request_id)s
            FROM {source} AS source RETURNING id),
        delivery AS (
            INSERT INTO recovery_eventdelivery (event_id, subscriber)
            SELECT event.id, subscriber
            FROM event, unnest(%(subscribers)s::text[]) AS subscriber)
    """  # noqa: S608 - `source` is our own text


def event_parameters(event: str, *, subject: str) -> dict[str, Any]:
    """The parameters of `event_sql`."""
    return {
        "event_type": event,
        "event_subject": subject,
        "subscribers": _names_of_subscribers(event),
        "request_id": request_id.current(),
    }


_PUBLISH = f"""
WITH source AS (
    SELECT unnest(%(ids)s::text[]) AS id, unnest(%(event_ids)s::uuid[]) AS event_id,
        unnest(%(data)s::jsonb[]) AS data),
{event_sql("source")}
SELECT count(*) FROM event
"""  # noqa: S608 - only our own text


@transaction_required
def publish(
    event: str, *, subject: str, facts: Mapping[Any, Mapping[str, Any]]
) -> None:
    """Tell that this happened to each of these subjects; `facts` has what by their id.

    Facts are ids, times, states and amounts: nothing that identifies a person.
    """
    parameters = event_parameters(event, subject=subject) | {
        "ids": [str(each) for each in facts],
        "event_ids": [uuid7() for _ in facts],
        "data": [Jsonb(dict(each)) for each in facts.values()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_PUBLISH, parameters)
    wake_subscribers(event)


def wake_subscribers(event: str) -> None:
    """After the commit, let workers look at once; the sweep would find it, too."""
    failpoint("outbox.published")
    for name in _names_of_subscribers(event):
        after_commit("recovery.deliver_events", subscriber=name)


def _names_of_subscribers(event: str) -> list[str]:
    return [
        each.name
        for each in _subscribers.values()
        if (each.events is None or event in each.events) and each.is_wanted()
    ]
