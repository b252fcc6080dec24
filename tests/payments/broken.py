"""Ways in which the rules about money can be broken, by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.db import transaction

from bookings.models import Booking, BookingHold
from bookings.services.bookings import confirm_hold
from bookings.services.sales import ensure_payable
from payments.models import (
    CardPayment,
    Dispute,
    OfflinePayment,
    Payable,
    ReceiptCounter,
    Refund,
)
from payments.services.card_payments import begin_card_payment
from payments.services.intents import record_intent
from payments.services.offline import Received, record_payment
from payments.services.voiding import void_payment
from payments.states import OfflineMethod
from recovery import audit
from recovery.models import Approval
from slotbase.lib.clock import read_clock
from slotbase.lib.ids import uuid7
from slotbase.providers.stripe.client import Intent
from tests.factories import make_staff
from tests.payments.money import make_priced_hold, new_key

SYSTEM = audit.Actor.system("tester")


def pay_by_card(hold: BookingHold) -> CardPayment:
    """As if Stripe had told of it."""
    with transaction.atomic():
        hold = BookingHold.objects.select_related("resource__venue").get(pk=hold.pk)
        payment, _ = begin_card_payment(
            ensure_payable(hold, actor=SYSTEM), actor=SYSTEM
        )
        CardPayment.objects.filter(pk=payment.pk).update(provider_id="pi_1")
        record_intent(
            Intent(
                id="pi_1",
                status="succeeded",
                amount_minor=payment.amount_minor,
                received_minor=payment.amount_minor,
                currency=payment.currency,
                client_secret="",
                metadata={},
                charge_id="ch_1",
                decline_code="",
                created_at=datetime.now(UTC),
                livemode=False,
            )
        )
    return CardPayment.objects.get(pk=payment.pk)


def make_paid_booking() -> Booking:
    hold = make_priced_hold()
    pay_by_card(hold)
    return confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)[0]


def make_refund(**over: object) -> Refund:
    """Of all of the money of a booking, without any history."""
    make_paid_booking()
    payment, id_ = CardPayment.objects.get(), uuid7()
    fields = {
        "payable": payment.payable,
        "card_payment": payment,
        "amount_minor": payment.received_minor,
        "currency": payment.currency,
        "reason": "STAFF",
        "origin": id_,
        "next_run_at": read_clock(),
    }
    return Refund.objects.create(id=id_, **{**fields, **over})


def take_cash() -> None:
    make_paid_booking()
    payable_id, bob = Payable.objects.get().pk, make_staff()
    cash = Received(
        *(payable_id, 100, OfflineMethod.CASH, bob.pk, new_key()), may_exceed=True
    )
    record_payment(cash)


def more_promised_back_than_came() -> None:
    payment = make_refund().card_payment
    Refund.objects.update(amount_minor=payment.received_minor + 1)  # type: ignore[union-attr]


def more_promised_back_than_came_in_cash() -> None:
    take_cash()
    make_refund_of(OfflinePayment.objects.get(), 101)


def refunded_and_voided() -> None:
    take_cash()
    cash = OfflinePayment.objects.get()
    void_payment(payment_id=cash.pk, staff_id=make_staff("manager").pk, reason="Twice")
    make_refund_of(cash, 100)


def make_refund_of(cash: OfflinePayment, amount_minor: int) -> None:
    Refund.objects.create(
        payable=cash.payable,
        offline_payment=cash,
        status="NEEDS_STAFF",
        amount_minor=amount_minor,
        currency=cash.currency,
        reason="STAFF",
        origin=uuid7(),
        is_payout=True,
        next_run_at=None,
    )


def receipt_is_missing() -> None:
    take_cash()
    ReceiptCounter.objects.update(last_number=2)


def receipts_have_a_gap() -> None:
    take_cash()
    OfflinePayment.objects.update(receipt_number=2)


def counters_are_wrong() -> None:
    make_paid_booking()
    Payable.objects.update(refunded_minor=1)


def card_payment_without_its_success() -> None:
    pay_by_card(make_priced_hold())
    CardPayment.objects.update(
        status="OPEN",
        received_minor=0,
        received_currency="",
        succeeded_at=None,
        next_run_at=read_clock(),
    )


def refund_without_history() -> None:
    make_refund()


def dispute_without_history() -> None:
    payment = pay_by_card(make_priced_hold())
    Dispute.objects.create(
        card_payment=payment,
        provider_id="dp_1",
        amount_minor=payment.received_minor,
        currency=payment.currency,
    )


def refund_not_tried() -> None:
    make_refund(next_run_at=read_clock() - timedelta(minutes=6))


def card_payment_not_tried() -> None:
    hold = make_priced_hold()
    with transaction.atomic():
        payable = ensure_payable(hold, actor=SYSTEM)
        payment, _ = begin_card_payment(payable, actor=SYSTEM)
    late = read_clock() - timedelta(minutes=6)
    CardPayment.objects.filter(pk=payment.pk).update(next_run_at=late, lease_until=late)


def stuck_refund_without_a_case() -> None:
    make_refund(status="NEEDS_STAFF", next_run_at=None)


def cancelling_without_a_workflow() -> None:
    make_paid_booking()
    Booking.objects.update(status="CANCELLING")


def money_of_nobody() -> None:
    """Its hold came to nothing, and whoever was to decide never did."""
    pay_by_card(make_priced_hold())
    Payable.objects.update(paid_at=read_clock() - timedelta(minutes=3))


def money_that_is_not_owed_any_more() -> None:
    make_paid_booking()
    Payable.objects.update(paid_at=read_clock() - timedelta(minutes=3), owed_minor=0)


def approved_without_a_proposal() -> None:
    refund = make_refund(requested_by=make_staff(), approved_by=make_staff())
    _agree_to(refund, refund.amount_minor + 1)


def approved_by_themselves() -> None:
    bob = make_staff()
    refund = make_refund(requested_by=bob, approved_by=bob)
    _agree_to(refund, refund.amount_minor)


def _agree_to(refund: Refund, amount_minor: int) -> None:
    """What their colleague proposed."""
    of = refund.payment.provider_id
    words = {"payment": of, "amount_minor": amount_minor, "currency": refund.currency}
    Approval.objects.create(
        kind="refund_amount",
        title="t",
        subject_type="payable",
        subject_id=str(refund.payable_id),
        terms={"refunds": [words]},
        status="APPROVED",
        proposed_by=make_staff(),
        decided_by=refund.approved_by,
        expires_at=read_clock(),
        decided_at=read_clock(),
    )


BREAKS: list[tuple[str, Callable[[], None]]] = [
    ("I2", more_promised_back_than_came),
    ("I2", more_promised_back_than_came_in_cash),
    ("I2.voids", refunded_and_voided),
    ("I2.approved", approved_without_a_proposal),
    ("I2.approved", approved_by_themselves),
    ("I2.receipts", receipt_is_missing),
    ("I2.receipts", receipts_have_a_gap),
    ("I20", counters_are_wrong),
    ("I6.cardpayment", card_payment_without_its_success),
    ("I6.refund", refund_without_history),
    ("I6.dispute", dispute_without_history),
    ("I11.money", refund_not_tried),
    ("I11.money", card_payment_not_tried),
    ("I18.refund", stuck_refund_without_a_case),
    ("I4", cancelling_without_a_workflow),
    ("I8", money_of_nobody),
    ("I8", money_that_is_not_owed_any_more),
]
