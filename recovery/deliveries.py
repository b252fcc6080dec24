"""Hands events of the outbox to their subscribers, each at its own pace."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef

from recovery import audit, retries, rowqueue
from recovery.models import EventDelivery, OutboxEvent
from recovery.outbox import Subscriber, subscribers
from recovery.states import DELIVERY_MOVES, DeliveryStatus
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import InvalidState
from slotbase.lib.states import require_move

log = structlog.get_logger(__name__)


def deliver_events(subscriber: str) -> int:
    """Deliver what is due for one subscriber; returns how many were tried.

    One that this version of the code does not know is left to the version that does.
    """
    known = subscribers().get(subscriber)
    if known is None:
        log.warning("unknown_subscriber", subscriber=subscriber)
        return 0
    return rowqueue.run_due(queue_of(known), subscriber=subscriber)


def queue_of(subscriber: Subscriber) -> rowqueue.RowQueue[EventDelivery]:
    """The deliveries of one subscriber, as work to do."""
    return rowqueue.RowQueue(
        name="outbox",
        model=EventDelivery,
        call=lambda delivery: subscriber.call(delivery.event),
        record=lambda delivery, _: _hand_over(subscriber, delivery),
        fail=lambda delivery, failure, is_over: (
            _give_up(subscriber, delivery, failure) if is_over else {}
        ),
        retry_seconds=lambda _: subscriber.retry_seconds(),
        provider=subscriber.provider,
    )


def _hand_over(subscriber: Subscriber, delivery: EventDelivery) -> Mapping[str, Any]:
    subscriber.handle(delivery.event)
    require_move(DELIVERY_MOVES, delivery.status, DeliveryStatus.DONE)
    return {"status": DeliveryStatus.DONE}


def _give_up(
    subscriber: Subscriber, delivery: EventDelivery, failure: rowqueue.Failure
) -> Mapping[str, Any]:
    is_missed = not subscriber.is_expendable
    to = DeliveryStatus.DEAD if is_missed else DeliveryStatus.DROPPED
    require_move(DELIVERY_MOVES, delivery.status, to)
    if is_missed:
        title = f"{delivery.event.type} did not reach {subscriber.name}"
        rowqueue.open_dead_letter(queue_of(subscriber), delivery, failure, title=title)
    return {"status": to}


@retry_on_conflict
def retry_delivery(*, delivery_id: int, staff_id: UUID) -> None:
    """A person lets a dead delivery be tried anew, with all its attempts.

    Raises:
        InvalidState: it is not dead.
    """
    dead = EventDelivery.objects.filter(pk=delivery_id, status=DeliveryStatus.DEAD)
    if not dead.update(
        status=DeliveryStatus.PENDING, next_run_at=Now(), attempts=0, deaths=0
    ):
        raise InvalidState("Only a dead delivery can be tried again.")
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="delivery.retried",
        subject="eventdelivery",
        ids=[delivery_id],
        move=(DeliveryStatus.DEAD, DeliveryStatus.PENDING),
    )


@dataclass(frozen=True)
class Backlog:
    """What a subscriber still has to get, counted up to COUNTED deliveries."""

    subscriber: str
    waiting: int
    failing: int

    @property
    def is_capped(self) -> bool:
        """Whether there may be more."""
        return self.waiting == COUNTED


COUNTED = 1000
_COUNT = """
SELECT name, count(waiting.id), count(waiting.id) FILTER (WHERE last_error <> '')
FROM unnest(%s::text[]) AS name LEFT JOIN LATERAL (
    SELECT id, last_error FROM recovery_eventdelivery
    WHERE subscriber = name AND next_run_at IS NOT NULL
    ORDER BY next_run_at LIMIT %s) AS waiting ON true
GROUP BY name ORDER BY name
"""


def count_waiting() -> list[Backlog]:
    """For each subscriber: deliveries that wait, and how many of them failed before."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [list(subscribers()), COUNTED])
        return [Backlog(*row) for row in cursor.fetchall()]


@retry_on_conflict
def purge_delivered_events(*, limit: int) -> int:
    """Forget events that everybody has had for OUTBOX_RETENTION_DAYS; returns how many.

    An event stays while one of its deliveries is pending or dead.
    """
    age = timedelta(days=settings.OUTBOX_RETENTION_DAYS)
    owed = EventDelivery.objects.filter(
        event=OuterRef("pk"), status__in=[DeliveryStatus.PENDING, DeliveryStatus.DEAD]
    )
    old = OutboxEvent.objects.filter(created_at__lte=Now() - age).exclude(Exists(owed))
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    EventDelivery.objects.filter(event__in=ids).delete()
    return OutboxEvent.objects.filter(pk__in=ids).delete()[0]


def _is_dead(delivery_id: str) -> bool:
    dead = EventDelivery.objects.filter(status=DeliveryStatus.DEAD)
    return dead.filter(pk=delivery_id).exists()


retries.register(
    EventDelivery.subject(),
    retries.Retry(
        _is_dead,
        lambda delivery_id, staff_id: retry_delivery(
            delivery_id=int(delivery_id), staff_id=staff_id
        ),
    ),
)
