"""Money as Stripe tells of it, written down without asking anybody."""

from typing import Any

from payments.models import CardPayment, Payable
from payments.services.card_payments import begin_card_payment
from payments.services.disputes import record_dispute
from payments.services.intents import metadata_of, record_intent
from payments.services.offline import Received, record_payment
from payments.services.payables import open_payable
from payments.services.refund_calls import record_refund
from payments.states import OfflineMethod
from recovery import audit
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.ids import uuid7
from slotbase.providers.stripe.client import DisputeFact, Intent, RefundFact

SOMEBODY = audit.Actor.system("test")
SECRET = "pi_told_secret_of_the_customer"


@retry_on_conflict
def make_payable(
    venue: Venue | None, customer: User | None = None, **over: Any
) -> Payable:
    """24.00 EUR are owed for something."""
    fields = {"reference": "MNEY0-00001", "title": "Court", "currency": "EUR", **over}
    payable = Payable(id=uuid7(), venue=venue, customer=customer, **fields)
    open_payable(payable, price_minor=2400, actor=SOMEBODY)
    return payable


@retry_on_conflict
def begin(payable: Payable, intent_id: str) -> CardPayment:
    """The customer is shown where to pay."""
    payment, _ = begin_card_payment(payable, actor=SOMEBODY)
    record_intent(intent_of(payment, intent_id, "requires_payment_method", 0))
    return CardPayment.objects.get(pk=payment.pk)


@retry_on_conflict
def pay_by_card(payable: Payable, intent_id: str = "pi_told") -> CardPayment:
    """The customer paid all that is due."""
    payment, _ = begin_card_payment(payable, actor=SOMEBODY)
    record_intent(intent_of(payment, intent_id, "succeeded", payment.amount_minor))
    return CardPayment.objects.get(pk=payment.pk)


def intent_of(
    payment: CardPayment, intent_id: str, status: str, received_minor: int
) -> Intent:
    return Intent(
        id=intent_id,
        status=status,
        amount_minor=payment.amount_minor,
        received_minor=received_minor,
        currency=payment.currency,
        client_secret=SECRET,
        metadata=metadata_of(payment),
        charge_id="ch_told",
        decline_code="",
        created_at=read_clock(),
        livemode=False,
    )


@retry_on_conflict
def fail_refund(payment: CardPayment, refund_id: str = "re_told") -> None:
    """Somebody at Stripe gave 1.00 EUR back, and the bank did not take it."""
    record_refund(
        RefundFact(
            id=refund_id,
            status="failed",
            amount_minor=100,
            currency=payment.currency,
            payment_intent_id=payment.provider_id or "",
            charge_id="ch_told",
            metadata={},
            failure_reason="expired_or_canceled_card",
            pending_reason="",
            created_at=read_clock(),
        )
    )


@retry_on_conflict
def dispute(payment: CardPayment, dispute_id: str = "dp_told") -> None:
    """The customer's bank wants 2.00 EUR of it."""
    record_dispute(
        DisputeFact(
            id=dispute_id,
            status="needs_response",
            amount_minor=200,
            currency=payment.currency,
            payment_intent_id=payment.provider_id or "",
            charge_id="ch_told",
            reason="fraudulent",
            is_open=True,
            funds_withdrawn=True,
            created_at=read_clock(),
        )
    )


def pay_by_hand(payable: Payable, staff: User, amount_minor: int = 500) -> Any:
    """Staff took money, even more than is due."""
    payment, _ = record_payment(
        Received(
            payable_id=payable.pk,
            amount_minor=amount_minor,
            method=OfflineMethod.CASH,
            staff_id=staff.pk,
            key=uuid7(),
            may_exceed=True,
        )
    )
    return payment


def make_some_of_each(
    venue: Venue | None, staff: User, number: int = 1, customer: User | None = None
) -> Payable:
    """A row on each page about money."""
    payable = make_payable(venue, customer, reference=f"MNEY0-{number:05}")
    payment = pay_by_card(payable, f"pi_told{number}")
    fail_refund(payment, f"re_told{number}")
    dispute(payment, f"dp_told{number}")
    pay_by_hand(payable, staff, 500 + number)
    return Payable.objects.get(pk=payable.pk)
