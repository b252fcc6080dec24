"""What staff do about a refund that did not reach the customer."""

from typing import Any

import pytest

from payments.errors import RefundExceedsBalance, RefundNotFound
from payments.models import Refund
from payments.services.reconciling import reconcile_refund
from payments.services.refund_desk import (
    can_be_paid_out,
    hand_to_front_desk,
    look_at_stripe,
    retry_refund,
    settle_by_hand,
)
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import uuid7
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.factories import make_staff
from tests.payments.money import (
    ask_refund,
    counters,
    make_cash,
    make_paid,
    make_payable,
    make_sold,
    open_kinds,
    process_all,
    send,
    store_event,
)

pytestmark = pytest.mark.django_db

CREATE = "refunds.create"


@pytest.fixture
def bob(db: None) -> User:
    return make_staff()


@pytest.fixture
def refused(stripe: Stripe, sandbox: Sandbox) -> Refund:
    """Stripe said no."""
    stripe.fails("4xx", CREATE)
    return send(ask_refund(make_paid(sandbox), 1000))


@pytest.fixture
def failed(stripe: Stripe, sandbox: Sandbox) -> Refund:
    """The bank said no."""
    stripe.tell("refunds/next", status="failed", failure_reason="declined")
    return send(ask_refund(make_paid(sandbox), 1000))


@pytest.fixture
def unknown(stripe: Stripe, sandbox: Sandbox, settings: Any) -> Refund:
    """It happened, nobody heard of it, and all attempts are used."""
    settings.REFUND_RETRY_SECONDS = [0]
    stripe.fails("accept_then_hang", CREATE)
    return send(ask_refund(make_paid(sandbox), 1000))


@pytest.fixture
def payout(sandbox: Sandbox) -> Refund:
    """Cash that goes back by hand."""
    return ask_refund(make_cash(make_payable(), 2400), 1000)


def amounts(stripe: Stripe) -> list[int]:
    return [each["amount"] for each in stripe.effects("refund_created")]


# --- Again ---------------------------------------------------------------------


def test_a_refused_refund_is_sent_again_under_a_new_key(
    stripe: Stripe, refused: Refund, bob: User
) -> None:
    retry_refund(refund_id=refused.pk, staff_id=bob.pk)

    refund = send(refused)

    assert (refund.status, refund.epoch) == ("SUCCEEDED", 2)
    assert amounts(stripe) == [1000]
    assert open_kinds() == []
    assert Case.objects.get().close_reason == "The refund succeeded."


def test_one_that_may_have_happened_is_sent_again_under_the_same_key(
    stripe: Stripe, unknown: Refund, bob: User
) -> None:
    assert unknown.status == "NEEDS_STAFF"
    retry_refund(refund_id=unknown.pk, staff_id=bob.pk)

    refund = send(unknown)

    assert (refund.status, refund.epoch) == ("SUCCEEDED", 1)
    assert amounts(stripe) == [1000]


def test_one_that_may_have_happened_under_a_spent_key_is_looked_for(
    stripe: Stripe, unknown: Refund, bob: User
) -> None:
    Refund.objects.update(is_key_spent=True)
    retry_refund(refund_id=unknown.pk, staff_id=bob.pk)

    refund = send(unknown)

    assert (refund.status, refund.epoch) == ("SUCCEEDED", 1)
    assert amounts(stripe) == [1000]


def test_one_that_failed_at_its_bank_is_replaced_by_a_new_one(
    stripe: Stripe, failed: Refund, bob: User
) -> None:
    another = retry_refund(refund_id=failed.pk, staff_id=bob.pk)

    assert (another.origin, another.amount_minor) == (failed.pk, 1000)
    assert send(another).status == "SUCCEEDED"
    assert open_kinds() == []
    assert counters(failed.payable_id) == (2400, 2400, 1000, 0, 0)


def test_it_is_replaced_once(failed: Refund, bob: User) -> None:
    retry_refund(refund_id=failed.pk, staff_id=bob.pk)

    with pytest.raises(InvalidState, match="in its place"):
        retry_refund(refund_id=failed.pk, staff_id=bob.pk)
    with pytest.raises(InvalidState, match="in its place"):
        settle_by_hand(refund_id=failed.pk, staff_id=bob.pk, evidence="Receipt 7")
    assert not can_be_paid_out(failed)
    assert Refund.objects.count() == 2


