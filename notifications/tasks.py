"""What Celery may ask of notifications. Every task may run twice, or never."""

from celery import shared_task
from django.conf import settings

from notifications.services import device_retention, pushing, retention, sending


@shared_task(name="notifications.send_email")
def send_email(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Send one mail, or all that are due."""
    if id:
        sending.send_due(id=id)
    else:
        sending.sweep()


@shared_task(name="notifications.send_push")
def send_push(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Send one push, or all that are due."""
    pushing.send_due(**({"id": id} if id else {}))


@shared_task(name="notifications.tidy_devices")
def tidy_devices(**_: object) -> None:
    """Retire devices that nobody uses and forget those that are gone, by batches."""
    limit = settings.SWEEP_BATCH_SIZE
    while device_retention.retire_unseen_devices(limit=limit) == limit:
        pass
    for status in device_retention.FORGOTTEN_AFTER:
        while (
            device_retention.forget_ended_devices(status=status, limit=limit) == limit
        ):
            pass


@shared_task(name="notifications.empty_old_mails")
def empty_old_mails(**_: object) -> None:
    """Forget text and address of mails that are old, batch by batch."""
    limit = settings.SWEEP_BATCH_SIZE
    while retention.empty_old_mails(limit=limit) == limit:
        pass
