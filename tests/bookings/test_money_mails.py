"""Mails about money are true: what goes back, where, why, and what is kept."""

from typing import Any

import pytest

from bookings.models import (
    Booking,
    CancellationPolicy,
    CancellationTier,
    Resource,
)
from bookings.services.bookings import confirm_hold
from bookings.services.cancelling import cancel_booking
from notifications.models import Notification
from notifications.rendering import render
from payments.models import CardPayment, OfflinePayment, Payable, Refund
from payments.services.refunds import refund_amount
from recovery.deliveries import deliver_events
from tests.adversity import Stripe
from tests.bookings.till import act
from tests.conftest import Sandbox
from tests.factories import (
    make_booking,
    make_hold,
    make_priced_resource,
    make_staff,
    make_venue,
)
from tests.payments.money import (
    begin_payment,
    make_cash,
    make_paid_booking,
    open_kinds,
    process_all,
    run_due_work,
    store_event,
)

pytestmark = pytest.mark.django_db

BY_CARD = "It usually arrives within 5 to 10 days, where you paid from."


def make_half_price_resource(mode: str = "AT_VENUE") -> Resource:
    """24.00 an hour, and half of it is kept of whatever is cancelled."""
    venue = make_venue()
    policy = CancellationPolicy.objects.create(venue=venue, name="Half")
    CancellationTier.objects.create(
        policy=policy, hours_before=0, keep_percent=50, keep_minor=0
    )
    return make_priced_resource(mode, venue=venue, cancellation_policy=policy)


def make_unpaid(resource: Resource) -> Booking:
    """Its customer began to pay by card, and then chose to pay at the venue."""
    hold = make_hold(resource=resource)
    begin_payment(hold)
    return confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id, pay="at_venue")[
        0
    ]


def make_paid_by_card_and_in_cash(stripe: Stripe) -> Booking:
    """24.00 by card, of which 10.00 went back and were paid at the desk then."""
    booking = make_unpaid(make_priced_resource("EITHER"))
    store_event("payment_intent.succeeded", act(stripe, booking.hold))
    process_all()
    give_back(1000, stays_owed=True)
    cash(booking, 1000)
    return booking


def give_back(amount_minor: int, **more: Any) -> None:
    """Staff do, of the only card payment."""
    refund_amount(
        payment_id=CardPayment.objects.get().pk,
        amount_minor=amount_minor,
        staff_id=make_staff().pk,
        version=Payable.objects.get().version,
        **more,
    )
    run_due_work()


def cancel(booking: Booking) -> None:
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()


def cash(booking: Booking, amount_minor: int, **more: Any) -> OfflinePayment:
    payable = Payable.objects.get(pk=booking.payable_id)
    staff = make_staff(venues=[booking.resource.venue])
    return make_cash(payable, amount_minor, staff_id=staff.pk, **more)


def pay_after_all(stripe: Stripe, booking: Booking) -> None:
    """The customer pays by card, is faster than we, and we learn of it afterwards."""
    intent_id = act(stripe, booking.hold)
    cancel(booking)
    store_event("payment_intent.succeeded", intent_id)
    process_all()
    run_due_work()


def dispute(stripe: Stripe, booking: Booking, **more: Any) -> str:
    payment = CardPayment.objects.get(payable=booking.payable_id)
    opened = stripe.tell("disputes", payment_intent=payment.provider_id, **more)
    store_event("charge.dispute.created", opened["id"])
    process_all()
    id_: str = opened["id"]
    return id_


def decide(stripe: Stripe, dispute_id: str, status: str) -> None:
    stripe.tell("disputes", dispute=dispute_id, status=status)
    store_event("charge.dispute.closed", dispute_id)
    process_all()
    run_due_work()


def mail(template: str) -> str:
    """The text of the one mail of this kind."""
    message = Notification.objects.get(template=template)
    return render(template, message.context, person="").text


def templates() -> list[str]:
    """What was told of the cancellation, and not of each payment and refund."""
    others = ["receipt", "refund_succeeded", "refund_elsewhere", "booking_reminder"]
    told = Notification.objects.exclude(status="CANCELLED").order_by("id")
    told = told.exclude(template__in=others)
    return [*told.values_list("template", flat=True)]


def test_who_cancels_without_a_fee_and_has_not_paid_reads_of_no_fee() -> None:
    booking = make_booking(resource=make_priced_resource("AT_VENUE"))

    cancel(booking)

    assert "There is no money to be given back." in mail("booking_cancelled")
    assert "fee" not in mail("booking_cancelled")


def test_a_fee_that_was_not_paid_is_to_be_paid() -> None:
    booking = make_booking(resource=make_half_price_resource())

    cancel(booking)

    text = mail("booking_cancelled")
    assert "A fee of 12.00 EUR is to be paid, as the terms of the booking say." in text
    assert "kept" not in text


