"""Money at Stripe that belongs to no sale we know: staff link it or give it back."""

from dataclasses import dataclass
from uuid import UUID

from payments.errors import PayableNotFound, PaymentNotFound
from payments.locks import lock_payable
from payments.models import CardPayment, Payable
from payments.services.disputes import record_dispute
from payments.services.four_eyes import Second, by_two, require_two
from payments.services.intents import find_card_payment, take_in
from payments.services.payables import call_off_card_payments, open_payable
from payments.services.refund_calls import record_refund
from payments.services.refunds import request_excess
from payments.states import CardPaymentStatus, RefundReason
from recovery import audit
from slotbase.accounts.queries import works_at
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import as_reference, uuid7
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import DisputeFact, Intent, RefundFact


@dataclass(frozen=True)
class Found:
    """A payment at Stripe, and what became of its money before it was ours."""

    intent: Intent
    refunds: list[RefundFact]
    disputes: list[DisputeFact]


def link_payment(*, intent_id: str, reference: str, staff_id: UUID) -> None:
    """Count a payment of Stripe for the booking with this reference.

    What went back of it, or is disputed, is known at once. More than is owed opens a
    case of its own, which staff decide.

    Raises:
        ValidationFailed: without a reference.
        PayableNotFound: no booking with it owes anything, or none at the venues where
            this person works.
        PaymentNotFound, InvalidState: Stripe has none, or it is ours already.
    """
    if not reference.strip():
        raise ValidationFailed(reason="Give the reference of the booking.")
    found = _ask(intent_id)
    _link(found, as_reference(reference), staff_id)


def refund_unmatched(*, intent_id: str, staff_id: UUID) -> None:
    """Give what is left of a payment that belongs to nothing back to whoever made it.

    Raises:
        PaymentNotFound, InvalidState: Stripe has none, or it is ours already.
        ApprovalRequired: it is more than one person may give back.
    """
    _refund(intent_id=intent_id, found=_ask(intent_id), staff_id=staff_id)


def _ask(intent_id: str) -> Found:
    """Outside of any transaction.

    What Stripe told of its refunds and disputes while it was nobody's was forgotten.
    """
    try:
        found = Found(
            client.retrieve_intent(intent_id),
            client.list_refunds(intent_id),
            client.list_disputes(intent_id),
        )
    except ProviderError as error:
        raise PaymentNotFound("Stripe did not tell of it. Try again later.") from error
    if found.intent.status != "succeeded":
        raise InvalidState("It was not paid.")
    return found


@retry_on_conflict
def _link(found: Found, reference: str, staff_id: UUID) -> None:
    payable = Payable.objects.filter(reference=reference).order_by("-pk").first()
    if payable is None or not works_at(staff_id, payable.venue_id):
        raise PayableNotFound("No booking with this reference owes anything.")
    _adopt(lock_payable(payable.pk), found, audit.Actor.staff(staff_id))


@by_two(
    "refund_unmatched",
    "Refund what belongs to nothing",
    look=lambda asked: {"found": _ask(asked["intent_id"])},
)
def _refund(
    *, intent_id: str, found: Found, staff_id: UUID, second: Second | None = None
) -> None:
    """A payable that owes nothing and knows nobody: all that is left is too much."""
    intent, actor = found.intent, audit.Actor.staff(staff_id)
    nobodys = Payable(title=f"Payment {intent.id}"[:200], currency=intent.currency)
    open_payable(nobodys, price_minor=0, actor=actor)
    _adopt(nobodys, found, actor)
    refunds = request_excess(nobodys, reason=RefundReason.STAFF, actor=actor)
    about = ("paymentintent", intent_id)
    require_two(nobodys, refunds, staff_id=staff_id, second=second, about=about)


@transaction_required
def _adopt(payable: Payable, found: Found, actor: audit.Actor) -> None:
    """Make it ours, and all that Stripe says of it, before anything is promised."""
    if find_card_payment(found.intent) is not None:
        raise InvalidState("It belongs to a sale already.")
    call_off_card_payments(payable)
    payment = _insert(payable, found.intent, actor)
    for refund in found.refunds:
        record_refund(refund)
    for dispute in found.disputes:
        record_dispute(dispute)
    take_in(payable, payment)


@transaction_required
def _insert(payable: Payable, intent: Intent, actor: audit.Actor) -> CardPayment:
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
    return payment
