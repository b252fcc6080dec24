"""What recovery does with events: it passes all of them on to analytics."""

from django.conf import settings

from recovery.models import OutboxEvent
from recovery.outbox import Subscriber, subscribe
from slotbase.providers.analytics.client import post_event


def _send(event: OutboxEvent) -> None:
    if not settings.ANALYTICS_URL:
        return  # switched off meanwhile: nobody wants it any more
    post_event(
        {
            "id": str(event.pk),
            "type": event.type,
            "subject_type": event.subject_type,
            "subject_id": event.subject_id,
            "at": event.created_at.isoformat(),
            "data": event.data,
        }
    )


subscribe(
    Subscriber(
        "analytics",
        call=_send,
        provider="analytics",
        is_wanted=lambda: bool(settings.ANALYTICS_URL),
        is_expendable=True,
        retry_seconds=lambda: settings.ANALYTICS_RETRY_SECONDS,
    )
)
