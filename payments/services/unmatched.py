"""Money at Stripe that belongs to no sale we know: staff link it or give it back."""

from uuid import UUID

from payments.errors import PayableNotFound, PaymentNotFound
from payments.locks import lock_payable
from payments.models import CardPayment, Payable
from payments.services.intents import find_card_payment, take_in
from payments.services.payables import call_off_card_payments, open_payable
from payments.services.refunds import request_excess
from payments.states import CardPaymentStatus, RefundReason
from recovery import audit
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import as_reference, uuid7
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import Intent


def link_payment(*, intent_id: str, reference: str, staff_id: UUID) -> None:
    """Count a payment of Stripe for the booking with this reference.

    More than is owed opens a case of its own, which staff decide.

    Raises:
        ValidationFailed: without a reference.
        PayableNotFound: no booking with it owes anything.
        PaymentNotFound, InvalidState: Stripe has none, or it is ours already.
    """
    if not reference.strip():
        raise ValidationFailed(reason="Give the reference of the booking.")
    intent = _ask(intent_id)
    _link(intent, as_reference(reference), audit.Actor.staff(staff_id))


def refund_unmatched(*, intent_id: str, staff_id: UUID) -> None:
    """Give a payment that belongs to nothing back to whoever made it.

    Raises:
        PaymentNotFound, InvalidState: Stripe has none, or it is ours already.
    """
    _refund(_ask(intent_id), audit.Actor.staff(staff_id))


def _ask(intent_id: str) -> Intent:
    """Outside of any transaction."""
    try:
        intent = client.retrieve_intent(intent_id)
    except ProviderError as error:
        raise PaymentNotFound("Stripe did not tell of it. Try again later.") from error
    if intent.status != "succeeded":
        raise InvalidState("It was not paid.")
    return intent


@retry_on_conflict
def _link(intent: Intent, reference: str, actor: audit.Actor) -> None:
    found = Payable.objects.filter(reference=reference).values_list("pk", flat=True)
    if (payable_id := found.order_by("-pk").first()) is None:
        raise PayableNotFound("No booking with this reference owes anything.")
    _adopt(lock_payable(payable_id), intent, actor)


@retry_on_conflict
def _refund(intent: Intent, actor: audit.Actor) -> None:
    """A payable that owes nothing and knows nobody: all of it is too much."""
    nobodys = Payable(title=f"Payment {intent.id}"[:200], currency=intent.currency)
    open_payable(nobodys, price_minor=0, actor=actor)
    _adopt(nobodys, intent, actor)
    request_excess(nobodys, reason=RefundReason.STAFF, actor=actor)


@transaction_required
def _adopt(payable: Payable, intent: Intent, actor: audit.Actor) -> None:
    if find_card_payment(intent) is not None:
        raise InvalidState("It belongs to a sale already.")
    call_off_card_payments(payable)
    payment = CardPayment(
        id=uuid7(),
        payable=payable,
        provider_id=intent.id,
        amount_minor=intent.received_minor,
        currency=payable.currency,
        received_minor=intent.received_minor,
        received_currency=intent.currency,
        is_mismatch=intent.currency != payable.currency,
        status=CardPaymentStatus.SUCCEEDED,
        provider_status=intent.status[:32],
        succeeded_at=read_clock(),
        next_run_at=None,
    )
    # Of two people who link it at once the second one is told.
    CardPayment.objects.bulk_create([payment], ignore_conflicts=True)
    if not CardPayment.objects.filter(pk=payment.pk).exists():
        raise InvalidState("It belongs to a sale already.")
    for before, to in (("", "CREATING"), ("CREATING", "SUCCEEDED")):
        audit.record(
            actor=actor,
            action="card_payment.adopted",
            subject="cardpayment",
            ids=[payment.pk],
            move=(before, to),
        )
    take_in(payable, payment)
