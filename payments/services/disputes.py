"""Disputes: a bank decides; until then nothing of that payment goes back."""

from payments.locks import lock_payable
from payments.models import CardPayment, Dispute, Payable
from payments.services import troubles
from payments.services.intents import STRIPE
from payments.services.payables import publish_settled, recount
from payments.services.refund_calls import withdraw_what_is_too_much
from payments.states import DISPUTE_MOVES, DisputeStatus
from recovery import audit, cases
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move
from slotbase.providers.stripe.client import DisputeFact


@transaction_required
def record_dispute(fact: DisputeFact) -> Payable | None:
    """Record what Stripe says of a dispute; None if its payment is not ours."""
    payment = CardPayment.objects.filter(provider_id=fact.payment_intent_id).first()
    if payment is None:
        return None
    payable = lock_payable(payment.payable_id)
    dispute = Dispute.objects.filter(provider_id=fact.id).first()
    if dispute is None:
        dispute = _open(payable, payment, fact)
    elif fact.is_open and dispute.took_money != fact.funds_withdrawn:
        # An inquiry became a dispute.
        dispute.took_money = fact.funds_withdrawn
        dispute.save(update_fields=["took_money"])
    recount(payable)
    withdraw_what_is_too_much(
        payable, payment, why="The bank decides about the money.", actor=STRIPE
    )
    if _is_news(dispute, fact):
        _close(dispute, fact)
        recount(payable)
        if payable.excess_minor:
            publish_settled(payable)  # a refund may have waited for it
    return payable


def _is_news(dispute: Dispute, fact: DisputeFact) -> bool:
    """Whether it is decided now, or decided anew: what was lost may be won later."""
    if fact.is_open:
        return False
    was_lost = dispute.status == DisputeStatus.LOST and not fact.funds_withdrawn
    return dispute.status == DisputeStatus.OPEN or was_lost


@transaction_required
def _open(payable: Payable, payment: CardPayment, fact: DisputeFact) -> Dispute:
    dispute = Dispute.objects.create(
        id=uuid7(),
        card_payment=payment,
        provider_id=fact.id,
        amount_minor=fact.amount_minor,
        currency=fact.currency,
        reason=fact.reason[:64],
        took_money=fact.funds_withdrawn or not fact.is_open,
    )
    _record(dispute, "", DisputeStatus.OPEN)
    troubles.open_dispute(payable, dispute)
    return dispute


@transaction_required
def _close(dispute: Dispute, fact: DisputeFact) -> None:
    to = DisputeStatus.LOST if fact.funds_withdrawn else DisputeStatus.WON
    require_move(DISPUTE_MOVES, dispute.status, to)
    Dispute.objects.filter(pk=dispute.pk).update(status=to, closed_at=Now())
    _record(dispute, dispute.status, to)
    cases.close_by_itself(troubles.dispute_of(dispute), f"It was {to.lower()}.")


@transaction_required
def _record(dispute: Dispute, before: str, to: str) -> None:
    audit.record(
        actor=STRIPE,
        action=f"dispute.{to.lower()}",
        subject="dispute",
        ids=[dispute.pk],
        move=(before, to),
    )
