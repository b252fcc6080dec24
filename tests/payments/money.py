"""Customers who pay in tests, and workers who do what is due."""

from typing import Any
from uuid import uuid4

from bookings.models import Booking, BookingHold
from bookings.services import paying
from payments.models import CardPayment
from payments.services import card_payments, refund_calls
from recovery import deliveries, inbox, workflows
from tests.conftest import Sandbox
from tests.factories import make_customer, make_hold, make_resource

PRICE = 1200  # of half an hour
ROUNDS = 20


def effects_of(sandbox: Sandbox, kind: str) -> list[dict[str, Any]]:
    """What really happened at Stripe, of this kind, in order."""
    effects = sandbox.get("/_sandbox/effects", provider="stripe")["effects"]
    return [each["effect"] for each in effects if each["effect"]["kind"] == kind]


def run_due_work() -> None:
    """Do all that is due, and what becomes due by it, as workers would."""
    for _ in range(ROUNDS):
        if not sum(
            [
                card_payments.attempt_card_payments(),
                refund_calls.attempt_refunds(),
                deliveries.deliver_events("bookings.settling"),
                deliveries.deliver_events("bookings.refunds"),
                workflows.advance(),
                inbox.process_inbox(),
            ]
        ):
            return
    raise AssertionError("It does not come to an end.")


def pay(
    sandbox: Sandbox, payment_id: Any, outcome: str = "succeed", **more: Any
) -> str:
    """The customer pays, or fails to; returns Stripe's id of the intent."""
    intent = CardPayment.objects.get(pk=payment_id).provider_id
    assert intent is not None
    body = {"payment_intent": intent, "outcome": outcome, **more}
    sandbox.post("/_sandbox/stripe/pay", body)
    return intent


def make_priced_hold(**over: Any) -> BookingHold:
    """A hold of an hour that must be paid online."""
    resource = over.pop("resource", None) or make_resource(
        payment_mode="ONLINE", price_minor=PRICE
    )
    return make_hold(resource=resource, **over)


def begin_payment(hold: BookingHold) -> CardPayment:
    """Its customer is shown where to pay."""
    return paying.start_payment(
        hold_id=hold.pk, customer_id=hold.customer_id, once=None
    ).payment


def make_paid_booking(sandbox: Sandbox, **over: Any) -> Booking:
    """A booking that was paid by card."""
    hold = make_priced_hold(**over)
    pay(sandbox, begin_payment(hold).pk)
    booking, _ = paying.confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    return booking


def new_key() -> Any:
    """Of a form that nobody has sent yet."""
    return uuid4()


__all__ = (
    "PRICE",
    "begin_payment",
    "effects_of",
    "make_customer",
    "make_paid_booking",
    "make_priced_hold",
    "new_key",
    "pay",
    "run_due_work",
)
