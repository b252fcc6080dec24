"""Four eyes (S21): much money goes back when two people want exactly that."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from bookings.models import Booking
from bookings.services.cancelling import cancel_booking, cancel_in_full
from payments.errors import PayableHasChanged
from payments.locks import lock_payable
from payments.models import Payable, Refund
from payments.services import four_eyes
from payments.services.mismatches import refund_mismatch
from payments.services.refund_calls import move_refund
from payments.services.refund_desk import (
    hand_to_front_desk,
    retry_refund,
    settle_by_hand,
)
from payments.services.refunds import refund_amount
from payments.services.unmatched import refund_unmatched
from recovery import approvals
from recovery.errors import ApprovalRequired, NotYours
from recovery.models import Approval, AuditEntry
from slotbase.accounts.models import User, Venue
from slotbase.lib.errors import InvalidState
from tests.adversity import Clock, Stripe
from tests.bookings import sessions
from tests.conftest import Sandbox
from tests.factories import make_resource, make_staff, make_venue
from tests.payments.money import (
    TESTER,
    ask_refund,
    begin,
    look_now,
    make_cash,
    make_paid,
    make_paid_booking,
    make_payable,
    run_due_work,
    send,
)
from tests.payments.test_unmatched import make_foreign

pytestmark = pytest.mark.django_db

MUCH, LIMIT = 15000, 10000


@pytest.fixture
def venue(db: None) -> Venue:
    return make_venue()


@pytest.fixture
def ana(venue: Venue) -> User:
    return make_staff("support", [venue], name="Ana Amber")


@pytest.fixture
def ben(venue: Venue) -> User:
    return make_staff("support_lead", [venue], name="Ben Brown")


@pytest.fixture
def paid(venue: Venue, sandbox: Sandbox) -> Any:
    """300.00 by card."""
    return make_paid(sandbox, make_payable(30000, venue=venue))


def propose(by: User, call: Any) -> Approval:
    """It is too much for one; they propose it."""
    with pytest.raises(ApprovalRequired) as needed:
        call()
    proposal = needed.value.proposal
    return approvals.propose(proposal, staff_id=by.pk, reason="It rained.")


def approve(approval: Approval, by: User) -> None:
    approvals.approve(approval_id=approval.pk, staff_id=by.pk, version=approval.version)


def propose_refund(by: User, payment: Any, amount_minor: int = MUCH) -> Approval:
    return propose(by, lambda: ask_refund(payment, amount_minor, by.pk))


def sent(stripe: Stripe) -> list[int]:
    """What really went back, by the sandbox's ledger."""
    run_due_work()
    return [each["amount"] for each in stripe.effects("refund_created")]


# --- One person -----------------------------------------------------------------


def test_up_to_the_limit_one_person_is_enough(
    paid: Any, ana: User, stripe: Stripe
) -> None:
    """The control of all that is refused below."""
    refund = ask_refund(paid, LIMIT, ana.pk)
    assert (refund.requested_by, refund.approved_by) == (ana, None)
    assert sent(stripe) == [LIMIT]


def test_above_it_nothing_is_done(paid: Any, ana: User, stripe: Stripe) -> None:
    """S21: more than the limit."""
    before = AuditEntry.objects.count()
    with pytest.raises(ApprovalRequired) as needed:
        ask_refund(paid, LIMIT + 1, ana.pk)
    assert (needed.value.code, needed.value.status) == ("approval_required", 409)
    assert not Refund.objects.exists()
    assert AuditEntry.objects.count() == before
    assert sent(stripe) == []


def test_a_superuser_is_one_person_too(paid: Any, sandbox: Sandbox) -> None:
    """S21: by a superuser for themselves."""
    root = make_staff(is_superuser=True)
    approval = propose_refund(root, paid)
    with pytest.raises(NotYours):
        approve(approval, root)
    assert not Refund.objects.exists()


def test_five_times_99_of_one_sale_are_more_than_one_person_gives(
    paid: Any, ana: User, stripe: Stripe
) -> None:
    """S21: splitting, by a sale; a colleague who helps along changes nothing."""
    ask_refund(paid, 9900, ana.pk)
    for who in (ana, make_staff("support")):
        for _ in range(2):
            with pytest.raises(ApprovalRequired):
                ask_refund(paid, 9900, who.pk)
    assert sent(stripe) == [9900]


