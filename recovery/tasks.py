"""What Celery may ask of recovery."""

from celery import shared_task
from django.conf import settings

from recovery import idempotency, invariants


@shared_task(name="recovery.purge_idempotency")
def purge_idempotency(**_: object) -> None:
    """Forget answers after IDEMPOTENCY_RETENTION_HOURS, batch by batch."""
    limit = settings.SWEEP_BATCH_SIZE
    while idempotency.purge_old_records(limit=limit) == limit:
        pass


@shared_task(name="recovery.check_invariants")
def check_invariants(**_: object) -> None:
    """Check the invariants and log each violation as an error."""
    invariants.report_violations()
