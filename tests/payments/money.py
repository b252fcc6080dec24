"""Customers who pay in tests, and workers who do what is due."""

from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from bookings.models import Booking, BookingHold
from bookings.services import paying
from payments.locks import lock_payable
from payments.models import CardPayment, OfflinePayment, Payable, Refund
from payments.services import card_payments, refund_calls
from payments.services.offline import Received, record_payment
from payments.services.payables import open_payable
from payments.services.refunds import refund_amount
from payments.states import OfflineMethod
from recovery import audit, deliveries, inbox, workflows
from recovery.models import Case, InboxEvent
from slotbase.lib.clock import Now
from slotbase.providers.webhooks import Envelope
from tests.conftest import Sandbox
from tests.factories import (
    make_customer,
    make_hold,
    make_resource,
    make_staff,
    make_venue,
)

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


TESTER = audit.Actor.system("test")


def make_payable(price_minor: int = 2400, **over: Any) -> Payable:
    """What somebody owes, whatever was sold."""
    fields = {"title": "Court 1", "currency": "EUR", "reference": "ABCDE-12345"}
    venue = over.pop("venue", None) or make_venue()
    payable = Payable(venue=venue, **{**fields, **over})
    with transaction.atomic():
        open_payable(payable, price_minor=price_minor, actor=TESTER)
    return payable


def begin(payable: Payable) -> CardPayment:
    """A card payment of what is due, which the customer can pay."""
    with transaction.atomic():
        locked = lock_payable(payable.pk)
        payment, is_new = card_payments.begin_card_payment(locked, actor=TESTER)
    return card_payments.attempt_now(payment, is_ours=is_new)


def look_now(payment: CardPayment) -> CardPayment:
    """A worker asks Stripe about it."""
    CardPayment.objects.filter(pk=payment.pk).update(next_run_at=Now())
    card_payments.attempt_card_payments(id=payment.pk)
    payment.refresh_from_db()
    return payment


def make_paid(sandbox: Sandbox, payable: Payable | None = None) -> CardPayment:
    """A payment that succeeded, and is recorded."""
    payment = begin(payable or make_payable())
    pay(sandbox, payment.pk)
    return look_now(payment)


def make_sold(sandbox: Sandbox) -> CardPayment:
    """A payment that bought a booking: nobody wonders about it when time passes."""
    booking = make_paid_booking(sandbox)
    return CardPayment.objects.get(payable=booking.payable_id)


def make_cash(payable: Payable, amount_minor: int, **over: Any) -> OfflinePayment:
    """Money in the till."""
    received: dict[str, Any] = {
        "payable_id": payable.pk,
        "amount_minor": amount_minor,
        "method": OfflineMethod.CASH,
        "staff_id": over.pop("staff_id", None) or make_staff().pk,
        "key": new_key(),
    }
    return record_payment(Received(**{**received, **over}))[0]


def ask_refund(
    payment: CardPayment | OfflinePayment, amount_minor: int, staff_id: Any = None
) -> Refund:
    """Staff give so much of it back; it stays owed, so that only one thing changes."""
    version = Payable.objects.get(pk=payment.payable_id).version
    return refund_amount(
        payment_id=payment.pk,
        amount_minor=amount_minor,
        staff_id=staff_id or make_staff().pk,
        version=version,
        stays_owed=True,
    )


def send(refund: Refund) -> Refund:
    """A worker does what is due of it, once, and now."""
    Refund.objects.filter(pk=refund.pk, next_run_at__isnull=False).update(
        next_run_at=Now()
    )
    refund_calls.attempt_refunds(id=refund.pk)
    refund.refresh_from_db()
    return refund


def counters(payable_id: UUID) -> tuple[int, int, int, int, int]:
    """Owed, paid, refunded, reserved, disputed."""
    names = ("owed", "paid", "refunded", "refund_reserved", "disputed")
    payable = Payable.objects.get(pk=payable_id)
    owed, paid, refunded, reserved, disputed = (
        getattr(payable, f"{name}_minor") for name in names
    )
    return owed, paid, refunded, reserved, disputed


def open_kinds() -> list[str]:
    """Of the cases that are open, by name."""
    is_open = Case.objects.filter(status__in=["OPEN", "CLAIMED"])
    return sorted(is_open.values_list("kind", flat=True))


def store_event(type_: str, id_: str, *, livemode: bool = False) -> InboxEvent:
    """A webhook of Stripe about an object, not yet processed."""
    event_id = f"evt_{uuid4().hex}"
    inbox.store(
        Envelope(
            provider="stripe",
            event_id=event_id,
            type=type_,
            created_at=None,
            account="",
            api_version="2026-01-28",
            livemode=livemode,
            payload={"id": event_id, "data": {"object": {"id": id_}}},
        )
    )
    return InboxEvent.objects.get(event_id=event_id)


def process_all() -> None:
    """All webhooks are tried until none waits for its next attempt."""
    for _ in range(ROUNDS):
        waiting = InboxEvent.objects.filter(next_run_at__isnull=False)
        if not waiting.update(next_run_at=Now()):
            return
        inbox.process_inbox()
    raise AssertionError("It does not come to an end.")


__all__ = (
    "PRICE",
    "TESTER",
    "ask_refund",
    "begin",
    "begin_payment",
    "counters",
    "effects_of",
    "look_now",
    "make_cash",
    "make_customer",
    "make_paid",
    "make_paid_booking",
    "make_payable",
    "make_priced_hold",
    "make_sold",
    "new_key",
    "open_kinds",
    "pay",
    "process_all",
    "run_due_work",
    "send",
    "store_event",
)