@pytest.mark.parametrize("parts", [[1200], [500, 700], [2400]])
def test_who_pays_a_fee_when_it_is_cancelled_has_receipts(parts: list[int]) -> None:
    booking = make_booking(resource=make_half_price_resource())
    cancel(booking)

    for amount in parts:
        cash(booking, amount, may_exceed=True)
        run_due_work()

    receipts = Notification.objects.filter(template="receipt").order_by("pk")
    assert [each.context["paid_minor"] for each in receipts] == parts
    # What came when it was paid goes back, and has none.
    cash(booking, 300, may_exceed=True)
    run_due_work()
    assert receipts.count() == len(parts)


def test_of_a_fee_that_was_paid_in_part_the_rest_is_to_be_paid() -> None:
    booking = make_booking(resource=make_half_price_resource())
    cash(booking, 500)

    cancel(booking)

    assert (
        "A fee of 5.00 EUR was kept, and 7.00 EUR more is to be paid,"
        " as the terms of the booking say." in mail("booking_cancelled")
    )


def test_a_fee_that_was_paid_is_kept_and_the_rest_goes_back(sandbox: Sandbox) -> None:
    resource = make_half_price_resource("ONLINE")
    booking = make_paid_booking(sandbox, resource=resource)

    cancel(booking)

    text = mail("booking_cancelled")
    assert f"You get 12.00 EUR back. {BY_CARD}" in text
    assert "A fee of 12.00 EUR was kept, as the terms of the booking say." in text


def test_cash_is_fetched_where_it_was_paid() -> None:
    booking = make_booking(resource=make_priced_resource("AT_VENUE"))
    cash(booking, 2400)

    cancel(booking)

    text = mail("booking_cancelled")
    assert "You get 24.00 EUR back at the venue: please collect it there." in text
    assert "days" not in text


def test_of_money_from_card_and_till_the_mail_says_which_goes_where(
    stripe: Stripe,
) -> None:
    cancel(make_paid_by_card_and_in_cash(stripe))

    text = mail("booking_cancelled")
    assert f"You get 14.00 EUR back. {BY_CARD}" in text
    assert "You get 10.00 EUR back at the venue: please collect it there." in text


def test_what_staff_gave_back_before_is_not_promised_again(sandbox: Sandbox) -> None:
    booking = make_paid_booking(sandbox)
    give_back(500)

    cancel(booking)

    assert "You get 19.00 EUR back." in mail("booking_cancelled")


def test_who_cancels_during_a_dispute_reads_that_the_bank_decides(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox, resource=make_half_price_resource("ONLINE"))
    dispute(stripe, booking)

    cancel(booking)

    text = mail("booking_cancelled")
    assert "Your bank is deciding about 24.00 EUR" in text
    assert "no money" not in text
    assert "fee" not in text


def test_an_inquiry_of_a_bank_keeps_nothing_back(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox)
    dispute(stripe, booking, status="warning_needs_response")

    cancel(booking)

    assert "You get 24.00 EUR back." in mail("booking_cancelled")
    assert "bank" not in mail("booking_cancelled")


def test_who_paid_in_time_and_won_a_dispute_does_not_read_that_it_was_too_late(
    stripe: Stripe, sandbox: Sandbox
) -> None:
    booking = make_paid_booking(sandbox, resource=make_half_price_resource("ONLINE"))
    id_ = dispute(stripe, booking)
    cancel(booking)

    decide(stripe, id_, "won")

    assert templates() == ["booking_cancelled", "refund_promised"]
    text = mail("refund_promised")
    assert f"You get 12.00 EUR back. {BY_CARD}" in text
    assert "A fee of 12.00 EUR was kept" in text
    assert Refund.objects.get().reason == "CANCELLED"
    assert open_kinds() == []


def test_what_the_mail_of_the_cancellation_will_say_has_no_mail_of_its_own(
    stripe: Stripe,
) -> None:
    booking = make_paid_by_card_and_in_cash(stripe)
    id_ = dispute(stripe, booking, amount=1400)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    stripe.tell("disputes", dispute=id_, status="won")
    store_event("charge.dispute.closed", id_)
    process_all()
    deliver_events("bookings.settling")
    assert Refund.objects.filter(reason="CANCELLED").count() == 2

    run_due_work()

    assert templates() == ["booking_cancelled"]
    assert "You get 14.00 EUR back." in mail("booking_cancelled")
    assert "You get 10.00 EUR back at the venue" in mail("booking_cancelled")


def test_late_money_for_a_cancelled_booking_goes_back_but_for_the_fee(
    stripe: Stripe,
) -> None:
    booking = make_unpaid(make_half_price_resource("EITHER"))

    pay_after_all(stripe, booking)

    text = mail("late_payment_refunded")
    assert f"You get 12.00 EUR back. {BY_CARD}" in text
    assert "all of your money" not in text
    assert "A fee of 12.00 EUR was kept, as the terms of the booking say." in text
    assert Refund.objects.get().reason == "LATE"


def test_late_money_for_a_booking_cancelled_for_nothing_goes_back_in_full(
    stripe: Stripe,
) -> None:
    booking = make_unpaid(make_priced_resource("EITHER"))

    pay_after_all(stripe, booking)

    text = mail("late_payment_refunded")
    assert f"You get all of your money back: 24.00 EUR. {BY_CARD}" in text
    assert "fee" not in text
