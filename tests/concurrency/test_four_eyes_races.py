"""Two people, or three, decide about the same money at one instant (S21)."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from payments.models import Refund
from payments.services import four_eyes
from recovery import approvals
from recovery.errors import ApprovalRequired
from recovery.models import Approval
from slotbase.accounts.models import User
from tests.adversity import Stripe
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import make_staff, make_venue
from tests.payments.money import ask_refund, make_cash, make_paid, make_payable
from tests.payments.test_four_eyes import (
    MUCH,
    approve,
    pay_out,
    propose_refund,
    sent,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 4


@pytest.fixture(autouse=True)
def _patient_stripe(stripe: Stripe, settings: Any) -> None:
    """Many call at once on a small computer: nobody hangs up."""
    settings.PROVIDER_CONNECT_SECONDS = 20
    settings.PROVIDER_TIMEOUT_SECONDS = 20
    settings.PROVIDER_WORKER_TIMEOUT_SECONDS = 20


def make_proposal(sandbox: Sandbox) -> tuple[Approval, Any, Callable[[], User]]:
    """A refund that somebody proposed, its payment, and people who may agree."""
    venue = make_venue()
    payment = make_paid(sandbox, make_payable(3 * MUCH, venue=venue))
    approval = propose_refund(make_staff("support", [venue]), payment)
    return approval, payment, lambda: make_staff("support_lead", [venue])


def test_of_many_who_agree_at_once_one_sends_it(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    """S21: two approvals racing; exactly one refund call in the ledger."""
    approval, _, make_lead = make_proposal(sandbox)
    people = [make_lead() for _ in range(5)]
    outcomes = at_once([lambda by=by: approve(approval, by) for by in people])
    assert len(errors_in(outcomes)) == 4
    assert sent(stripe) == [MUCH]


def test_agreeing_and_withdrawing_at_once_do_not_both_happen(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    """S21: what was withdrawn is never sent."""
    for _ in range(ROUNDS):
        approval, payment, make_lead = make_proposal(sandbox)
        ben, by = make_lead(), approval.proposed_by_id
        take_back = {"approval_id": approval.pk, "staff_id": by, "version": 1}
        outcomes = at_once(
            [
                lambda: approve(approval, ben),  # noqa: B023 - done in this round
                lambda: approvals.withdraw(**take_back),  # noqa: B023 - as above
            ]
        )
        approval.refresh_from_db()
        assert len(errors_in(outcomes)) == 1
        was_sent = Refund.objects.filter(card_payment=payment).exists()
        assert was_sent == (approval.status == "APPROVED")


def test_agreeing_and_another_refund_at_once_give_back_one_of_them(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    """S21: the money is not any more what was agreed to, or the other was too late."""
    for _ in range(ROUNDS):
        approval, payment, make_lead = make_proposal(sandbox)
        ben, carl = make_lead(), make_lead()
        outcomes = at_once(
            [
                lambda: approve(approval, ben),  # noqa: B023 - done in this round
                lambda: ask_refund(payment, 100, carl.pk),  # noqa: B023 - as above
            ]
        )
        amounts = Refund.objects.filter(card_payment=payment)
        done = 2 - len(errors_in(outcomes))
        assert amounts.count() == done
        # Whoever came second and had looked before was told to look again.
        agreed = amounts.filter(amount_minor=MUCH).exists()
        assert agreed == (Approval.objects.get(pk=approval.pk).status == "APPROVED")
        assert done in {1, 2}


def two_at_once(sandbox: Sandbox) -> list[Any]:
    """One person, two sales, 60.00 each."""
    ana = make_staff("support")
    sales = [make_paid(sandbox, make_payable(6000)) for _ in range(2)]
    return at_once([lambda sale=sale: ask_refund(sale, 6000, ana.pk) for sale in sales])


def test_one_person_does_not_pass_the_limit_in_two_windows(
    sandbox: Sandbox, stripe: Stripe
) -> None:
    """S21: splitting, at one instant: each would not see the other."""
    outcomes = two_at_once(sandbox)
    assert [type(error) for error in errors_in(outcomes)] == [ApprovalRequired]
    assert sent(stripe) == [6000]


def test_without_taking_turns_both_windows_would_pass(
    sandbox: Sandbox, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: they add up while neither has committed."""
    meet = threading.Barrier(2)
    monkeypatch.setattr(four_eyes, "lock_decisions_of", lambda _: meet.wait(20))
    assert errors_in(two_at_once(sandbox)) == []
    assert sent(stripe) == [6000, 6000]


def make_payouts() -> list[Refund]:
    """60.00 each, owed in cash."""
    return [ask_refund(make_cash(make_payable(6000), 6000), 6000) for _ in range(2)]


def pay_out_at_once(owed: list[Refund]) -> list[Any]:
    """By one person, in two windows."""
    ana = make_staff("front_desk")
    return at_once([lambda each=each: pay_out(each, ana) for each in owed])


def test_one_person_does_not_pay_out_more_in_two_windows() -> None:
    """S21: splitting, where money leaves by hand, at one instant."""
    outcomes = pay_out_at_once(make_payouts())
    assert [type(error) for error in errors_in(outcomes)] == [ApprovalRequired]
    assert Refund.objects.filter(status="RESOLVED_OUT_OF_BAND").count() == 1


def test_without_taking_turns_both_would_be_paid_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: neither sees what the other has not committed."""
    owed, meet = make_payouts(), threading.Barrier(2)
    taken = {"lock_decisions_of": lambda _: None, "_note": note_together(meet)}
    for name, instead in taken.items():
        monkeypatch.setattr(four_eyes, name, instead)
    assert errors_in(pay_out_at_once(owed)) == []
    assert Refund.objects.filter(status="RESOLVED_OUT_OF_BAND").count() == 2


def note_together(meet: threading.Barrier) -> Callable[..., None]:
    """Both have counted before one of them writes what it does."""
    note = four_eyes._note

    def wait_and_note(*args: Any) -> None:
        meet.wait(20)
        note(*args)

    return wait_and_note
