"""Whom a proposal is about is exported with it, and goes from it (S32)."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bookings.models import Booking
from bookings.services import personal_data as of_bookings
from bookings.services.cancelling import cancel_booking
from payments.models import Refund
from payments.services.mismatches import refund_mismatch
from payments.services.refund_desk import hand_to_front_desk, settle_by_hand
from recovery import approvals, dead_letters, invariants
from recovery.models import Approval, AuditEntry, DeadLetter
from recovery.work import work_of
from slotbase.accounts.models import User
from slotbase.accounts.services.personal_data import parts, traces_of
from tests.accounts.test_typed_words_bind_nothing import STAFF_TYPED, erase, open_case
from tests.adversity import Clock, Stripe
from tests.bookings.closing import move
from tests.bookings.routes import client_of
from tests.bookings.sessions import make_feedback
from tests.conftest import Sandbox
from tests.factories import (
    in_two_days,
    make_booking,
    make_customer,
    make_entry,
    make_hold,
    make_resource,
    make_staff,
    make_venue,
)
from tests.payments.money import (
    begin,
    look_now,
    make_paid_booking,
    make_payable,
    run_due_work,
    send,
)
from tests.payments.test_four_eyes import (
    MUCH,
    approve,
    cancel,
    fail,
    propose,
    propose_refund,
    retry,
)

pytestmark = pytest.mark.django_db(transaction=True)

#: About staff themselves, and about money that belongs to nobody yet.
OF_NO_CUSTOMER = {"rights", "second_factor_reset", "refund_unmatched"}
TYPED = "Mrs Adler, +49 30 765432, has it: here is her receipt."


class Desk:
    """Staff of a venue where Alice bought something for 300.00."""

    def __init__(self, alice: User, sandbox: Sandbox, stripe: Stripe) -> None:
        self.alice, self.sandbox, self.stripe = alice, sandbox, stripe
        self.venue = make_venue()
        self.ana = make_staff("support", [self.venue])
        self.ben = make_staff("support_lead", [self.venue])

    def booking(self, free_until: int = 168) -> Booking:
        """So many hours before it is free to cancel, then all is kept."""
        court = make_resource(venue=self.venue, payment_mode="ONLINE", price_minor=MUCH)
        booking = make_paid_booking(self.sandbox, resource=court, customer=self.alice)
        terms = [{"hours_before": free_until, "keep_percent": 0, "keep_minor": 0}]
        Booking.objects.filter(pk=booking.pk).update(cancellation_terms=terms)
        booking.refresh_from_db()
        return booking

    def payment(self) -> Any:
        return self.booking().payable.card_payments.get()  # type: ignore[union-attr]

    def failed(self) -> Refund:
        return fail(self.stripe, self.payment(), self.ana, MUCH)


def refund_some(desk: Desk) -> Approval:
    return propose_refund(desk.ana, desk.payment())


def send_again(desk: Desk) -> Approval:
    failed = desk.failed()
    return propose(desk.ana, lambda: retry(failed, desk.ana))


def settle(desk: Desk) -> Approval:
    """What comes back, since she cancelled, does not reach her card."""
    booking = desk.booking(free_until=0)
    desk.stripe.tell("refunds/next", status="failed", failure_reason="declined")
    cancel_booking(booking_id=booking.pk, customer_id=desk.alice.pk)
    failed = send(Refund.objects.get())
    ask = {"refund_id": failed.pk, "staff_id": desk.ana.pk, "evidence": TYPED}
    return propose(desk.ana, lambda: settle_by_hand(**ask))


def hand_over(desk: Desk) -> Approval:
    ask = {"refund_id": desk.failed().pk, "staff_id": desk.ana.pk}
    return propose(desk.ana, lambda: hand_to_front_desk(**ask))


def give_back_what_differs(desk: Desk) -> Approval:
    payment = begin(make_payable(2400, venue=desk.venue, customer=desk.alice))
    desk.stripe.tell(
        "pay", payment_intent=payment.provider_id, outcome="succeed", amount=MUCH
    )
    ask = {"payable_id": look_now(payment).payable_id, "staff_id": desk.ana.pk}
    return propose(desk.ana, lambda: refund_mismatch(**ask))


def cancel_it(desk: Desk) -> Approval:
    booking = desk.booking()
    return propose(desk.ana, lambda: cancel(booking, desk.ana))


def move_it(desk: Desk) -> Approval:
    booking, far = desk.booking(), in_two_days() + timedelta(days=30)
    return propose(desk.ana, lambda: move(booking, far, staff_id=desk.ana.pk))


PROPOSE: dict[str, Callable[[Desk], Approval]] = {
    "refund_amount": refund_some,
    "retry_refund": send_again,
    "settle_by_hand": settle,
    "hand_to_front_desk": hand_over,
    "refund_mismatch": give_back_what_differs,
    "cancel_in_full": cancel_it,
    "move_booking": move_it,
}


@pytest.fixture
def alice() -> User:
    return make_customer("Li", clerk_id="user_alice", email="li@example.com")


@pytest.fixture
def desk(alice: User, sandbox: Sandbox, stripe: Stripe) -> Desk:
    return Desk(alice, sandbox, stripe)


# --- Whose it is -------------------------------------------------------------------


def test_every_kind_of_proposal_is_looked_at_below() -> None:
    """S32: whoever adds a kind says here about whom it is."""
    ours = {
        name
        for name, kind in approvals.registered().items()
        if not kind.execute.__module__.startswith("tests.")
    }

    assert set(PROPOSE) | OF_NO_CUSTOMER == ours


@pytest.mark.parametrize("kind", PROPOSE)
def test_what_is_proposed_about_somebodys_things_is_found_by_an_id_of_theirs(
    desk: Desk, kind: str
) -> None:
    """S32: of a booking, a sale, a payment or a refund; and of nobody else."""
    approval = PROPOSE[kind](desk)

    assert approval.kind == kind
    assert approval.subject_id in traces_of(desk.alice).all_ids
    assert approval.subject_id not in traces_of(make_customer()).all_ids


def things_of(alice: User) -> set[str]:
    booking = make_booking(customer=alice)
    entry = make_entry(resource=booking.resource, customer=alice)
    hold = make_hold(customer=alice)
    notes = make_feedback()
    Booking.objects.filter(pk=notes.booking_id).update(customer=alice)
    rows = (booking, entry, hold, notes, notes.booking)
    return {str(booking.hold_id), *(str(each.pk) for each in rows)}


def test_whatever_they_booked_held_and_waited_for_is_theirs(alice: User) -> None:
    """S32: what a coach wrote about their session as well."""
    theirs, of_others = things_of(alice), things_of(make_customer("Bob"))

    found = traces_of(alice).all_ids

    assert theirs <= found
    assert of_others.isdisjoint(found)


def plans(statements: list[str]) -> Iterator[str]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for each in statements:
            cursor.execute(f"EXPLAIN {each}")
            yield "\n".join(row for (row,) in cursor.fetchall())


def test_they_are_found_by_an_index(alice: User) -> None:
    """S32: no table of bookings is read to its end for one person."""
    things_of(alice)
    with CaptureQueriesContext(connection) as asked:
        found = set(of_bookings._ids(alice.pk))

    told = [*plans([each["sql"] for each in asked.captured_queries])]

    assert found
    assert len(told) == 4
    for plan in told:
        assert "Index Cond: (customer_id =" in plan, plan
        assert "Seq Scan" not in plan, plan


# --- What becomes of it ------------------------------------------------------------


def write_about(booking: Booking) -> Approval:
    """Somebody wants to give back all of it, and says why in their words."""
    asked = {"booking_id": str(booking.pk), "reason": TYPED}
    refunds = [
        {"payment": "pi_1", "of": "pi_1", "amount_minor": MUCH, "currency": "EUR"}
    ]
    proposal = approvals.Proposal(
        *("cancel_in_full", TYPED, "booking", str(booking.pk)),
        terms={"asked": asked, "refunds": refunds},
        amount_minor=MUCH,
        currency="EUR",
    )
    return approvals.propose(proposal, staff_id=make_staff().pk, reason=TYPED)


def refuse(approval: Approval) -> None:
    approvals.refuse(
        approval_id=approval.pk,
        staff_id=make_staff("support_lead", is_superuser=True).pk,
        version=1,
        reason=TYPED,
    )


def make_over(person: User) -> Booking:
    booking = make_booking(customer=person)
    cancel_booking(booking_id=booking.pk, customer_id=person.pk)
    return booking


def give_up(booking: Booking) -> DeadLetter:
    work = work_of("bookings.look_at", {"id": str(booking.pk)})
    dead_letters.record_failure(work, ValueError())
    letter = DeadLetter.objects.get(key=work.key)
    dead_letters.discard(letter_id=letter.pk, staff_id=make_staff().pk, reason=TYPED)
    return letter


def export(person: User) -> Any:
    answer = client_of(person).get("/api/v1/me/export/")
    return json.loads(b"".join(answer.streaming_content))["recovery"]


def test_a_proposal_about_their_booking_is_exported_with_what_was_typed(
    alice: User,
) -> None:
    """S32: by their own booking; nothing of somebody else's."""
    approval = write_about(make_over(alice))
    refuse(approval)
    write_about(make_over(make_customer("Bob")))

    [told] = export(alice)["approvals"]

    assert told == {
        "kind": "cancel_in_full",
        "title": TYPED,
        "reason": TYPED,
        "decision_reason": TYPED,
        "terms": approval.terms,
    }


