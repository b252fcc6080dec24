"""Money that staff take in by hand: once, with a receipt, and never changed."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from payments.errors import Overpayment, PayableNotFound, PossibleDuplicate
from payments.models import OfflinePayment, Payable
from payments.services.offline import Received, record_payment
from payments.states import OfflineMethod
from recovery.models import AuditEntry, OutboxEvent
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import uuid7
from slotbase.lib.money import tax_within
from tests.adversity import Clock
from tests.factories import make_booking, make_resource, make_staff, make_venue
from tests.payments.money import counters, make_cash, make_payable, new_key

pytestmark = pytest.mark.django_db


def received(payable: Payable, amount_minor: int = 2400, **over: Any) -> Received:
    fields: dict[str, Any] = {
        "payable_id": payable.pk,
        "amount_minor": amount_minor,
        "method": OfflineMethod.CASH,
        "staff_id": make_staff().pk,
        "key": new_key(),
    }
    return Received(**{**fields, **over})


def test_cash_counts_and_has_a_receipt() -> None:
    payable = make_payable(2400, tax_rate=Decimal("19.00"))
    bob = make_staff()

    payment, is_new = record_payment(received(payable, 2400, staff_id=bob.pk))

    payable.refresh_from_db()
    assert is_new
    assert (payment.receipt_number, payment.recorded_by) == (1, bob)
    assert (payment.tax_rate, payment.tax_minor) == (Decimal("19.00"), 383)
    assert (payable.status, payable.due_minor) == ("PAID", 0)
    assert payable.paid_at is not None
    assert OutboxEvent.objects.filter(type="payments.payable_settled").count() == 1
    entry = AuditEntry.objects.get(action="payment.recorded")
    assert (entry.actor_id, entry.subject_id) == (str(bob.pk), str(payment.pk))


def test_the_same_form_five_times_is_one_payment() -> None:
    form = received(make_payable())

    results = [record_payment(form) for _ in range(5)]

    assert [is_new for _, is_new in results] == [True, False, False, False, False]
    assert len({payment.pk for payment, _ in results}) == 1
    assert counters(form.payable_id)[1] == 2400


def test_the_same_form_for_something_else_is_refused() -> None:
    key = new_key()
    record_payment(received(make_payable(), key=key))

    with pytest.raises(InvalidState):
        record_payment(received(make_payable(), key=key))


def test_the_same_amount_a_moment_later_may_be_a_duplicate() -> None:
    payable = make_payable(2400)
    make_cash(payable, 1000)

    with pytest.raises(PossibleDuplicate, match="receipt 1"):
        make_cash(payable, 1000)
    assert OfflinePayment.objects.count() == 1

    make_cash(payable, 1000, is_second=True)
    assert counters(payable.pk)[1] == 2000


def test_the_same_amount_after_five_minutes_is_another_payment(clock: Clock) -> None:
    payable = make_payable(2400)
    make_cash(payable, 1000)
    clock.move(minutes=5, seconds=1)

    make_cash(payable, 1000)

    assert counters(payable.pk)[1] == 2000


def test_another_amount_is_another_payment() -> None:
    payable = make_payable(2400)

    make_cash(payable, 1000)
    make_cash(payable, 1400)

    assert counters(payable.pk)[1] == 2400


def test_more_than_is_due_is_refused_with_what_is_due() -> None:
    payable = make_payable(2400)
    make_cash(payable, 1000)

    with pytest.raises(Overpayment) as refused:
        make_cash(payable, 1401)

    assert refused.value.due_minor == 1400
    assert counters(payable.pk)[1] == 1000


def test_more_than_is_due_is_a_credit_where_staff_say_so() -> None:
    payable = make_payable(2400)

    make_cash(payable, 3000, may_exceed=True)

    payable.refresh_from_db()
    assert (payable.status, payable.excess_minor) == ("OVERPAID", 600)


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"amount_minor": 0}, "amount"),
        ({"amount_minor": -100}, "amount"),
        ({"amount_minor": 2**63, "may_exceed": True}, "amount"),
        ({"method": OfflineMethod.OTHER}, "note"),
        ({"method": OfflineMethod.OTHER, "note": "  "}, "note"),
    ],
)
def test_what_cannot_be_right_names_its_field(over: dict[str, Any], field: str) -> None:
    payable = make_payable()

    with pytest.raises(ValidationFailed) as refused:
        record_payment(received(payable, **over))

    assert field in refused.value.extra["errors"]
    assert not OfflinePayment.objects.exists()


def test_there_must_be_something_to_pay_and_a_venue_that_takes_it() -> None:
    nowhere = make_payable()
    Payable.objects.update(venue=None)

    with pytest.raises(PayableNotFound):
        record_payment(received(nowhere))
    with pytest.raises(PayableNotFound):
        record_payment(received(nowhere, payable_id=uuid7()))


def numbers_of(venue_id: int) -> list[int]:
    found = OfflinePayment.objects.filter(venue=venue_id)
    return sorted(found.values_list("receipt_number", flat=True))


def test_receipts_are_numbered_without_gaps_for_each_venue() -> None:
    here, there = make_venue(), make_venue()
    payable = make_payable(2400, venue=here)
    make_cash(payable, 1000)
    for _ in range(3):  # refused: no number is lost by it
        with pytest.raises(Overpayment):
            make_cash(payable, 9999)
    make_cash(make_payable(venue=there), 2400)
    make_cash(payable, 1400)

    assert numbers_of(here.pk) == [1, 2]
    assert numbers_of(there.pk) == [1]


@pytest.mark.parametrize(
    ("amount", "rate", "tax"),
    [
        (11900, "19.00", 1900),
        (2400, "19.00", 383),
        (2400, "7.00", 157),
        (1, "19.00", 0),
        (2400, "0.00", 0),
        (2400, "100.00", 1200),
    ],
)
def test_the_tax_is_within_the_amount(amount: int, rate: str, tax: int) -> None:
    assert tax_within(amount, Decimal(rate)) == tax


def payable_of_booking() -> UUID:
    resource = make_resource(payment_mode="AT_VENUE", price_minor=1200)
    booking = make_booking(resource=resource)
    assert booking.payable_id is not None
    return booking.payable_id


def test_a_booking_that_is_paid_at_the_venue_owes_its_price() -> None:
    payable = Payable.objects.get(pk=payable_of_booking())

    make_cash(payable, 2400)

    payable.refresh_from_db()
    assert (payable.status, payable.reference) == ("PAID", payable.reference)
    assert payable.reference
