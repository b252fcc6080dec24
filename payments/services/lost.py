"""What bears our mark at Stripe and belongs to no row: the database was restored.

Each row is committed before Stripe hears of it, and none is ever deleted. So there is
no other way for such an object to come about, and whoever finds one stops the senders.
What became a row, or stands in a case, is known again.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db.models import Q

from payments.models import CardPayment, Refund
from payments.services import troubles
from payments.services.installation import bears_our_mark
from recovery import cases, senders
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.providers.stripe.client import Intent, RefundFact

CAUSE = "Stripe has a {} that only we can have made, and that we do not know."


def is_lost_intent(intent: Intent) -> bool:
    """Whether we made an intent and know nothing of it, and it matters still."""
    return (
        intent.status != "canceled"
        and bears_our_mark(intent.metadata)
        and not has_row(CardPayment, intent.id, intent.metadata.get("card_payment"))
        and not is_in_a_case(intent.id)
    )


def is_lost_refund(fact: RefundFact) -> bool:
    """Whether we made a refund and know nothing of it."""
    return (
        bears_our_mark(fact.metadata)
        and not has_row(Refund, fact.id, fact.metadata.get("refund"))
        and not is_in_a_case(fact.payment_intent_id)
    )


def is_in_a_case(intent_id: str) -> bool:
    """Whether staff have heard of a payment that belongs to nothing."""
    has_row = CardPayment.objects.filter(provider_id=intent_id).exists()
    return not has_row and cases.was_told(troubles.unmatched_of(intent_id))


def has_row(model: Any, provider_id: str, named: str | None) -> bool:
    """Whether an object of Stripe belongs to a row: by its id, or by its metadata."""
    is_meant = Q(provider_id=provider_id)
    with suppress(ValueError):
        is_meant |= Q(pk=UUID(named or ""))
    return bool(model.objects.filter(is_meant).exists())


@transaction_required
def notice_intent(intent: Intent) -> None:
    """Stop the senders if this intent was lost."""
    if is_lost_intent(intent):
        senders.stop(cause=CAUSE.format("payment"), example=intent.id)


@transaction_required
def notice_refund(fact: RefundFact) -> None:
    """Stop the senders if this refund was lost."""
    if is_lost_refund(fact):
        stop_for_refund(fact)


@transaction_required
def stop_for_refund(fact: RefundFact) -> None:
    """Stop the senders for a refund that was lost."""
    senders.stop(cause=CAUSE.format("refund"), example=fact.id)


#: The same where no transaction is open.
notice_intent_now = retry_on_conflict(notice_intent)
notice_refund_now = retry_on_conflict(notice_refund)
