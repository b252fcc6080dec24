"""What Celery may ask of bookings. Every task may run twice, or never, at any time."""

from celery import shared_task
from django.conf import settings

from bookings.services import closures, endings, enhancing, expiring, holds, waitlist


@shared_task(name="bookings.expire_holds")
def expire_holds(**_: object) -> None:
    """Tidy up holds that have run out, batch by batch."""
    limit = settings.SWEEP_BATCH_SIZE
    while holds.expire_due_holds(limit=limit) == limit:
        pass


@shared_task(name="bookings.warn_of_expiring_holds")
def warn_of_expiring_holds(**_: object) -> None:
    """Tell who holds a slot that it will be lost in a moment, batch by batch."""
    limit = settings.SWEEP_BATCH_SIZE
    while expiring.warn_of_expiring_holds(limit=limit) == limit:
        pass


@shared_task(name="bookings.complete_bookings")
def complete_bookings(**_: object) -> None:
    """Complete bookings that are over, batch by batch."""
    limit = settings.SWEEP_BATCH_SIZE
    while endings.complete_ended_bookings(limit=limit) == limit:
        pass


@shared_task(name="bookings.tidy_closures")
def tidy_closures(**_: object) -> None:
    """Closures that are over let go; others take what holds left inside of them."""
    closures.drop_past_claims()
    closures.take_what_holds_left()


@shared_task(name="bookings.purge_holds")
def purge_holds(**_: object) -> None:
    """Delete holds that came to nothing long ago."""
    holds.purge_old_holds(limit=settings.SWEEP_BATCH_SIZE)


@shared_task(name="bookings.offer_free_slots")
def offer_free_slots(**_: object) -> None:
    """Offer what is free to those who wait for it, batch by batch."""
    limit = settings.SWEEP_BATCH_SIZE
    while waitlist.offer_free_slots(limit=limit) == limit:
        pass


@shared_task(name="bookings.purge_waitlist")
def purge_waitlist(**_: object) -> None:
    """Delete entries of the waitlist that ended long ago."""
    waitlist.purge_ended_entries(limit=settings.SWEEP_BATCH_SIZE)


@shared_task(name="bookings.enhance_feedback")
def enhance_feedback(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Have one coach's notes enhanced, or all that are due."""
    enhancing.enhance_due(**({"id": id} if id else {}))