@pytest.mark.parametrize("is_open", [True, False])
def test_of_a_proposal_about_their_booking_ids_and_amounts_are_left(
    alice: User, is_open: bool
) -> None:
    """S32: an open one ends, since nobody can agree to words that are gone."""
    booking = make_over(alice)
    approval = write_about(booking)
    if not is_open:
        refuse(approval)

    erase(alice)

    approval.refresh_from_db()
    assert approval.status == ("EXPIRED" if is_open else "REFUSED")
    assert "Adler" not in str(vars(approval))
    assert approval.terms["asked"]["booking_id"] == str(booking.pk)
    assert approval.terms["refunds"][0]["amount_minor"] == MUCH
    ended = AuditEntry.objects.filter(action="approval.expired", actor_id="erasures")
    assert ended.exists() == is_open


def test_proposals_about_others_stay_as_they_are(alice: User) -> None:
    """The control of the one above."""
    approval = write_about(make_over(make_customer("Bob")))
    before = Approval.objects.values().get()

    erase(alice)

    assert Approval.objects.values().get(pk=approval.pk) == before


def test_cases_and_dead_letters_about_their_booking_say_nothing_any_more(
    alice: User,
) -> None:
    """S32: even where nobody wrote down whose booking it is."""
    booking, of_bob = make_over(alice), make_over(make_customer("Bob"))
    mine, his = (
        (open_case(None, subject_id=str(each.pk)), give_up(each))
        for each in (booking, of_bob)
    )
    assert [each["title"] for each in export(alice)["cases"]] == [STAFF_TYPED]

    erase(alice)

    for row in (*mine, *his):
        row.refresh_from_db()
    assert (mine[0].evidence, mine[1].ended_because) == ("", "[erased]")
    assert (his[0].evidence, his[1].ended_because) == (STAFF_TYPED, TYPED)


