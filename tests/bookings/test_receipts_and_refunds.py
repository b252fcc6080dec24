"""Who pays has a receipt, and who is owed money hears what becomes of it; each once."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import Booking
from bookings.services.cancelling import cancel_in_full
from bookings.services.settling import settle_payable
from notifications.models import Notification
from notifications.rendering import render
from payments.models import CardPayment, OfflinePayment, Payable, Refund
from payments.services.refund_desk import (
    hand_to_front_desk,
    retry_refund,
    settle_by_hand,
)
from recovery.models import EventDelivery
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from tests.adversity import Stripe
from tests.bookings.messages import message, told
from tests.bookings.till import cancel
from tests.conftest import Sandbox
from tests.factories import make_booking, make_priced_resource, make_staff, make_venue
from tests.payments.money import make_cash, make_paid_booking, run_due_work

pytestmark = pytest.mark.django_db
CREATE = "refunds.create"


def kinds(*which: str) -> list[tuple[str, str]]:
    return told(template__in=which)


def deliver_again() -> None:
    """Every event is told once more, as after a worker that died."""
    EventDelivery.objects.update(status="PENDING", next_run_at=Now())
    run_due_work()


def text_of(template: str) -> str:
    return render(template, message(template).context, person="").text


def make_taxed(mode: str) -> Any:
    return make_priced_resource(mode, tax_rate="19.00")


def test_a_card_payment_has_a_receipt_without_a_number(sandbox: Sandbox) -> None:
    booking = make_paid_booking(sandbox, resource=make_taxed("ONLINE"))
    run_due_work()

    context = message("receipt").context
    assert context["reference"] == booking.reference
    assert (context["number"], context["method"]) == ("", "CARD")
    assert (context["paid_minor"], context["currency"]) == (2400, "EUR")
    assert (context["tax_minor"], context["tax_rate"]) == (383, "19.00")
    paid_at = CardPayment.objects.get().succeeded_at
    assert paid_at is not None
    assert context["paid_at"] == paid_at.isoformat()
    assert "24.00 EUR" in text_of("receipt")


def test_each_offline_payment_has_its_numbered_receipt() -> None:
    booking = make_booking(resource=make_taxed("AT_VENUE"))
    payable = Payable.objects.get(pk=booking.payable_id)
    for amount in (1000, 1400):
        make_cash(payable, amount)
        run_due_work()

    contexts = [
        each.context for each in Notification.objects.filter(template="receipt")
    ]

    assert sorted(each["paid_minor"] for each in contexts) == [1000, 1400]
    numbers = OfflinePayment.objects.values_list("receipt_number", flat=True)
    assert {each["number"] for each in contexts} == {str(each) for each in numbers}
    assert {each["method"] for each in contexts} == {"CASH"}


def test_events_that_are_told_twice_queue_nothing_twice(
    api_of: Any, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    run_due_work()
    cancel(api_of(User.objects.get(pk=booking.customer_id)), booking)
    run_due_work()
    before = told()

    deliver_again()
    settle_payable(payable_id=Payable.objects.get().pk)

    assert told() == before
    wanted = sorted(kind for kind, status in before if status != "CANCELLED")
    assert wanted == ["booking_cancelled", "receipt", "refund_succeeded"]


def test_a_refund_that_arrived_is_told_by_its_amount(
    api_of: Any, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    cancel(api_of(User.objects.get(pk=booking.customer_id)), booking)
    run_due_work()

    succeeded = message("refund_succeeded")

    assert succeeded.context["refund_minor"] == 2400
    assert succeeded.reference == booking.reference
    assert "Your refund of 24.00 EUR" in text_of("refund_succeeded")


@pytest.fixture
def stuck(sandbox: Sandbox, stripe: Stripe, api_of: Any) -> Refund:
    """Stripe refuses it for good, and its customer was told that it takes longer."""
    booking = make_paid_booking(sandbox)
    run_due_work()
    stripe.fails("4xx", CREATE)
    cancel(api_of(User.objects.get(pk=booking.customer_id)), booking)
    run_due_work()
    refund = Refund.objects.get()
    assert refund.status == "NEEDS_STAFF"
    assert message("refund_delayed").subject_id == str(booking.pk)
    return refund


NEWS = ("refund_delayed", "refund_elsewhere", "refund_succeeded")


def test_one_that_succeeds_after_all_is_late_no_more(stuck: Refund) -> None:
    retry_refund(refund_id=stuck.pk, staff_id=make_staff().pk)
    run_due_work()

    assert kinds(*NEWS) == [
        ("refund_delayed", "CANCELLED"),
        ("refund_succeeded", "PENDING"),
    ]


def test_what_the_front_desk_is_to_pay_out_is_told_and_then_that_it_was(
    stuck: Refund,
) -> None:
    bob = make_staff().pk
    hand_to_front_desk(refund_id=stuck.pk, staff_id=bob)
    run_due_work()
    assert message("refund_elsewhere").context["is_settled"] is False
    assert "Please collect it at the venue" in text_of("refund_elsewhere")

    settle_by_hand(refund_id=stuck.pk, staff_id=bob, evidence="Slip 12.")
    run_due_work()
    deliver_again()

    assert kinds(*NEWS) == [
        ("refund_delayed", "CANCELLED"),
        ("refund_elsewhere", "CANCELLED"),
        ("refund_elsewhere", "PENDING"),
    ]
    assert message("refund_elsewhere").context["is_settled"] is True
    assert "You have got 24.00 EUR back." in text_of("refund_elsewhere")


def test_cash_that_was_given_back_was_not_given_in_another_way(api_of: Any) -> None:
    booking = make_booking(resource=make_taxed("AT_VENUE"))
    make_cash(Payable.objects.get(), 2400)
    cancel(api_of(User.objects.get(pk=booking.customer_id)), booking)
    run_due_work()
    assert kinds("refund_elsewhere") == []

    bob = make_staff().pk
    settle_by_hand(refund_id=Refund.objects.get().pk, staff_id=bob, evidence="Slip 3.")
    run_due_work()

    text = text_of("refund_elsewhere")
    assert "You have got 24.00 EUR back." in text
    assert "another way" not in text


def test_news_that_comes_late_tells_how_things_are_now(stuck: Refund) -> None:
    """An event is delivered when the refund has long arrived."""
    retry_refund(refund_id=stuck.pk, staff_id=make_staff().pk)
    run_due_work()
    Notification.objects.filter(template="refund_delayed").update(
        dedupe_key="never queued"
    )

    deliver_again()

    delayed = [status for kind, status in kinds("refund_delayed")]
    assert delayed == ["CANCELLED"]


def test_whom_the_venue_cancels_reads_who_it_was(sandbox: Sandbox) -> None:
    booking: Booking = make_paid_booking(sandbox, resource=make_taxed("ONLINE"))
    bob = make_staff(venues=[make_venue()])

    cancel_in_full(booking_id=booking.pk, staff_id=bob.pk, reason="Flood.")
    run_due_work()

    text = text_of("booking_cancelled")
    assert "The venue had to cancel your booking." in text
    assert "You get 24.00 EUR back." in text
    assert "Flood" not in text


def test_money_that_buys_nothing_has_no_receipt_of_a_sale(api_of: Any) -> None:
    booking = make_booking(resource=make_priced_resource("AT_VENUE"))
    api: APIClient = api_of(User.objects.get(pk=booking.customer_id))
    cancel(api, booking)
    make_cash(Payable.objects.get(), 500, may_exceed=True)
    run_due_work()

    assert kinds("receipt") == []
    assert message("late_payment_refunded").context["payout_minor"] == 500