def test_it_is_not_replaced_once_the_money_went_elsewhere(
    failed: Refund, bob: User
) -> None:
    assert failed.card_payment is not None
    ask_refund(failed.card_payment, 2400)

    with pytest.raises(RefundExceedsBalance):
        retry_refund(refund_id=failed.pk, staff_id=bob.pk)


def test_what_succeeded_or_is_paid_out_by_hand_is_not_sent_again(
    stripe: Stripe, sandbox: Sandbox, payout: Refund, bob: User
) -> None:
    done = send(ask_refund(make_paid(sandbox), 1000))

    for refund in (done, payout):
        with pytest.raises(InvalidState):
            retry_refund(refund_id=refund.pk, staff_id=bob.pk)


def test_there_is_nothing_to_do_about_no_refund(bob: User) -> None:
    nobody: dict[str, Any] = {"refund_id": uuid7(), "staff_id": bob.pk}

    with pytest.raises(RefundNotFound):
        retry_refund(**nobody)
    with pytest.raises(RefundNotFound):
        look_at_stripe(**nobody)
    with pytest.raises(RefundNotFound):
        hand_to_front_desk(**nobody)
    with pytest.raises(RefundNotFound):
        settle_by_hand(**nobody, evidence="Receipt 7")


# --- Looked at -----------------------------------------------------------------


def test_staff_have_stripe_asked_and_are_remembered_for_it(
    unknown: Refund, bob: User
) -> None:
    look_at_stripe(refund_id=unknown.pk, staff_id=bob.pk)

    entry = AuditEntry.objects.get(action="refund.reconcile_requested")
    assert entry.actor_id == str(bob.pk)
    reconcile_refund(refund_id=unknown.pk)
    assert open_kinds() == []


def test_stripe_is_not_asked_about_cash(payout: Refund, bob: User) -> None:
    with pytest.raises(InvalidState):
        look_at_stripe(refund_id=payout.pk, staff_id=bob.pk)


# --- In another way ------------------------------------------------------------


def test_another_way_is_offered_only_when_it_is_sure(
    stripe: Stripe, sandbox: Sandbox, settings: Any, clock: Clock, bob: User
) -> None:
    settings.REFUND_RETRY_SECONDS = [0]
    stripe.fails("hang", CREATE)
    refund = send(ask_refund(make_sold(sandbox), 1000))
    offered = [can_be_paid_out(refund)]

    for _ in range(2):
        reconcile_refund(refund_id=refund.pk)
        refund.refresh_from_db()
        offered.append(can_be_paid_out(refund))
        clock.move(minutes=2)

    assert offered == [False, False, True]


def test_one_that_may_still_arrive_is_not_handed_over(
    unknown: Refund, bob: User
) -> None:
    with pytest.raises(InvalidState, match="may have arrived"):
        hand_to_front_desk(refund_id=unknown.pk, staff_id=bob.pk)


@pytest.mark.parametrize("which", ["refused", "failed"])
def test_the_front_desk_pays_out_what_the_card_does_not_take(
    request: pytest.FixtureRequest, which: str, bob: User
) -> None:
    refund: Refund = request.getfixturevalue(which)

    hand_to_front_desk(refund_id=refund.pk, staff_id=bob.pk)

    refund.refresh_from_db()
    assert (refund.status, refund.is_payout) == ("NEEDS_STAFF", True)
    assert open_kinds() == ["refund_payout"]
    assert counters(refund.payable_id)[3] == 1000
    with pytest.raises(InvalidState):
        hand_to_front_desk(refund_id=refund.pk, staff_id=bob.pk)


def test_what_was_paid_out_is_settled_with_what_shows_it(
    payout: Refund, bob: User
) -> None:
    settle_by_hand(refund_id=payout.pk, staff_id=bob.pk, evidence="Receipt 1042")

    payout.refresh_from_db()
    assert (payout.status, payout.evidence) == ("RESOLVED_OUT_OF_BAND", "Receipt 1042")
    assert counters(payout.payable_id) == (2400, 2400, 1000, 0, 0)
    assert open_kinds() == []


