"""Asking Stripe how things really are."""

from uuid import UUID

from django.db.models import F

from payments.locks import lock_payable
from payments.models import Refund
from payments.services.refund_calls import (
    BETWEEN_READS,
    NOT_MADE,
    apply_refund,
    look_for,
    record_refund,
)
from payments.states import RefundStatus
from recovery import audit
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import RefundFact

RECONCILE = audit.Actor.system("reconcile")


def reconcile_refund(*, refund_id: UUID) -> None:
    """Record what Stripe says of a refund; that it has none is remembered, too."""
    refund = Refund.objects.select_related("card_payment").get(pk=refund_id)
    try:
        fact = (
            client.retrieve_refund(refund.provider_id)
            if refund.provider_id
            else look_for(refund)
        )
    except ProviderError:
        return  # staff see that nothing came of it and ask again
    _record(refund_id, fact)


@retry_on_conflict
def _record(refund_id: UUID, fact: RefundFact | None) -> None:
    found = Refund.objects.values_list("payable", flat=True).get(pk=refund_id)
    payable = lock_payable(found)
    refund = Refund.objects.get(pk=refund_id)
    if fact is not None and refund.status == RefundStatus.RESOLVED_OUT_OF_BAND:
        record_refund(fact, actor=RECONCILE)  # it came by both ways
    elif fact is not None:
        apply_refund(payable, refund, fact, actor=RECONCILE)
    elif refund.status in {*NOT_MADE, RefundStatus.NEEDS_STAFF}:
        _count_absence(refund)
        audit.record(
            actor=RECONCILE,
            action="refund.not_at_stripe",
            subject="refund",
            ids=[refund_id],
        )


@transaction_required
def _count_absence(refund: Refund) -> None:
    """Two looks in one breath are one: what was just sent may still be on its way."""
    now, since = read_clock(), refund.absent_since
    if since is None or now - since >= BETWEEN_READS:
        Refund.objects.filter(pk=refund.pk).update(
            absent_reads=F("absent_reads") + 1, absent_since=since or now
        )