def test_the_evidence_that_two_agreed_to_goes_and_the_books_are_as_before(
    desk: Desk, clock: Clock
) -> None:
    """S32, S21: by `I2.approved` it still is what the second person agreed to."""
    approval = settle(desk)
    agreed = approval.terms["refunds"]
    approve(approval, desk.ben)
    run_due_work()
    assert Refund.objects.get().evidence == TYPED
    clock.move(days=61)

    erase(desk.alice)

    approval.refresh_from_db()
    assert approval.terms["asked"]["evidence"] == "[erased]"
    assert approval.terms["refunds"] == agreed
    assert "Adler" not in str(vars(approval))
    assert Refund.objects.get().evidence == ""
    assert invariants.find_violations(safety_only=True, full=True) == []


def test_texts_in_terms_are_typed_unless_they_are_ids() -> None:
    """S32: whoever adds a service by two need not think of it."""
    typed = {
        name: set(kind.typed)
        for name, kind in approvals.registered().items()
        if kind.typed
    }

    assert typed == {"settle_by_hand": {"evidence"}, "cancel_in_full": {"reason"}}


def test_without_the_ids_of_bookings_it_would_stay(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it is by the ids of bookings that it is found."""
    approval = write_about(make_over(alice))
    [part] = [each for each in parts() if each.name == "bookings"]
    monkeypatch.setitem(vars(part), "ids", lambda _: ())

    erase(alice)

    approval.refresh_from_db()
    assert approval.terms["asked"]["reason"] == TYPED
