"""What Celery may ask of recovery. Every task may run twice, or never, at any time."""

from collections.abc import Callable

from celery import current_task, shared_task
from django.conf import settings

from recovery import (
    alerts,
    approvals,
    cases,
    counts,
    dead_letters,
    deliveries,
    heartbeats,
    idempotency,
    inbox,
    lookout,
    notices,
    personal,
    runs,
    violations,
    workflows,
)


@shared_task(name="recovery.deliver_events")
def deliver_events(*, subscriber: str, **_: object) -> None:
    """Deliver what is due for one subscriber of the outbox."""
    deliveries.deliver_events(subscriber)


@shared_task(name="recovery.process_inbox")
def process_inbox(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Process one webhook, or all that are due."""
    inbox.process_inbox(**({"id": id} if id else {}))


@shared_task(name="recovery.advance_workflows")
def advance_workflows(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Advance one workflow, or all that are due, and report those that are late."""
    workflows.advance(**({"id": id} if id else {}))
    if not id:
        _in_batches(runs.report_late_runs)


@shared_task(name="recovery.retry_dead_letters")
def retry_dead_letters(**_: object) -> None:
    """Try again tasks that failed and have no row of their own."""
    dead_letters.retry_due()


@shared_task(name="recovery.give_back_stale_claims")
def give_back_stale_claims(**_: object) -> None:
    """What was claimed and then forgotten is free again; so is what was proposed."""
    _in_batches(cases.give_back_stale_claims)
    _in_batches(approvals.expire_due)


@shared_task(name="recovery.look_for_alerts")
def look_for_alerts(**_: object) -> None:
    """Find out of what somebody should know, and write what they are told."""
    lookout.look()


@shared_task(name="recovery.deliver_notices")
def deliver_notices(*, channel: str, **_: object) -> None:
    """Tell what is due by one channel."""
    lookout.TELL[channel]()


@shared_task(name="recovery.record_heartbeat")
def record_heartbeat(*, queue: str, **_: object) -> None:
    """A worker is alive and serves this queue."""
    heartbeats.record_heartbeat(f"{current_task.request.hostname} {queue}")


@shared_task(name="recovery.purge_history")
def purge_history(**_: object) -> None:
    """Forget what was kept long enough, such as answers, events and payloads."""
    _in_batches(idempotency.purge_old_records)
    _in_batches(deliveries.purge_delivered_events)
    _in_batches(inbox.empty_old_webhooks)
    personal.hide_old_contact_data()
    _in_batches(runs.purge_finished_runs)
    _in_batches(dead_letters.purge_ended)
    _in_batches(alerts.purge_old_alerts)
    _in_batches(notices.purge_old_notices)
    heartbeats.forget_old_heartbeats()
    counts.forget_old_counts()


@shared_task(name="recovery.check_invariants")
def check_invariants(**_: object) -> None:
    """Check what is new or open; a violation stands in a case until it is gone."""
    violations.check_recent()


@shared_task(name="recovery.check_all_rows")
def check_all_rows(**_: object) -> None:
    """Check the invariants over all rows, each once a night."""
    violations.check_all_due()


def _in_batches(sweep: Callable[..., int]) -> None:
    limit = settings.SWEEP_BATCH_SIZE
    while sweep(limit=limit) == limit:
        pass
