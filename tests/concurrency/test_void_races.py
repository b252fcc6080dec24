"""A payment by hand at one instant from two sides: voided, or given back, never both.

Each guard has its positive control: the same race without it is lost.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from unittest import mock
from uuid import UUID

import pytest

from payments.errors import PayableHasChanged, RefundExceedsBalance
from payments.models import OfflinePayment, Payable, Refund
from payments.services import refunds, voiding
from payments.services.refunds import refund_amount
from payments.services.voiding import void_payment
from recovery import invariants
from slotbase.accounts.models import User
from slotbase.lib.errors import InvalidState
from tests.concurrency.race import at_once, errors_in
from tests.factories import make_staff
from tests.payments.money import counters, make_cash, make_payable

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6


@contextmanager
def both_look_first() -> Iterator[None]:
    """Whoever has seen what is left waits, if possible, until the other one has too."""
    both = threading.Barrier(2)

    def waiting(look: Callable[[Any], int]) -> Callable[[Any], int]:
        def look_and_wait(payment: Any) -> int:
            left = look(payment)
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=0.3)
            return left

        return look_and_wait

    with (
        mock.patch.object(voiding, "left_minor", waiting(voiding.left_minor)),
        mock.patch.object(
            refunds, "refundable_minor", waiting(refunds.refundable_minor)
        ),
    ):
        yield


def read_payable(payable_id: UUID) -> Payable:
    """As if there were no lock."""
    return Payable.objects.get(pk=payable_id)


@contextmanager
def without_lock() -> Iterator[None]:
    with (
        mock.patch.object(voiding, "lock_payable", read_payable),
        mock.patch.object(refunds, "lock_payable", read_payable),
    ):
        yield


def void(payment: OfflinePayment, manager: User) -> Any:
    return void_payment(payment_id=payment.pk, staff_id=manager.pk, reason="Twice")


def give_back(payment: OfflinePayment, manager: User, version: int) -> Any:
    return refund_amount(
        payment_id=payment.pk,
        amount_minor=payment.amount_minor,
        staff_id=manager.pk,
        version=version,
        stays_owed=True,
    )


def race(payment: OfflinePayment) -> list[Any]:
    manager = make_staff("manager")
    version = Payable.objects.get(pk=payment.payable_id).version
    with both_look_first():
        return at_once(
            [
                partial(void, payment, manager),
                partial(give_back, payment, manager, version),
            ]
        )


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_a_void_and_a_refund_one_is_accepted(round_: int) -> None:
    payment = make_cash(make_payable(2400), 2400)

    [refused] = errors_in(race(payment))

    assert isinstance(refused, InvalidState | PayableHasChanged | RefundExceedsBalance)
    is_void = OfflinePayment.objects.filter(reverses=payment).exists()
    assert Refund.objects.exists() is not is_void
    assert counters(payment.payable_id) == (
        2400,
        *((0, 0, 0) if is_void else (2400, 0, 2400)),
        0,
    )


@pytest.mark.breaks_invariants
def test_without_the_lock_both_are_and_the_check_finds_it() -> None:
    payment = make_cash(make_payable(2400), 2400)

    with without_lock():
        outcomes = race(payment)

    assert errors_in(outcomes) == []
    found = {violation.id for violation in invariants.find_violations(full=True)}
    assert "I2.voids" in found


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_two_voids_one_is_accepted(round_: int) -> None:
    payment, manager = make_cash(make_payable(2400), 2400), make_staff("manager")

    outcomes = at_once([partial(void, payment, manager)] * 2)

    assert [type(error) for error in errors_in(outcomes)] == [InvalidState]
    assert OfflinePayment.objects.filter(reverses=payment).count() == 1
