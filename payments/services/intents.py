"""What Stripe tells of a payment is recorded: always, once, and never backwards."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from payments.locks import lock_payable
from payments.models import CardPayment, Payable
from payments.services import troubles
from payments.services.installation import is_ours, mark
from payments.services.lost import notice_intent
from payments.services.payables import publish_settled, recount
from payments.states import (
    CARD_PAYMENT_MOVES,
    UNDECIDED_PAYMENTS,
    CardPaymentStatus,
)
from recovery import audit, cases
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.states import require_move
from slotbase.providers.stripe.client import Intent

STRIPE = audit.Actor.system("stripe")
STATUS_OF = {
    "requires_payment_method": CardPaymentStatus.OPEN,
    "requires_confirmation": CardPaymentStatus.OPEN,
    "requires_action": CardPaymentStatus.OPEN,
    "requires_capture": CardPaymentStatus.OPEN,
    "processing": CardPaymentStatus.PROCESSING,
    "succeeded": CardPaymentStatus.SUCCEEDED,
    "canceled": CardPaymentStatus.CANCELED,
}


def metadata_of(payment: CardPayment) -> dict[str, str]:
    """What tells whose an intent is, whatever becomes of the answer."""
    return {**mark(), "card_payment": str(payment.pk)}


def found_by(payment: CardPayment) -> dict[str, str]:
    """By what an intent is looked for: also one that was made without our mark."""
    wanted = metadata_of(payment)
    del wanted["installation"]
    return wanted


def find_card_payment(intent: Intent) -> CardPayment | None:
    """Whose this intent is: by its id, else by what it says of itself."""
    is_meant = Q(provider_id=intent.id)
    if is_ours(intent.metadata) and (named := _uuid(intent.metadata, "card_payment")):
        is_meant |= Q(pk=named, provider_id=None)
    return CardPayment.objects.filter(is_meant).first()


def _uuid(metadata: dict[str, str], name: str) -> UUID | None:
    try:
        return UUID(metadata.get(name, ""))
    except ValueError:
        return None


@transaction_required
def record_intent(intent: Intent, *, actor: audit.Actor = STRIPE) -> Payable | None:
    """Record what Stripe says; the locked payable, None if it is nobody's."""
    found = find_card_payment(intent)
    if found is None:
        notice_intent(intent)
        return None
    payable = lock_payable(found.payable_id)
    apply_intent(payable, CardPayment.objects.get(pk=found.pk), intent, actor=actor)
    # A lease on what is over keeps nobody from anything.
    CardPayment.objects.filter(pk=found.pk, next_run_at=None).update(
        lease_token=None, lease_until=None
    )
    return payable


@transaction_required
def apply_intent(
    payable: Payable, payment: CardPayment, intent: Intent, *, actor: audit.Actor
) -> None:
    """Move a payment of a locked payable to where Stripe says it is, if it may.

    Answers overtake each other: what is final stays, whatever an older answer says.
    """
    to = STATUS_OF.get(intent.status, CardPaymentStatus.OPEN)
    if payment.provider_id not in {None, intent.id}:
        return
    if to != payment.status and to not in CARD_PAYMENT_MOVES[payment.status]:
        return
    if to == payment.status and to not in UNDECIDED_PAYMENTS:
        return
    _tell_decline(payment, intent, actor)
    values = _facts(payment, intent) | _due(payment, to)
    if to == CardPaymentStatus.SUCCEEDED:
        values |= _receipt(payment, intent)
    move_card_payment(payment, to, actor=actor, **values)
    if to == CardPaymentStatus.SUCCEEDED:
        take_in(payable, payment)


def _facts(payment: CardPayment, intent: Intent) -> dict[str, Any]:
    return {
        "provider_id": intent.id,
        "provider_status": intent.status[:32],
        "client_secret": intent.client_secret or payment.client_secret,
        "decline_code": intent.decline_code,
    }


def _due(payment: CardPayment, to: str) -> dict[str, Any]:
    """What is not over is looked at again, or called off."""
    if to not in UNDECIDED_PAYMENTS:
        return {"next_run_at": None, "client_secret": ""}
    if payment.cancel_requested_at and to == CardPaymentStatus.OPEN:
        return {"next_run_at": Now()}
    return {"next_run_at": Now() + settings.RECONCILE_AFTER}


def _receipt(payment: CardPayment, intent: Intent) -> dict[str, Any]:
    asked = (payment.amount_minor, payment.currency)
    return {
        "received_minor": intent.received_minor,
        "received_currency": intent.currency,
        "succeeded_at": Now(),
        "is_mismatch": (intent.received_minor, intent.currency) != asked,
    }


@transaction_required
def _tell_decline(payment: CardPayment, intent: Intent, actor: audit.Actor) -> None:
    if intent.decline_code and intent.decline_code != payment.decline_code:
        audit.record(
            actor=actor,
            action="card_payment.declined",
            subject="cardpayment",
            ids=[payment.pk],
        )


@transaction_required
def move_card_payment(
    payment: CardPayment,
    to: str,
    *,
    actor: audit.Actor,
    reason: str = "",
    **values: Any,
) -> None:
    """Write a payment of a locked payable, and its history if its state changes."""
    CardPayment.objects.filter(pk=payment.pk).update(status=to, **values)
    if to != payment.status:
        require_move(CARD_PAYMENT_MOVES, payment.status, to)
        audit.record(
            actor=actor,
            action=f"card_payment.{to.lower()}",
            subject="cardpayment",
            ids=[payment.pk],
            move=(payment.status, to),
            reason=reason,
        )
    payment.refresh_from_db()


@transaction_required
def take_in(payable: Payable, payment: CardPayment) -> None:
    """Money has come: count it, and let whoever sold the thing decide."""
    Payable.objects.filter(pk=payable.pk).update(paid_at=Now())
    recount(payable)
    cases.close_by_itself(
        troubles.unmatched_of(payment.provider_id or ""), "It was matched."
    )
    if payment.is_mismatch:
        troubles.open_mismatch(
            payable,
            cause="Another amount or currency than asked for.",
            amount_minor=payment.received_minor,
            currency=payment.received_currency,
        )
    publish_settled(payable)