def test_five_times_99_of_five_sales_in_a_day_are_more_than_one_person_gives(
    sandbox: Sandbox, ana: User, stripe: Stripe
) -> None:
    """S21: splitting, by a day; a colleague and the next day begin anew."""
    sales = [make_paid(sandbox, make_payable(9900)) for _ in range(5)]
    ask_refund(sales[0], 9900, ana.pk)
    for sale in sales[1:]:
        with pytest.raises(ApprovalRequired):
            ask_refund(sale, 9900, ana.pk)
    ask_refund(sales[1], 9900, make_staff("support").pk)
    Refund.objects.update(created_at=F("created_at") - timedelta(hours=24))
    ask_refund(sales[2], 9900, ana.pk)
    assert sent(stripe) == [9900] * 3


def test_what_two_agreed_to_is_not_counted_again(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    approve(propose_refund(ana, paid), ben)
    ask_refund(paid, 100, ana.pk)
    assert sorted(sent(stripe)) == [100, MUCH]


def test_without_the_guard_one_person_gives_all_of_it(
    paid: Any, ana: User, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the limit and of the sums."""
    monkeypatch.setattr(four_eyes, "limit_minor", lambda _: 10**9)
    for _ in range(3):
        ask_refund(paid, 9900, ana.pk)
    assert sent(stripe) == [9900] * 3


# --- Two people -----------------------------------------------------------------


def test_two_people_give_it_back_once_and_both_stand_in_the_history(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    """S21: exactly one refund call in the ledger."""
    approval = propose_refund(ana, paid)
    assert approval.amount_minor == MUCH
    approve(approval, ben)
    with pytest.raises(InvalidState):
        approve(approval, make_staff(is_superuser=True))
    refund = Refund.objects.get()
    assert (refund.requested_by, refund.approved_by) == (ana, ben)
    told = AuditEntry.objects.filter(subject_id=str(refund.pk)).order_by("id")
    assert list(told.values_list("action", "actor_id")[:2]) == [
        ("refund.requested", str(ana.pk)),
        ("refund.approved", str(ben.pk)),
    ]
    assert sent(stripe) == [MUCH]


def test_what_was_refunded_meanwhile_undoes_a_proposal(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    """S21: the money was edited; the proposal says nothing about what is there now."""
    approval = propose_refund(ana, paid)
    ask_refund(paid, 100, make_staff("support").pk)
    with pytest.raises(PayableHasChanged):
        approve(approval, ben)
    assert sent(stripe) == [100]


@pytest.mark.parametrize("changed", ["amount", "payment"])
def test_another_amount_or_payment_than_agreed_to_is_refused(
    paid: Any, ana: User, ben: User, sandbox: Sandbox, stripe: Stripe, changed: str
) -> None:
    """S21: even if somebody rewrote what was asked for."""
    approval = propose_refund(ana, paid)
    other = make_paid(sandbox, make_payable(30000, venue=paid.payable.venue))
    words = approval.terms["asked"]
    if changed == "amount":
        words["amount_minor"] = MUCH + 1
    else:
        words["payment_id"] = str(other.pk)
        words["version"] = Payable.objects.get(pk=other.payable_id).version
    Approval.objects.filter(pk=approval.pk).update(terms=approval.terms)
    with pytest.raises(PayableHasChanged, match="propose it anew"):
        approve(approval, ben)
    assert sent(stripe) == []


def test_somebody_of_another_venue_does_not_agree(
    paid: Any, ana: User, stripe: Stripe
) -> None:
    """S21: by somebody of another venue."""
    approval = propose_refund(ana, paid)
    with pytest.raises(NotYours):
        approve(approval, make_staff("support_lead", [make_venue()]))
    assert sent(stripe) == []


def test_support_proposes_and_does_not_agree(paid: Any, ana: User) -> None:
    """S21: the second person is of the group for that."""
    approval = propose_refund(ana, paid)
    with pytest.raises(NotYours):
        approve(approval, make_staff("support", [paid.payable.venue]))
    assert not Refund.objects.exists()


def test_a_dispute_that_began_meanwhile_is_refused_and_the_proposal_stays(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    approval = propose_refund(ana, paid)
    Payable.objects.filter(pk=paid.payable_id).update(version=99)
    with pytest.raises(PayableHasChanged):
        approve(approval, ben)
    assert Approval.objects.get().status == "PROPOSED"


def test_the_database_keeps_who_agrees_to_their_own_from_it(
    paid: Any, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of self-approval: the guard gone, a constraint is left."""
    monkeypatch.setattr(approvals, "why_not", lambda *_: "")
    with pytest.raises(IntegrityError):
        approve(propose_refund(ana, paid), ana)


# --- Each way out ----------------------------------------------------------------


def fail(stripe: Stripe, payment: Any, by: User, amount_minor: int) -> Refund:
    """Their bank said no, and a colleague had agreed to it before."""
    stripe.tell("refunds/next", status="failed", failure_reason="declined")
    venue = payment.payable.venue
    approve(propose_refund(by, payment, amount_minor), make_lead(venue))
    return send(Refund.objects.get())


def make_lead(venue: Any) -> User:
    return make_staff("support_lead", [venue])


def test_sending_a_large_one_again_takes_two(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    failed = fail(stripe, paid, ana, MUCH)
    approval = propose(ana, lambda: retry(failed, ana))
    approve(approval, ben)
    again = Refund.objects.exclude(pk=failed.pk).get()
    assert (again.requested_by, again.approved_by) == (ana, ben)
    assert sent(stripe) == [MUCH, MUCH]


def retry(refund: Refund, by: User) -> Refund:
    return retry_refund(refund_id=refund.pk, staff_id=by.pk)


def test_sending_again_what_a_customer_was_promised_takes_one(
    venue: Venue, sandbox: Sandbox, ana: User, stripe: Stripe
) -> None:
    """It was promised; nobody decides anything."""
    booking = make_large_booking(sandbox, venue)
    stripe.tell("refunds/next", status="failed", failure_reason="declined")
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    failed = send(Refund.objects.get())
    assert failed.approved_by is None
    retry(failed, ana)
    assert sent(stripe)[-1] == 2 * MUCH


def test_handing_a_large_one_to_the_front_desk_takes_two_and_paying_out_one(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    """Two agreed that it is paid out by hand: whoever does it needs nobody more."""
    failed = fail(stripe, paid, ana, MUCH)
    ask = {"refund_id": failed.pk, "staff_id": ana.pk}
    approve(propose(ana, lambda: hand_to_front_desk(**ask)), ben)
    failed.refresh_from_db()
    assert (failed.is_payout, failed.approved_by) == (True, ben)
    settle_by_hand(**ask, evidence="Receipt 7")
    failed.refresh_from_db()
    assert failed.status == "RESOLVED_OUT_OF_BAND"


def test_marking_a_large_one_as_settled_takes_two(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    failed = fail(stripe, paid, ana, MUCH)
    ask = {"refund_id": failed.pk, "staff_id": ana.pk, "evidence": "A transfer"}
    approval = propose(ana, lambda: settle_by_hand(**ask))
    failed.refresh_from_db()
    assert failed.status == "FAILED"
    approve(approval, ben)
    failed.refresh_from_db()
    assert (failed.status, failed.evidence) == ("RESOLVED_OUT_OF_BAND", "A transfer")


def test_paying_out_much_cash_takes_two(venue: Venue, ana: User, ben: User) -> None:
    """Nobody agreed to it yet: a customer cancelled, say."""
    cash = make_cash(make_payable(30000, venue=venue), 30000)
    refund = ask_refund(cash, 9900)
    Refund.objects.filter(pk=refund.pk).update(amount_minor=MUCH)
    ask = {"refund_id": refund.pk, "staff_id": ana.pk, "evidence": "Signed"}
    approve(propose(ana, lambda: settle_by_hand(**ask)), ben)
    refund.refresh_from_db()
    assert (refund.status, refund.approved_by) == ("RESOLVED_OUT_OF_BAND", ben)


def test_giving_back_much_that_differs_takes_two(
    venue: Venue, ana: User, ben: User, stripe: Stripe
) -> None:
    payment = begin(make_payable(2400, venue=venue))
    stripe.tell(
        "pay", payment_intent=payment.provider_id, outcome="succeed", amount=MUCH
    )
    payable_id = look_now(payment).payable_id
    ask = {"payable_id": payable_id, "staff_id": ana.pk}
    approve(propose(ana, lambda: refund_mismatch(**ask)), ben)
    assert sent(stripe) == [MUCH]


def test_giving_back_much_that_belongs_to_nothing_takes_two(stripe: Stripe) -> None:
    """Stripe is asked anew before the transaction in which a colleague agrees."""
    ana, ben = make_staff("support"), make_staff("support_lead")
    intent = make_foreign(stripe, amount_minor=MUCH)
    ask = {"intent_id": intent, "staff_id": ana.pk}
    approval = propose(ana, lambda: refund_unmatched(**ask))
    assert (approval.subject_type, approval.subject_id) == ("paymentintent", intent)
    approve(approval, ben)
    assert sent(stripe) == [MUCH]
    assert Refund.objects.get().approved_by == ben


def test_a_large_one_that_staff_decided_and_that_was_never_sent_takes_two_as_well(
    paid: Any, ana: User, ben: User, stripe: Stripe
) -> None:
    """Matrix 5.1: a retry above the limit, also of what is replaced by nothing."""
    approve(propose_refund(ana, paid), ben)
    refund = Refund.objects.get()
    stall(refund)

    approval = propose(ana, lambda: retry(refund, ana))
    refund.refresh_from_db()
    assert (refund.status, sent(stripe)) == ("NEEDS_STAFF", [])
    approve(approval, ben)

    assert sent(stripe) == [MUCH]


def stall(refund: Refund) -> None:
    """It gave up before it was sent, and waits for staff."""
    with transaction.atomic():
        lock_payable(refund.payable_id)
        move_refund(refund, "NEEDS_STAFF", actor=TESTER, next_run_at=None)


def test_what_a_customer_was_promised_and_was_never_sent_takes_one(
    venue: Venue, sandbox: Sandbox, ana: User, stripe: Stripe
) -> None:
    """It goes to the same card by the same key: nobody decides anything."""
    booking = make_large_booking(sandbox, venue)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    stall(Refund.objects.get())

    retry(Refund.objects.get(), ana)

    assert sent(stripe) == [2 * MUCH]


def make_payouts(venue: Venue, amount_minor: int = 9900) -> list[Refund]:
    """Five that are owed in cash, and that nobody of staff decided."""
    return [
        ask_refund(make_cash(make_payable(9900, venue=venue), 9900), amount_minor)
        for _ in range(5)
    ]


def pay_out(refund: Refund, by: User) -> None:
    settle_by_hand(refund_id=refund.pk, staff_id=by.pk, evidence="Signed")


def test_paying_out_five_times_99_in_a_day_is_more_than_one_person_does(
    venue: Venue, ana: User, ben: User
) -> None:
    """S21: splitting, where money leaves by hand; a colleague and a day begin anew."""
    first, *others = make_payouts(venue)
    pay_out(first, ana)
    for each in others:
        with pytest.raises(ApprovalRequired):
            pay_out(each, ana)
    approve(propose(ana, lambda: pay_out(others[0], ana)), ben)
    with pytest.raises(ApprovalRequired):
        pay_out(others[1], ana)
    pay_out(others[1], make_staff("front_desk", [venue]))
    done = Refund.objects.filter(status="RESOLVED_OUT_OF_BAND")
    assert done.count() == 3


def test_what_two_agreed_to_hand_out_is_not_counted(
    venue: Venue, ana: User, ben: User
) -> None:
    """And what is below the limit all in all takes one, as ever."""
    first, second, third, *_ = make_payouts(venue, 4000)
    pay_out(first, ana)
    pay_out(second, ana)
    approve(propose(ana, lambda: pay_out(third, ana)), ben)
    small = make_payouts(venue, 1000)[0]

    pay_out(small, ana)

    assert Refund.objects.get(pk=small.pk).status == "RESOLVED_OUT_OF_BAND"


def test_what_was_paid_out_yesterday_does_not_count(
    venue: Venue, ana: User, clock: Clock
) -> None:
    first, second, *_ = make_payouts(venue)
    pay_out(first, ana)
    clock.move(hours=25)

    pay_out(second, ana)

    assert Refund.objects.filter(status="RESOLVED_OUT_OF_BAND").count() == 2


def test_handing_over_and_sending_again_count_with_it(
    venue: Venue, sandbox: Sandbox, ana: User, stripe: Stripe
) -> None:
    """S21: each way to let a refund go is one and the same sum."""
    failed = []
    for _ in range(3):
        paid = make_paid(sandbox, make_payable(9900, venue=venue))
        stripe.tell("refunds/next", status="failed", failure_reason="declined")
        other = make_staff("support", [venue])
        failed.append(send(ask_refund(paid, 6000, other.pk)))
    hand_to_front_desk(refund_id=failed[0].pk, staff_id=ana.pk)
    with pytest.raises(ApprovalRequired):
        hand_to_front_desk(refund_id=failed[1].pk, staff_id=ana.pk)
    with pytest.raises(ApprovalRequired) as needed:
        retry(failed[2], ana)
    assert needed.value.proposal.subject_id == str(failed[2].pk), "shown on its case"


def test_without_the_sum_one_person_pays_out_all_of_it(
    venue: Venue, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the sums above."""
    monkeypatch.setattr(four_eyes, "_noted", lambda *_: 0)
    for each in make_payouts(venue):
        pay_out(each, ana)
    assert Refund.objects.filter(status="RESOLVED_OUT_OF_BAND").count() == 5


# --- Cancelling --------------------------------------------------------------------


def make_large_booking(sandbox: Sandbox, venue: Venue, keep: int = 0) -> Booking:
    """Sold for 300.00; its policy keeps so many percent."""
    resource = make_resource(venue=venue, payment_mode="ONLINE", price_minor=MUCH)
    booking = make_paid_booking(sandbox, resource=resource)
    terms = [{"hours_before": 0, "keep_percent": keep, "keep_minor": 0}]
    Booking.objects.filter(pk=booking.pk).update(cancellation_terms=terms)
    return booking


def cancel(booking: Booking, by: User) -> None:
    cancel_in_full(booking_id=booking.pk, staff_id=by.pk, reason="Flood.")


def test_cancelling_beyond_the_policy_takes_two(
    venue: Venue, sandbox: Sandbox, ana: User, ben: User, stripe: Stripe
) -> None:
    booking = make_large_booking(sandbox, venue, keep=50)
    approval = propose(ana, lambda: cancel(booking, ana))
    booking.refresh_from_db()
    assert booking.status == "CONFIRMED"
    approve(approval, ben)
    booking.refresh_from_db()
    assert (booking.status, booking.cancelled_by_id) == ("CANCELLING", ana.pk)
    assert sent(stripe) == [2 * MUCH]


def test_cancelling_what_has_begun_takes_two(
    venue: Venue, sandbox: Sandbox, ana: User
) -> None:
    """Its customer could not cancel any more, so nothing is promised."""
    booking = make_large_booking(sandbox, venue)
    Booking.objects.filter(pk=booking.pk).update(cancellation_terms=[])
    sessions.begin(booking, ago=timedelta(minutes=10))
    with pytest.raises(ApprovalRequired):
        cancel(booking, ana)


def test_what_the_policy_promises_anyway_takes_one(
    venue: Venue, sandbox: Sandbox, ana: User, stripe: Stripe
) -> None:
    cancel(make_large_booking(sandbox, venue), ana)
    assert sent(stripe) == [2 * MUCH]


def test_what_customers_cancel_takes_nobody_and_is_not_counted(
    venue: Venue, sandbox: Sandbox, stripe: Stripe, paid: Any
) -> None:
    """Whoever cancels what they bought decides nothing."""
    booking = make_large_booking(sandbox, venue)
    customer: UUID = booking.customer_id
    cancel_booking(booking_id=booking.pk, customer_id=customer)
    ask_refund(paid, LIMIT, customer)
    assert sorted(sent(stripe)) == [LIMIT, 2 * MUCH]


def test_only_those_services_give_money_back_for_staff() -> None:
    """A kind for each way out; a new way is entered here, and thought about."""
    assert {
        "refund_amount",
        "retry_refund",
        "settle_by_hand",
        "hand_to_front_desk",
        "refund_mismatch",
        "refund_unmatched",
        "cancel_in_full",
        "move_booking",
    } <= set(approvals.registered())
    assert refund_amount.__name__ == "refund_amount"


#: A month ago, by many people, each fiftieth by one of them.
LONG_HISTORY = """
INSERT INTO recovery_auditentry (at, actor_kind, actor_id, action, subject_type,
    subject_id, from_state, to_state, reason, request_id)
SELECT slotbase_now() - interval '30 days', 'staff',
    CASE mod(n, 50) WHEN 0 THEN %s ELSE n::text END,
    %s, 'refund', n::text, '', '', '9900 EUR', ''
FROM generate_series(1, 20000) n
"""


def test_what_somebody_did_is_counted_by_the_index_of_their_history(ana: User) -> None:
    """Nobody reads all that they ever did: of a long history, the last day alone."""
    with connection.cursor() as cursor:
        cursor.execute(LONG_HISTORY, [str(ana.pk), four_eyes.LET_GO])
        cursor.execute("ANALYZE recovery_auditentry")
    counted = four_eyes._of_staff(ana.pk).filter(action=four_eyes.LET_GO)

    plan = counted.explain()

    assert plan.count("recovery_audit_staff") == 2, plan
    assert "Seq Scan" not in plan
    assert not counted.exists()
