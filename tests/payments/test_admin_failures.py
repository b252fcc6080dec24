"""Back office: staff finish what went wrong with money, each in a few clicks."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bookings.errors import NothingToPay, PaymentUndecided
from bookings.models import Booking, BookingHold
from bookings.services.cancelling import cancel_booking
from bookings.services.holds import release_hold
from bookings.services.paying import confirm_paid_hold
from payments.models import CardPayment, Payable, Refund
from payments.services import troubles
from payments.services.reconciling import reconcile_refund
from payments.services.refunds import refund_amount
from payments.states import CardPaymentStatus
from recovery import cases, runs
from recovery.models import AuditEntry, Case, WorkflowRun
from slotbase.accounts.models import User, Venue
from slotbase.lib.db import retry_on_conflict
from slotbase.providers.stripe import client as stripe
from slotbase.providers.stripe.client import Patience
from tests.conftest import Sandbox
from tests.factories import make_resource, make_staff, make_venue
from tests.payments.money import (
    PRICE,
    begin_payment,
    effects_of,
    make_paid_booking,
    make_priced_hold,
    pay,
    process_all,
    run_due_work,
    store_event,
)
from tests.payments.told import dispute, make_some_of_each, pay_by_card
from tests.payments.trouble import (
    fail_next_refund,
    make_failed_refund,
    make_owing_booking,
    make_payout,
    payable_of,
    refund_behind,
)

pytestmark = pytest.mark.django_db

FAILURES = reverse("admin:payments_refundfailure_changelist")


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside")


@pytest.fixture
def sue(venue: Venue) -> User:
    return make_staff("support", [venue], name="Sue Sand")


@pytest.fixture
def support(client: Client, sue: User) -> Client:
    client.force_login(sue)
    return client


@pytest.fixture
def bob(venue: Venue) -> User:
    return make_staff("front_desk", [venue])


@pytest.fixture
def failed(sandbox: Sandbox, venue: Venue) -> Case:
    """24.00 EUR that the bank sent back to us."""
    return make_failed_refund(sandbox, resource=online(venue))


def online(venue: Venue) -> Any:
    return make_resource(venue=venue, payment_mode="ONLINE", price_minor=PRICE)


def page_of(case: Case) -> str:
    return reverse("admin:recovery_case_change", args=[case.pk])


def press(client: Client, case: Case, button: str, **typed: Any) -> Any:
    """Press a button of the page as it is now; `version` may be an older one."""
    sent = {"version": Case.objects.get(pk=case.pk).version, **typed}
    return client.post(page_of(case), {"do": button, **sent})


def buttons(client: Client, case: Case) -> list[str]:
    """The names of the buttons on the page, but for those of every case."""
    offered = list(client.get(page_of(case)).context["row_actions"])
    return [name for name in offered if name not in {"claim", "give_back"}]


def text(client: Client, case: Case) -> str:
    return client.get(page_of(case)).content.decode()


def ended(case: Case) -> tuple[str, str]:
    closed = Case.objects.get(pk=case.pk)
    return closed.status, closed.close_reason


def deeds_of(staff: User) -> set[str]:
    entries = AuditEntry.objects.filter(actor_id=str(staff.pk))
    return set(entries.values_list("action", flat=True))


# --- The list and the page ----------------------------------------------------


def test_the_list_tells_whose_money_how_much_and_why(
    support: Client, failed: Case
) -> None:
    page = support.get(FAILURES).content.decode()

    for words in (
        *("Alice Adler", "24.00 EUR", "badge-failed", "badge-high", "Parkside"),
        "The card has expired or was cancelled.",
    ):
        assert words in page, words
    address = reverse("admin:payments_refundfailure_change", args=[failed.pk])
    assert address in page
    assert support.get(address).status_code == 200


def test_the_page_tells_how_the_refund_stands_and_what_was_tried(
    support: Client, failed: Case
) -> None:
    page = text(support, failed)

    for words in (
        *("A refund did not reach the customer.", "when the refund succeeds"),
        *("24.00 EUR", "badge-failed", "The booking was cancelled", failed.reference),
        *("Refund requested", "Refund sending", "Refund failed", "Case opened"),
        reverse("admin:payments_refund_change", args=[failed.subject_id]),
    ):
        assert words in page, words
    assert buttons(support, failed) == ["retry", "look", "pay_out", "settle"]


def test_more_failures_cost_no_more_queries(client: Client) -> None:
    boss = make_staff(is_superuser=True)
    client.force_login(boss)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(FAILURES).context["cl"].result_list
        return len(captured)

    make_some_of_each(make_venue(), boss, 1)
    few = queries()
    for number in range(2, 6):
        make_some_of_each(make_venue(), boss, number)

    assert queries() == few <= 12


# --- A refund that failed -----------------------------------------------------


@pytest.mark.case("refund_failure", "closes")
@pytest.mark.case("refund_failure", "retry")
def test_a_failed_refund_is_tried_again_and_its_case_closes_itself(
    support: Client, failed: Case, sue: User, sandbox: Sandbox
) -> None:
    assert press(support, failed, "retry").status_code == 302
    assert refund_behind(failed).status == "REQUESTED"
    assert refund_behind(failed).requested_by == sue
    assert buttons(support, failed) == ["look", "resolve", "discard"]

    run_due_work()

    assert refund_behind(failed).status == "SUCCEEDED"
    assert ended(failed) == ("RESOLVED", "The refund succeeded.")
    statuses = [each["status"] for each in effects_of(sandbox, "refund_created")]
    assert statuses == ["failed", "succeeded"]


def test_a_retry_that_fails_too_can_be_tried_again_from_the_same_case(
    support: Client, failed: Case, sandbox: Sandbox
) -> None:
    fail_next_refund(sandbox)
    press(support, failed, "retry")
    run_due_work()
    assert Case.objects.get(pk=failed.pk).status == "OPEN"
    assert Refund.objects.count() == 2

    assert buttons(support, failed) == ["retry", "look", "pay_out", "settle"]
    assert press(support, failed, "retry").status_code == 302
    run_due_work()

    assert Refund.objects.count() == 3
    assert ended(failed) == ("RESOLVED", "The refund succeeded.")


def test_a_second_click_on_retry_gives_back_once(
    support: Client, failed: Case, sandbox: Sandbox
) -> None:
    press(support, failed, "retry")
    again = press(support, failed, "retry")
    run_due_work()

    assert again.status_code == 409
    assert Refund.objects.count() == 2
    assert len(effects_of(sandbox, "refund_created")) == 2


@pytest.mark.parametrize("is_key_spent", [False, True])
def test_a_retry_of_what_arrived_unseen_gives_back_no_second_time(
    support: Client,
    sandbox: Sandbox,
    venue: Venue,
    settings: Any,
    is_key_spent: bool,
) -> None:
    settings.REFUND_RETRY_SECONDS = [0]
    booking = make_paid_booking(sandbox, resource=online(venue))
    lost = {"operation": "refunds.create", "fault": "reset_after_effect", "count": 1}
    sandbox.post("/_sandbox/faults", {"provider": "stripe", **lost})
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    run_due_work()
    case = Case.objects.get(kind="refund_failure")
    assert refund_behind(case).status == "NEEDS_STAFF"
    Refund.objects.update(is_key_spent=is_key_spent)

    assert press(support, case, "retry").status_code == 302
    run_due_work()

    assert refund_behind(case).status == "SUCCEEDED"
    assert len(effects_of(sandbox, "refund_created")) == 1


def test_what_was_given_back_anew_is_settled_no_second_time(
    support: Client, failed: Case, sue: User
) -> None:
    payment = CardPayment.objects.get()
    refund_amount(
        payment_id=payment.pk,
        amount_minor=2400,
        staff_id=sue.pk,
        version=Payable.objects.get().version,
    )
    assert buttons(support, failed) == ["look", "resolve", "discard"]

    for button in ("retry", "pay_out", "settle"):
        refused = press(support, failed, button, evidence="Slip")
        assert refused.status_code == 409, button
        assert "Less is left to give back." in refused.content.decode(), button
    run_due_work()

    assert press(support, failed, "resolve", reason="Given anew.").status_code == 302
    assert Payable.objects.get().refunded_minor == 2400


@pytest.mark.case("refund_failure", "look")
def test_stripe_is_asked_without_sending_anything(
    support: Client, failed: Case, sue: User, sandbox: Sandbox
) -> None:
    assert press(support, failed, "look").status_code == 302
    reconcile_refund(refund_id=UUID(failed.subject_id))

    assert "refund.reconcile_requested" in deeds_of(sue)
    assert len(effects_of(sandbox, "refund_created")) == 1
    assert "Refund reconcile requested" in text(support, failed)


@pytest.mark.case("refund_failure", "pay_out")
def test_what_the_card_does_not_take_is_paid_out_at_the_front_desk(
    support: Client, failed: Case, bob: User
) -> None:
    assert press(support, failed, "pay_out").status_code == 302
    assert ended(failed) == ("RESOLVED", "The front desk pays it out.")
    payout = Case.objects.get(kind="refund_payout")
    assert payout.reference == failed.reference

    desk = Client()
    desk.force_login(bob)
    assert buttons(desk, payout) == ["paid_out"]
    assert press(desk, payout, "paid_out", evidence="Signed, slip 7").status_code == 302

    refund = refund_behind(failed)
    assert (refund.status, refund.evidence) == (
        "RESOLVED_OUT_OF_BAND",
        "Signed, slip 7",
    )
    assert ended(payout) == ("RESOLVED", "The money was given back.")
    assert payable_of(Booking.objects.get()).status == "REFUNDED"


def test_a_refund_of_which_nobody_knows_is_paid_out_only_after_two_looks(
    support: Client, sandbox: Sandbox, failed: Case
) -> None:
    Refund.objects.update(status="NEEDS_STAFF", absent_reads=1)
    assert "pay_out" not in buttons(support, failed)
    refused = press(support, failed, "pay_out")
    assert refused.status_code == 409
    assert "look at Stripe twice" in refused.content.decode()

    Refund.objects.update(absent_reads=2)
    assert "pay_out" in buttons(support, failed)
    assert "2 times: it has no such refund" in text(support, failed)
    Refund.objects.update(status="FAILED")


@pytest.mark.case("refund_failure", "settle")
def test_what_the_customer_has_already_is_settled_with_evidence(
    support: Client, failed: Case, sue: User
) -> None:
    without = press(support, failed, "settle", evidence=" ")
    assert without.status_code == 400
    assert "Say what shows it" in without.content.decode()
    assert refund_behind(failed).status == "FAILED"

    assert press(support, failed, "settle", evidence="Bank slip 77").status_code == 302

    assert refund_behind(failed).status == "RESOLVED_OUT_OF_BAND"
    assert refund_behind(failed).evidence == "Bank slip 77"
    assert ended(failed) == ("RESOLVED", "Staff settled it by hand.")
    assert "refund.resolved_out_of_band" in deeds_of(sue)
    assert "Bank slip 77" not in set(
        AuditEntry.objects.values_list("reason", flat=True)
    )


@pytest.mark.parametrize("button", ["resolve", "discard"])
def test_a_case_is_not_closed_while_the_customer_waits_for_the_money(
    support: Client, failed: Case, button: str
) -> None:
    answer = press(support, failed, button, reason="Away with it.")

    assert answer.status_code == 409
    assert "money to be decided about" in answer.content.decode()
    assert "Away with it." in answer.content.decode()
    assert Case.objects.get(pk=failed.pk).status == "OPEN"


BUTTONS = ["retry", "look", "pay_out", "settle", "resolve", "discard"]


@pytest.mark.parametrize("trouble", ["stale", "taken", "closed"])
def test_what_others_do_with_a_case_is_respected(
    support: Client, failed: Case, venue: Venue, trouble: str
) -> None:
    seen = failed.version
    if trouble == "taken":
        oskar = make_staff("support", [venue])
        cases.claim_case(case_id=failed.pk, staff_id=oskar.pk, version=seen)
        seen += 1
    if trouble == "closed":
        press(support, failed, "settle", evidence="Slip")
        seen += 1
    if trouble == "stale":
        seen -= 1
    before = refund_behind(failed).status

    for button in BUTTONS:
        typed = {"reason": "Mine.", "evidence": "Mine.", "version": seen}
        assert press(support, failed, button, **typed).status_code == 409, button
    assert refund_behind(failed).status == before
    assert Refund.objects.count() == 1


@pytest.mark.parametrize("group", ["operations", "auditor"])
def test_others_look_at_failed_refunds_and_move_no_money(
    client: Client, failed: Case, venue: Venue, group: str
) -> None:
    client.force_login(make_staff(group, [venue]))

    assert client.get(page_of(failed)).status_code == 200
    assert buttons(client, failed) == []
    for button in BUTTONS:
        typed = {"reason": "Mine.", "evidence": "Mine."}
        assert press(client, failed, button, **typed).status_code == 403, button
    assert refund_behind(failed).status == "FAILED"


def test_looking_moves_no_money(support: Client, failed: Case) -> None:
    support.get(page_of(failed), {"do": "retry", "version": failed.version})

    assert Refund.objects.count() == 1


# --- Cash that is to be paid out ----------------------------------------------


def test_the_front_desk_pays_out_only_what_its_venue_owes(
    client: Client, bob: User, sandbox: Sandbox
) -> None:
    elsewhere = make_payout(bob)
    client.force_login(bob)

    assert client.get(page_of(elsewhere)).status_code == 302
    assert press(client, elsewhere, "paid_out", evidence="Me").status_code == 302
    assert Case.objects.get(pk=elsewhere.pk).status == "OPEN"
    assert refund_behind(elsewhere).status == "NEEDS_STAFF"


@pytest.mark.case("refund_payout", "closes")
@pytest.mark.case("refund_payout", "paid_out")
def test_a_payout_is_claimed_and_finished_by_the_front_desk(
    client: Client, bob: User, venue: Venue, sandbox: Sandbox
) -> None:
    payout = make_payout(bob, venue)
    client.force_login(bob)
    page = text(client, payout)
    assert "24.00 EUR" in page
    assert "Receipt 1" in page

    assert press(client, payout, "claim").status_code == 302
    assert press(client, payout, "paid_out").status_code == 400
    assert press(client, payout, "resolve", reason="Later").status_code == 409
    assert press(client, payout, "paid_out", evidence="Signed").status_code == 302

    assert ended(payout) == ("RESOLVED", "The money was given back.")


# --- Money that came too late ---------------------------------------------------


@pytest.mark.case("late_money", "closes")
@pytest.mark.case("late_money", "retry")
def test_a_refund_of_late_money_that_is_stuck_is_sent_again(
    support: Client, venue: Venue, sandbox: Sandbox
) -> None:
    hold = make_priced_hold(resource=online(venue))
    payment = begin_payment(hold)
    release_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    pay(sandbox, payment.pk)
    fail_next_refund(sandbox)
    run_due_work()
    case = Case.objects.get(kind="late_money")
    page = text(support, case)
    for words in (
        "badge-failed",
        "24.00 EUR",
        "Refund failed",
        "let the customer book",
    ):
        assert words in page, words
    assert buttons(support, case) == ["retry"]
    assert press(support, case, "discard", reason="No.").status_code == 409

    assert press(support, case, "retry").status_code == 302
    run_due_work()

    assert ended(case) == ("RESOLVED", "The money was given back.")
    assert CardPayment.objects.get().status == CardPaymentStatus.SUCCEEDED


# --- Money other than asked for -----------------------------------------------


@pytest.fixture
def odd(sandbox: Sandbox, venue: Venue) -> Case:
    """30.00 EUR came, where 24.00 were asked for."""
    hold = make_priced_hold(resource=online(venue))
    payment = begin_payment(hold)
    pay(sandbox, payment.pk, amount=3000)
    with pytest.raises(PaymentUndecided):
        confirm_paid_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    return Case.objects.get(kind="payment_mismatch")


@pytest.mark.case("payment_mismatch", "accept")
def test_a_payment_that_differs_is_accepted_as_credit_and_buys_the_slot(
    support: Client, odd: Case, sue: User
) -> None:
    assert "24.00 EUR" in text(support, odd)
    assert buttons(support, odd) == ["accept", "refund"]

    assert press(support, odd, "accept").status_code == 302
    run_due_work()

    assert ended(odd) == ("RESOLVED", "It counts as a credit.")
    assert "card_payment.accepted" in deeds_of(sue)
    assert Booking.objects.get().status == "CONFIRMED"
    assert payable_of(Booking.objects.get()).status == "OVERPAID"


@pytest.mark.case("payment_mismatch", "refund")
def test_a_payment_that_differs_is_given_back(
    support: Client, odd: Case, sandbox: Sandbox
) -> None:
    assert press(support, odd, "discard", reason="Well.").status_code == 409

    assert press(support, odd, "refund").status_code == 302
    run_due_work()

    assert ended(odd) == ("RESOLVED", "It is given back.")
    assert [each["amount"] for each in effects_of(sandbox, "refund_created")] == [3000]


def test_what_is_left_after_a_part_went_back_is_still_to_be_decided(
    support: Client, odd: Case, sandbox: Sandbox
) -> None:
    payment = CardPayment.objects.get()
    told = {"payment_intent": payment.provider_id, "amount": 100}
    made = sandbox.post("/_sandbox/stripe/dashboard/refunds", told)
    store_event("refund.created", made["id"])
    process_all()

    assert buttons(support, odd) == ["accept", "refund"]
    assert press(support, odd, "discard", reason="Well.").status_code == 409
    hold = BookingHold.objects.get()
    with pytest.raises(NothingToPay):
        begin_payment(hold)


# --- Money that is nobody's ---------------------------------------------------


@pytest.fixture
def nobodys(sandbox: Sandbox) -> Case:
    """24.00 EUR at Stripe that belong to no sale."""
    intent = stripe.create_intent(
        amount_minor=2400,
        currency="EUR",
        metadata={},
        description="By hand",
        idempotency_key="nobodys",
        patience=Patience.REQUEST,
    )
    told = {"payment_intent": intent.id, "outcome": "succeed"}
    sandbox.post("/_sandbox/stripe/pay", told)
    paid = stripe.retrieve_intent(intent.id)
    retry_on_conflict(lambda: troubles.open_unmatched(paid))()
    return Case.objects.get(kind="unmatched_payment")


@pytest.mark.case("unmatched_payment", "closes")
@pytest.mark.case("unmatched_payment", "link")
def test_a_payment_is_linked_to_the_booking_whose_reference_is_typed(
    support: Client, nobodys: Case, venue: Venue
) -> None:
    booking = make_owing_booking(venue)
    assert buttons(support, nobodys) == ["link", "refund", "resolve", "discard"]

    without = press(support, nobodys, "link")
    assert without.status_code == 400
    assert "Give the reference of the booking." in without.content.decode()
    unknown = press(support, nobodys, "link", reference="00000-00000")
    assert unknown.status_code == 404
    assert "No booking with this reference" in unknown.content.decode()
    assert 'value="00000-00000"' in unknown.content.decode()

    typed = booking.reference.lower().replace("-", "")
    assert press(support, nobodys, "link", reference=typed).status_code == 302

    assert payable_of(booking).status == "PAID"
    assert ended(nobodys) == ("RESOLVED", "It was matched.")


@pytest.mark.case("unmatched_payment", "refund")
def test_a_payment_that_is_nobodys_is_given_back(
    support: Client, nobodys: Case, sandbox: Sandbox
) -> None:
    assert press(support, nobodys, "refund").status_code == 302
    run_due_work()

    assert Case.objects.get(pk=nobodys.pk).status == "RESOLVED"
    assert [each["amount"] for each in effects_of(sandbox, "refund_created")] == [2400]
    assert Payable.objects.get().status == "REFUNDED"


@pytest.mark.case("unmatched_payment", "discard")
def test_a_payment_that_is_nobodys_is_ignored_with_a_reason(
    support: Client, nobodys: Case, sandbox: Sandbox
) -> None:
    assert press(support, nobodys, "discard").status_code == 400
    assert press(support, nobodys, "discard", reason="A test.").status_code == 302

    assert ended(nobodys) == ("DISCARDED", "A test.")
    assert not Payable.objects.exists()


# --- Disputes -----------------------------------------------------------------


@pytest.mark.case("dispute", "note")
def test_evidence_about_a_dispute_is_noted_and_the_case_stays_open(
    client: Client, venue: Venue
) -> None:
    client.force_login(make_staff("support_lead", [venue]))
    booking = make_owing_booking(venue)
    dispute(pay_by_card(payable_of(booking)))
    case = Case.objects.get(kind="dispute")
    assert buttons(client, case) == ["note", "resolve", "discard"]

    assert press(client, case, "note").status_code == 400
    for evidence in ("He was there.", "Photo 12"):
        assert press(client, case, "note", evidence=evidence).status_code == 302

    noted = Case.objects.get(pk=case.pk)
    assert (noted.status, noted.evidence) == ("OPEN", "He was there.\n\nPhoto 12")
    assert "Photo 12" in text(client, case)
    assert "Case noted" in text(client, case)
    assert set(AuditEntry.objects.values_list("reason", flat=True)) == {""}
    assert press(client, case, "resolve", reason="Handed in.").status_code == 302


# --- Cancellations that are stuck -----------------------------------------------


@pytest.mark.case("cancellation_failed", "opens")
@pytest.mark.case("cancellation_failed", "closes")
@pytest.mark.case("cancellation_failed", "resume")
def test_a_cancellation_that_is_stuck_shows_its_steps_and_is_resumed(
    support: Client, sandbox: Sandbox, venue: Venue
) -> None:
    booking = make_paid_booking(sandbox, resource=online(venue))
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    WorkflowRun.objects.update(limit_at=booking.created_at)
    assert runs.report_late_runs(limit=10) == 1
    case = Case.objects.get(kind="cancellation_failed")

    page = text(support, case)
    run = WorkflowRun.objects.get()
    for words in (
        *("badge-cancelling", "process-refund: pending", "badge-requested"),
        reverse("admin:bookings_booking_change", args=[booking.pk]),
        reverse("admin:recovery_workflowrun_change", args=[run.pk]),
    ):
        assert words in page, words
    assert buttons(support, case) == ["resume", "abandon"]

    assert press(support, case, "resume").status_code == 302
    run_due_work()

    assert Booking.objects.get().status == "CANCELLED"
    assert Case.objects.get(pk=case.pk).status == "RESOLVED"


@pytest.mark.case("cancellation_failed", "abandon")
@pytest.mark.breaks_invariants  # that it is finished by hand is what staff promise
def test_a_cancellation_is_abandoned_with_a_reason_and_not_just_closed(
    support: Client, sandbox: Sandbox, venue: Venue
) -> None:
    booking = make_paid_booking(sandbox, resource=online(venue))
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    WorkflowRun.objects.update(limit_at=booking.created_at)
    runs.report_late_runs(limit=10)
    case = Case.objects.get(kind="cancellation_failed")
    assert press(support, case, "discard", reason="Away.").status_code == 409

    assert press(support, case, "abandon", reason="I do it.").status_code == 302

    assert WorkflowRun.objects.get().status == "ABANDONED"
    assert Case.objects.get(pk=case.pk).status == "RESOLVED"
