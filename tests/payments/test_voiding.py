"""Money recorded by mistake is voided by a row of its own; nothing is deleted (F71)."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from payments.errors import TooMuchForTheDesk, VoidNotAllowed
from payments.models import OfflinePayment, Payable
from payments.services.voiding import void_payment
from recovery.models import AuditEntry, OutboxEvent
from slotbase.accounts.models import User, Venue
from slotbase.lib.errors import InvalidState, ValidationFailed
from tests.adversity import Clock
from tests.conftest import Sandbox
from tests.factories import make_booking, make_resource, make_staff, make_venue
from tests.payments.money import (
    ask_refund,
    counters,
    make_cash,
    make_paid,
    make_payable,
    open_kinds,
    run_due_work,
)

pytestmark = pytest.mark.django_db
WHY = "Typed for the wrong booking"


@pytest.fixture
def venue() -> Venue:
    return make_venue()


@pytest.fixture
def bob(venue: Venue) -> User:
    return make_staff("front_desk", [venue])


@pytest.fixture
def manager(venue: Venue) -> User:
    return make_staff("manager", [venue])


@pytest.fixture
def cash(venue: Venue, bob: User) -> OfflinePayment:
    return make_cash(make_payable(2400, venue=venue), 2400, staff_id=bob.pk)


def void(payment: OfflinePayment, staff: User, reason: str = WHY) -> OfflinePayment:
    return void_payment(payment_id=payment.pk, staff_id=staff.pk, reason=reason)


# --- What a void is -----------------------------------------------------------------


def test_a_void_is_a_row_with_a_receipt_and_the_money_is_due_again(
    cash: OfflinePayment, bob: User
) -> None:
    reversal = void(cash, bob)

    assert (reversal.amount_minor, reversal.receipt_number) == (-2400, 2)
    assert (reversal.reverses, reversal.note) == (cash, WHY)
    assert counters(cash.payable_id) == (2400, 0, 0, 0, 0)
    assert Payable.objects.get().due_minor == 2400
    told = AuditEntry.objects.filter(action="payment.voided")
    assert {e.subject_id for e in told} == {str(cash.pk), str(reversal.pk)}
    assert not told.exclude(reason="").exists(), "what was typed stays erasable"
    assert OutboxEvent.objects.filter(type="payments.payment_voided").count() == 1


def test_a_void_needs_a_reason(cash: OfflinePayment, bob: User) -> None:
    with pytest.raises(ValidationFailed):
        void(cash, bob, "  ")

    assert OfflinePayment.objects.count() == 1


def test_what_is_voided_or_a_void_itself_is_not_voided(
    cash: OfflinePayment, manager: User
) -> None:
    reversal = void(cash, manager)

    for each in (cash, reversal):
        with pytest.raises(InvalidState):
            void(each, manager)
    assert OfflinePayment.objects.count() == 2


def test_of_what_is_voided_nothing_can_be_given_back(
    cash: OfflinePayment, manager: User
) -> None:
    void(cash, manager)

    with pytest.raises(Exception, match="left"):
        ask_refund(cash, 100)


def test_the_till_is_voided_and_recorded_anew(cash: OfflinePayment, bob: User) -> None:
    void(cash, bob)
    make_cash(cash.payable, 2400, staff_id=bob.pk)

    assert counters(cash.payable_id)[1] == 2400


# --- When it is refused -------------------------------------------------------------


def test_money_that_went_back_was_there(cash: OfflinePayment, manager: User) -> None:
    ask_refund(cash, 100)

    with pytest.raises(InvalidState, match="given back"):
        void(cash, manager)
    assert counters(cash.payable_id)[1] == 2400


def test_a_sale_is_never_left_with_more_given_back_than_came_in(
    cash: OfflinePayment, manager: User
) -> None:
    """Money of another payment went back, by a dispute, say: then there is less."""
    Payable.objects.filter(pk=cash.payable_id).update(disputed_minor=1)

    with pytest.raises(InvalidState, match="disputed"):
        void(cash, manager)
    Payable.objects.filter(pk=cash.payable_id).update(disputed_minor=0)


def test_refunds_of_the_card_do_not_stand_in_the_way(
    sandbox: Sandbox, venue: Venue, manager: User, stripe: Any
) -> None:
    """What went back was of the other payment, and that still covers it."""
    payment = make_paid(sandbox, make_payable(2400, venue=venue))
    cash = make_cash(payment.payable, 500, may_exceed=True)
    ask_refund(payment, 600)

    void(cash, manager)

    assert counters(payment.payable_id)[1] == 2400


# --- Who may ------------------------------------------------------------------------


def test_the_front_desk_voids_its_own_of_today(
    cash: OfflinePayment, venue: Venue
) -> None:
    colleague = make_staff("front_desk", [venue])

    with pytest.raises(VoidNotAllowed):
        void(cash, colleague)


def test_tomorrow_it_is_for_a_manager(
    clock: Clock, cash: OfflinePayment, bob: User, manager: User
) -> None:
    clock.move(hours=24)

    with pytest.raises(VoidNotAllowed):
        void(cash, bob)
    void(cash, manager)


def test_who_lost_the_right_while_the_page_was_open_voids_nothing(
    client: Client, cash: OfflinePayment, bob: User
) -> None:
    """F73: the group is taken away, then the form is sent."""
    client.force_login(bob)
    assert client.get(page_of(cash)).status_code == 200
    bob.groups.clear()

    assert press(client, cash).status_code == 403
    assert OfflinePayment.objects.count() == 1


def test_large_amounts_are_taken_in_by_a_manager(
    venue: Venue, bob: User, manager: User, settings: Any
) -> None:
    settings.OFFLINE_PAYMENT_MAX_MAJOR = 20
    payable = make_payable(5000, venue=venue)

    make_cash(payable, 2000, staff_id=bob.pk)
    with pytest.raises(TooMuchForTheDesk, match=r"20\.00 EUR"):
        make_cash(payable, 2001, staff_id=bob.pk)
    make_cash(payable, 2001, staff_id=manager.pk)

    assert counters(payable.pk)[1] == 4001


# --- The page -----------------------------------------------------------------------


def page_of(payment: OfflinePayment) -> str:
    return reverse("admin:payments_offlinepayment_change", args=[payment.pk])


def press(client: Client, payment: OfflinePayment, reason: str = WHY) -> Any:
    return client.post(page_of(payment), {"do": "void", "reason": reason})


def test_the_button_voids_and_the_page_and_receipts_say_so(
    client: Client, cash: OfflinePayment, bob: User
) -> None:
    client.force_login(bob)

    assert press(client, cash, reason="").status_code == 400
    assert press(client, cash).status_code == 302

    page = client.get(page_of(cash)).content.decode()
    assert "voided by" in page.lower()
    assert 'value="void"' not in page
    receipt = client.get(f"{page_of(cash)[:-7]}receipt/").content.decode()
    assert "It is void: reversal 2 takes it back." in receipt
    reversal = OfflinePayment.objects.get(reverses=cash)
    receipt = client.get(f"{page_of(reversal)[:-7]}receipt/").content.decode()
    assert "It takes back receipt 1." in receipt


def test_a_colleague_is_told_to_ask_a_manager(
    client: Client, cash: OfflinePayment, venue: Venue
) -> None:
    client.force_login(make_staff("front_desk", [venue]))

    assert "Ask a manager" in client.get(page_of(cash)).content.decode()
    assert press(client, cash).status_code == 403
    assert OfflinePayment.objects.count() == 1


def test_at_another_venue_there_is_nothing_to_void(
    client: Client, cash: OfflinePayment
) -> None:
    client.force_login(make_staff("manager", [make_venue()]))

    assert press(client, cash).status_code == 302, "to the start: no such row"
    assert OfflinePayment.objects.count() == 1


@pytest.mark.parametrize("group", ["support", "support_lead", "auditor"])
def test_others_have_no_button(
    client: Client, cash: OfflinePayment, group: str, venue: Venue
) -> None:
    client.force_login(make_staff(group, [venue]))

    assert 'value="void"' not in client.get(page_of(cash)).content.decode()
    assert press(client, cash).status_code == 403


def test_the_page_of_the_booking_shows_both(client: Client) -> None:
    resource = make_resource(payment_mode="AT_VENUE", price_minor=1200)
    booking = make_booking(resource=resource)
    manager = make_staff("manager", [resource.venue])
    assert booking.payable is not None
    void(make_cash(booking.payable, 2400), manager)
    run_due_work()
    client.force_login(manager)

    page = client.get(reverse("admin:bookings_booking_change", args=[booking.pk]))

    text = page.content.decode()
    assert "receipt 1" in text
    assert "reversal 2" in text
    assert open_kinds() == []


# --- The database -------------------------------------------------------------------


def test_a_payment_has_one_void_at_most(cash: OfflinePayment, manager: User) -> None:
    """Whatever the code does: the constraint of one row that reverses another."""
    reversal = void(cash, manager)
    twin = OfflinePayment.objects.get(pk=reversal.pk)
    twin.pk, twin.receipt_number = None, 3

    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


def test_the_clock_of_the_venue_says_what_today_is(
    clock: Clock, bob: User, cash: OfflinePayment
) -> None:
    recorded = cash.recorded_at.astimezone(cash.venue.zone)
    midnight = (recorded + timedelta(days=1)).replace(hour=0, minute=0, second=1)
    clock.move(seconds=(midnight - recorded).total_seconds())

    with pytest.raises(VoidNotAllowed):
        void(cash, bob)
