"""What is owed: lines, counters, one word for them, and the end of a sale."""

import pytest
from django.db import IntegrityError, transaction

from payments.errors import PayableNotFound
from payments.locks import lock_payable
from payments.models import CardPayment, Payable
from payments.services.card_payments import begin_card_payment
from payments.services.payables import charge, end_payables, name_payable, waive
from payments.states import LineKind
from recovery.models import AuditEntry, OutboxEvent
from slotbase.lib.db import NotInTransaction
from slotbase.lib.ids import uuid7
from tests.adversity import Stripe
from tests.conftest import Sandbox
from tests.payments.money import (
    TESTER,
    ask_refund,
    begin,
    counters,
    make_cash,
    make_paid,
    make_payable,
    send,
)

pytestmark = pytest.mark.django_db


def lines_of(payable: Payable) -> list[tuple[str, int]]:
    return list(payable.lines.order_by("id").values_list("kind", "amount_minor"))


def end(payable: Payable) -> None:
    with transaction.atomic():
        end_payables([payable.pk], actor=TESTER)
    payable.refresh_from_db()


def test_what_is_owed_is_the_sum_of_its_lines() -> None:
    payable = make_payable(2400)

    with transaction.atomic():
        charge(payable, LineKind.FEE, 300)
        charge(payable, LineKind.MOVE, -500)

    assert lines_of(payable) == [("PRICE", 2400), ("FEE", 300), ("MOVE", -500)]
    assert (payable.owed_minor, payable.due_minor) == (2200, 2200)


def test_what_costs_nothing_has_no_lines_and_is_never_covered() -> None:
    payable = make_payable(0)

    assert lines_of(payable) == []
    assert (payable.due_minor, payable.is_covered) == (0, False)


@pytest.mark.parametrize(
    ("kind", "amount"), [("WAIVER", 1), ("PRICE", -1), ("FEE", -1)]
)
def test_lines_have_the_sign_of_their_kind(kind: LineKind, amount: int) -> None:
    payable = make_payable()

    with (
        pytest.raises(IntegrityError, match="payments_line_sign"),
        transaction.atomic(),
    ):
        charge(payable, kind, amount)


def test_a_waiver_leaves_a_fee_and_nothing_twice() -> None:
    payable = make_payable(2400)

    with transaction.atomic():
        waive(payable, fee_minor=600)
        waive(payable, fee_minor=600)

    assert payable.owed_minor == 600


def test_money_of_a_sale_that_came_to_nothing_is_to_be_decided(
    sandbox: Sandbox,
) -> None:
    payment = make_paid(sandbox)
    OutboxEvent.objects.all().delete()

    end(payment.payable)

    assert (payment.payable.owed_minor, payment.payable.excess_minor) == (0, 2400)
    event = OutboxEvent.objects.get(type="payments.payable_settled")
    assert event.subject_id == str(payment.payable_id)


def test_the_end_of_an_unpaid_sale_tells_nobody_and_calls_its_payment_off(
    sandbox: Sandbox,
) -> None:
    payment = begin(make_payable())

    end(payment.payable)

    payment.refresh_from_db()
    assert payment.cancel_requested_at is not None
    assert not OutboxEvent.objects.filter(type="payments.payable_settled").exists()
    assert AuditEntry.objects.filter(action="payable.ended").count() == 1


def test_what_is_called_off_already_is_not_called_off_again(sandbox: Sandbox) -> None:
    payment = begin(make_payable())
    end(payment.payable)
    first = CardPayment.objects.get().cancel_requested_at

    end(payment.payable)

    assert CardPayment.objects.get().cancel_requested_at == first


def test_a_payable_gets_the_reference_of_its_booking() -> None:
    payable = make_payable(reference="")

    with transaction.atomic():
        name_payable(payable.pk, reference="7K3QF-9XW2M")

    assert Payable.objects.get().reference == "7K3QF-9XW2M"


def test_nobody_counts_money_outside_of_a_transaction(
    transactional_db: None,
) -> None:
    with pytest.raises(NotInTransaction):
        lock_payable(uuid7())


def test_there_is_nothing_to_lock_where_nothing_is_owed() -> None:
    with pytest.raises(PayableNotFound), transaction.atomic():
        lock_payable(uuid7())


def test_two_open_payments_of_one_sale_cannot_be() -> None:
    payable = make_payable()
    with transaction.atomic():
        begin_card_payment(payable, actor=TESTER)

    with pytest.raises(IntegrityError, match="one_open"), transaction.atomic():
        CardPayment.objects.create(payable=payable, amount_minor=1, currency="EUR")


# --- In one word ---------------------------------------------------------------


def test_the_word_follows_the_money(sandbox: Sandbox) -> None:
    payable = make_payable(2400)
    words = [payable.status]

    def note() -> None:
        words.append(Payable.objects.get().status)

    make_cash(payable, 1000)
    note()
    payment = make_paid(sandbox, payable)
    note()
    send(ask_refund(payment, 400))
    note()

    assert words == ["UNPAID", "PARTIALLY_PAID", "PAID", "PARTIALLY_REFUNDED"]


def test_what_was_never_paid_is_not_called_paid_once_nothing_is_owed() -> None:
    payable = make_payable()

    end(payable)

    assert payable.status == "UNPAID"


def test_what_is_on_its_way_back_is_not_called_too_much(sandbox: Sandbox) -> None:
    payment = make_paid(sandbox)
    end(payment.payable)
    assert payment.payable.status == "OVERPAID"

    refund = ask_refund(payment, 2400)
    assert Payable.objects.get().status == "PAID"

    send(refund)
    assert Payable.objects.get().status == "REFUNDED"


def test_counters_are_owed_paid_refunded_reserved_and_disputed(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    payment = make_paid(sandbox)
    send(ask_refund(payment, 300))
    ask_refund(payment, 200)

    assert counters(payment.payable_id) == (2400, 2400, 300, 200, 0)
    assert Payable.objects.get().kept_minor == 1900
