"""Reads of money: what a customer or staff are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from payments.models import (
    CardPayment,
    Dispute,
    OfflinePayment,
    Payable,
    ReconciledDay,
    Reconciliation,
    Refund,
)
from payments.states import (
    DONE_REFUNDS,
    STUCK_REFUNDS,
    UNDECIDED_PAYMENTS,
    CardPaymentStatus,
    RefundProgress,
    RefundStatus,
)
from recovery import senders
from recovery.models import AuditEntry
from slotbase.lib.money import tax_within


def get_latest_card_payment(payable_id: UUID | None) -> CardPayment | None:
    """The card payment that counts now: the undecided one, else the newest."""
    payments = CardPayment.objects.filter(payable=payable_id).order_by("-id")
    undecided = payments.filter(status__in=UNDECIDED_PAYMENTS)
    return undecided.first() or payments.first()


def list_refunds(payable: Payable | None) -> list[Refund]:
    """Refunds of a payable, the first one first, without those that were replaced."""
    if payable is None:
        return []
    # No ORDER BY, so that what was fetched before is used.
    refunds = sorted(payable.refunds.all(), key=lambda refund: refund.pk)
    latest = {refund.origin: refund.pk for refund in refunds}
    return [refund for refund in refunds if latest[refund.origin] == refund.pk]


def say_progress(refunds: Sequence[Refund]) -> RefundProgress:
    """Of all refunds of a payable in one word; what is stuck comes first."""
    states = {refund.status for refund in refunds if not is_withdrawn(refund)}
    if not states:
        return RefundProgress.NONE
    if states & {*STUCK_REFUNDS}:
        return RefundProgress.NEEDS_STAFF
    if states <= {*DONE_REFUNDS}:
        return RefundProgress.COMPLETE
    return (
        RefundProgress.PARTIAL if states & {*DONE_REFUNDS} else RefundProgress.PENDING
    )


def is_withdrawn(refund: Refund) -> bool:
    """Taken back by us before it was sent: the money went another way."""
    return refund.status == RefundStatus.CANCELED and refund.provider_id is None


@dataclass(frozen=True)
class Received:
    """Money that came in and counts, as a receipt says it.

    `number` is that of the receipt, empty for a card, which has none; `method` is CARD
    or an OfflineMethod.
    """

    id: UUID
    number: str
    method: str
    amount_minor: int
    currency: str
    tax_minor: int
    tax_rate: str
    at: datetime


def list_received(payable_id: UUID) -> list[Received]:
    """What was paid for a payable, without what was voided, the first one first."""
    cards = CardPayment.objects.select_related("payable").filter(
        payable=payable_id, status=CardPaymentStatus.SUCCEEDED, is_mismatch=False
    )
    by_hand = OfflinePayment.objects.filter(
        payable=payable_id, reverses=None, reversed_by=None
    )
    received = [*map(_by_card, cards), *map(_by_hand, by_hand)]
    return sorted(received, key=lambda each: each.at)


def _by_card(payment: CardPayment) -> Received:
    rate = payment.payable.tax_rate
    assert payment.succeeded_at is not None, "a constraint"  # noqa: S101
    return Received(
        id=payment.pk,
        number="",
        method="CARD",
        amount_minor=payment.received_minor,
        currency=payment.received_currency,
        tax_minor=tax_within(payment.received_minor, rate),
        tax_rate=str(rate),
        at=payment.succeeded_at,
    )


def _by_hand(payment: OfflinePayment) -> Received:
    return Received(
        id=payment.pk,
        number=str(payment.receipt_number),
        method=payment.method,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        tax_minor=payment.tax_minor,
        tax_rate=str(payment.tax_rate),
        at=payment.recorded_at,
    )


def get_current_refund(refund_id: UUID) -> Refund | None:
    """A refund, or the latest of those that were made since it failed."""
    origin = Refund.objects.filter(pk=refund_id).values("origin")[:1]
    chain = Refund.objects.filter(origin__in=origin).order_by("-id")
    return chain.select_related("payable", "card_payment", "offline_payment").first()


def list_history(payable_id: UUID) -> QuerySet[AuditEntry]:
    """What happened to a payable and to all of its money."""
    is_meant = Q(subject_type="payable", subject_id=str(payable_id))
    for model in (CardPayment, OfflinePayment, Refund):
        is_meant |= _is_about(model, model.objects.filter(payable=payable_id))
    disputes = Dispute.objects.filter(card_payment__payable=payable_id)
    return AuditEntry.objects.filter(is_meant | _is_about(Dispute, disputes))


def list_history_of_refund(refund: Refund) -> QuerySet[AuditEntry]:
    """What happened to a refund and to those that it replaced or that replaced it."""
    chain = Refund.objects.filter(origin=refund.origin)
    return AuditEntry.objects.filter(_is_about(Refund, chain))


def _is_about(model: type[Model], rows: QuerySet[Any]) -> Q:
    # Ids first: the index of the audit serves a list of constants.
    ids = [str(pk) for pk in rows.values_list("pk", flat=True)]
    return Q(subject_type=model.__name__.lower(), subject_id__in=ids)


@dataclass(frozen=True)
class Standing:
    """How our money compares with Stripe's: by kind, and by day and currency."""

    rows: list[Reconciliation]
    days: list[ReconciledDay]
    stopped_since: datetime | None

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to look at it."""
        differs = any(day.difference_minor for day in self.days)
        fails = any(row.last_error for row in self.rows)
        return differs or fails or self.stopped_since is not None

    def as_json(self) -> dict[str, Any]:
        """For machines: moments as ISO 8601, amounts in minor units."""
        since = self.stopped_since
        return {
            "stopped_since": since.isoformat() if since else None,
            "comparisons": {row.name: row.says for row in self.rows},
            "days": [
                {
                    "of": day.name,
                    "day": day.day.isoformat(),
                    "currency": day.currency,
                    "ours_minor": day.ours_minor,
                    "stripe_minor": day.stripe_minor,
                }
                for day in self.days
            ],
        }


def get_standing() -> Standing:
    """As of the last comparison, or in the middle of one."""
    rows = list(Reconciliation.objects.order_by("name"))
    days = list(ReconciledDay.objects.order_by("day", "name", "currency"))
    return Standing(rows, days, senders.stopped_at())
