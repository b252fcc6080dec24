"""What Celery may ask of payments. Every task may run twice, or never, at any time."""

from uuid import UUID

from celery import shared_task

from payments.services import (
    card_payments,
    comparing,
    events,
    reconciling,
    refund_calls,
)


@shared_task(name="payments.attempt_card_payment")
def attempt_card_payment(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Do what is due of one card payment, or of all."""
    card_payments.attempt_card_payments(**({"id": id} if id else {}))


@shared_task(name="payments.attempt_refund")
def attempt_refund(*, id: str = "", **_: object) -> None:  # noqa: A002 - of the row
    """Do what is due of one refund, or of all."""
    refund_calls.attempt_refunds(**({"id": id} if id else {}))


@shared_task(name="payments.reconcile_refund")
def reconcile_refund(*, refund_id: str, **_: object) -> None:
    """Ask Stripe what became of a refund."""
    reconciling.reconcile_refund(refund_id=UUID(refund_id))


@shared_task(name="payments.reconcile_events")
def reconcile_events(**_: object) -> None:
    """Read Stripe's list of events, if it is time again."""
    events.reconcile_events()


@shared_task(name="payments.compare_with_stripe")
def compare_with_stripe(**_: object) -> None:
    """Compare the next page of payments or refunds with Stripe, if it is time."""
    comparing.compare_with_stripe()
