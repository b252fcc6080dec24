"""Payables: what is owed, and the sums that follow from the rows below it."""

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from payments.locks import lock_payable, lock_payables
from payments.models import CardPayment, Payable, PayableLine
from payments.states import (
    DONE_REFUNDS,
    RESERVED_REFUNDS,
    UNDECIDED_PAYMENTS,
    CardPaymentStatus,
    DisputeStatus,
    LineKind,
)
from recovery import audit, outbox
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.enqueue import after_commit


@transaction_required
def open_payable(payable: Payable, *, price_minor: int, actor: audit.Actor) -> None:
    """Insert what is owed for a sale: its price, for now."""
    payable.save(force_insert=True)
    _record(payable, "payable.opened", actor)
    charge(payable, LineKind.PRICE, price_minor)


@transaction_required
def charge(payable: Payable, kind: LineKind, amount_minor: int) -> None:
    """Add a line to a locked payable; a waiver has a negative amount."""
    if amount_minor:
        PayableLine.objects.create(
            payable=payable, kind=kind, amount_minor=amount_minor
        )
    recount(payable)


@transaction_required
def waive(payable: Payable, *, fee_minor: int = 0) -> None:
    """Nothing of a locked payable need be paid any more but a fee.

    The customer may have it open: what is undecided at Stripe is called off there.
    """
    charge(payable, LineKind.WAIVER, -payable.owed_minor)
    charge(payable, LineKind.FEE, fee_minor)
    call_off_card_payments(payable)


@transaction_required
def end_payables(payable_ids: Iterable[UUID], *, actor: audit.Actor) -> None:
    """Their sales came to nothing: nothing is owed; money that is there is decided."""
    for payable in lock_payables(payable_ids):
        waive(payable)
        _record(payable, "payable.ended", actor)
        if payable.excess_minor:
            publish_settled(payable)


@transaction_required
def call_off_card_payments(payable: Payable) -> None:
    """Have what the customer could still pay by card cancelled at Stripe."""
    undecided = CardPayment.objects.filter(
        payable=payable, status__in=UNDECIDED_PAYMENTS, cancel_requested_at=None
    )
    for payment in undecided:
        CardPayment.objects.filter(pk=payment.pk).update(
            cancel_requested_at=Now(), next_run_at=Now()
        )
        after_commit("payments.attempt_card_payment", id=payment.pk)


@transaction_required
def name_payable(payable_id: UUID, *, reference: str) -> None:
    """Give a payable the reference of its booking."""
    lock_payable(payable_id)
    Payable.objects.filter(pk=payable_id).update(reference=reference)


@transaction_required
def retitle_payable(payable_id: UUID, *, title: str) -> None:
    """What is owed is for something else now, such as another time."""
    lock_payable(payable_id)
    Payable.objects.filter(pk=payable_id).update(title=title[:200])


# A payment that differs from what was asked for does not count, nor do its refunds.
_RECOUNT = f"""
UPDATE payments_payable p SET
    owed_minor = (SELECT coalesce(sum(amount_minor), 0) FROM payments_payableline
        WHERE payable_id = p.id),
    paid_minor = (SELECT coalesce(sum(received_minor), 0) FROM payments_cardpayment
        WHERE payable_id = p.id AND status = '{CardPaymentStatus.SUCCEEDED}'
          AND NOT is_mismatch)
        + (SELECT coalesce(sum(amount_minor), 0) FROM payments_offlinepayment
           WHERE payable_id = p.id),
    refunded_minor = refunds.done, refund_reserved_minor = refunds.reserved,
    disputed_minor = (SELECT coalesce(sum(d.amount_minor), 0) FROM payments_dispute d
        JOIN payments_cardpayment c ON c.id = d.card_payment_id
        WHERE c.payable_id = p.id AND NOT c.is_mismatch AND d.took_money
          AND d.status <> '{DisputeStatus.WON}'),
    version = p.version + 1
FROM (SELECT
        coalesce(sum(r.amount_minor) FILTER (WHERE r.status = ANY(%(done)s)), 0)
            AS done,
        coalesce(sum(r.amount_minor) FILTER (WHERE r.status = ANY(%(reserved)s)), 0)
            AS reserved
    FROM payments_refund r
    LEFT JOIN payments_cardpayment c ON c.id = r.card_payment_id
    WHERE r.payable_id = %(id)s AND c.is_mismatch IS NOT TRUE) AS refunds
WHERE p.id = %(id)s
"""  # noqa: S608 - only our own state names


@transaction_required
def recount(payable: Payable) -> None:
    """Bring the counters of a locked payable up to date, here and in its row."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RECOUNT,
            {
                "id": payable.pk,
                "done": [*DONE_REFUNDS],
                "reserved": [*RESERVED_REFUNDS],
            },
        )
    payable.refresh_from_db()


@transaction_required
def _record(payable: Payable, action: str, actor: audit.Actor) -> None:
    audit.record(actor=actor, action=action, subject="payable", ids=[payable.pk])


@transaction_required
def publish_voided(payable: Payable) -> None:
    """Tell that money which was recorded never came in."""
    _publish("payments.payment_voided", payable)


@transaction_required
def publish_settled(payable: Payable) -> None:
    """Tell that money came in for a payable; what it means is for others to decide."""
    _publish("payments.payable_settled", payable)


@transaction_required
def _publish(type_: str, payable: Payable) -> None:
    outbox.publish(
        type_,
        subject="payable",
        facts={
            payable.pk: {
                "paid_minor": payable.paid_minor,
                "owed_minor": payable.owed_minor,
                "currency": payable.currency,
            }
        },
    )