def test_without_evidence_nothing_is_settled(payout: Refund, bob: User) -> None:
    with pytest.raises(ValidationFailed) as refused:
        settle_by_hand(refund_id=payout.pk, staff_id=bob.pk, evidence="  ")

    assert "evidence" in refused.value.extra["errors"]
    assert open_kinds() == ["refund_payout"]


def test_what_is_on_its_way_is_not_settled_by_hand(
    stripe: Stripe, sandbox: Sandbox, bob: User
) -> None:
    refund = ask_refund(make_paid(sandbox), 1000)

    with pytest.raises(InvalidState):
        settle_by_hand(refund_id=refund.pk, staff_id=bob.pk, evidence="Receipt 7")


def test_what_was_settled_by_hand_and_arrives_after_all_is_recorded_as_well(
    stripe: Stripe, unknown: Refund, bob: User
) -> None:
    # Stripe's list did not have it yet, twice.
    Refund.objects.update(absent_reads=2)
    settle_by_hand(refund_id=unknown.pk, staff_id=bob.pk, evidence="Bank transfer")
    (made,) = stripe.effects("refund_created")
    store_event("refund.updated", made["refund"])
    process_all()

    states = Refund.objects.order_by("id").values_list("reason", "status")
    assert list(states) == [
        ("STAFF", "RESOLVED_OUT_OF_BAND"),
        ("OUTSIDE", "SUCCEEDED"),
    ]
    assert counters(unknown.payable_id)[2] == 2000


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_after_an_answer_that_did_not_come_leads_to_no_second_refund(
    stripe: Stripe, sandbox: Sandbox, bob: User, clock: Clock, status: int
) -> None:
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(make_paid(sandbox), 1000))
    assert refund.status == "UNKNOWN"
    stripe.fails("4xx", CREATE, status=status)
    refund = send(refund)
    assert refund.status == "NEEDS_STAFF"
    assert not can_be_paid_out(refund)

    retry_refund(refund_id=refund.pk, staff_id=bob.pk)
    refund = send(refund)

    assert refund.status == "SUCCEEDED"
    assert len(stripe.effects("refund_created")) == 1
    assert open_kinds() == []


def test_a_list_that_is_refused_says_nothing_of_a_refund_that_may_be_there(
    stripe: Stripe, sandbox: Sandbox, bob: User, clock: Clock
) -> None:
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(make_sold(sandbox), 1000))
    clock.move(hours=24)
    stripe.trust()
    stripe.fails("4xx", "refunds.list", status=404)
    refund = send(refund)
    assert refund.status == "NEEDS_STAFF"

    retry_refund(refund_id=refund.pk, staff_id=bob.pk)
    refund = send(refund)

    assert refund.status == "SUCCEEDED"
    assert len(stripe.effects("refund_created")) == 1


def test_one_that_may_still_arrive_is_not_settled_by_hand(
    stripe: Stripe, sandbox: Sandbox, bob: User
) -> None:
    stripe.fails("accept_then_hang", CREATE)
    refund = send(ask_refund(make_paid(sandbox), 1000))
    stripe.fails("4xx", CREATE)
    refund = send(refund)

    with pytest.raises(InvalidState):
        settle_by_hand(refund_id=refund.pk, staff_id=bob.pk, evidence="Cash.")


def test_more_that_went_back_than_came_in_stands_in_a_case(
    stripe: Stripe, sandbox: Sandbox, bob: User
) -> None:
    payment = make_paid(sandbox)
    stripe.fails("4xx", CREATE)
    refund = send(ask_refund(payment, payment.received_minor))
    settle_by_hand(refund_id=refund.pk, staff_id=bob.pk, evidence="Receipt 7.")

    made = stripe.tell("dashboard/refunds", payment_intent=payment.provider_id)
    store_event("refund.created", made["id"])
    process_all()

    case = Case.objects.get(kind="payment_mismatch")
    assert case.amount_minor == payment.received_minor
