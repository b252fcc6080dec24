"""Four eyes (S21): moved to where cancelling is free, money is as good as back."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bookings.admin.moving import address_of_move
from bookings.models import Booking
from bookings.services.cancelling import cancel_booking
from payments.errors import PayableHasChanged
from payments.models import Refund
from payments.services import four_eyes
from payments.services.refunds import refund_amount
from recovery import approvals
from recovery.errors import ApprovalRequired
from recovery.models import Approval, AuditEntry
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from tests.accounts.staff import secret_of
from tests.accounts.test_step_up import grow_old
from tests.adversity import Stripe
from tests.bookings.closing import close, move
from tests.bookings.test_admin_desk import opened
from tests.bookings.test_moved_clocks import move_clocks
from tests.conftest import Sandbox
from tests.factories import in_two_days, make_resource, make_staff, make_venue
from tests.payments.money import ask_refund, make_paid, make_paid_booking, make_payable
from tests.payments.test_four_eyes import approve, propose, sent

pytestmark = pytest.mark.django_db(transaction=True)

NEXT_MONTH = timedelta(days=30)
#: A week before it is free, then all is kept.
A_WEEK = [{"hours_before": 168, "keep_percent": 0, "keep_minor": 0}]


@pytest.fixture
def venue() -> Venue:
    return make_venue()


@pytest.fixture
def ana(venue: Venue) -> User:
    return make_staff("support", [venue], name="Ana Amber")


@pytest.fixture
def ben(venue: Venue) -> User:
    return make_staff("support_lead", [venue], name="Ben Brown")


def sell(sandbox: Sandbox, venue: Venue, price_minor: int = 20000) -> Booking:
    """An hour in two days, paid by card; so late, a cancellation keeps all of it."""
    court = make_resource(venue=venue, payment_mode="ONLINE", price_minor=price_minor)
    booking = make_paid_booking(sandbox, resource=court)
    Booking.objects.filter(pk=booking.pk).update(cancellation_terms=A_WEEK)
    booking.refresh_from_db()
    return booking


@pytest.fixture
def booking(sandbox: Sandbox, venue: Venue) -> Booking:
    """Sold for 400.00."""
    return sell(sandbox, venue)


def start_of(booking: Booking) -> Any:
    return Booking.objects.get(pk=booking.pk).start_time


def move_far(booking: Booking, by: User) -> Booking:
    return move(booking, in_two_days() + NEXT_MONTH, staff_id=by.pk)


def test_one_person_does_not_move_it_to_where_cancelling_is_free(
    booking: Booking, ana: User, stripe: Stripe
) -> None:
    """S21: moved by one of staff, cancelled by a friend, and 400.00 would be back."""
    with pytest.raises(ApprovalRequired) as needed:
        move_far(booking, ana)

    proposal = needed.value.proposal
    assert (proposal.kind, proposal.amount_minor) == ("move_booking", 40000)
    assert start_of(booking) == in_two_days()
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)
    assert sent(stripe) == []


def test_without_the_guard_one_person_gives_all_of_it_back(
    booking: Booking, ana: User, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    monkeypatch.setattr(four_eyes, "limit_minor", lambda _: 10**9)

    move_far(booking, ana)
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    assert sent(stripe) == [40000]


def test_two_people_move_it_and_both_stand_in_the_history(
    booking: Booking, ana: User, ben: User
) -> None:
    approval = propose(ana, lambda: move_far(booking, ana))
    kind = approvals.registered()[approval.kind]
    said = kind.describe(approval.terms)
    assert said[0].startswith(f"To {in_two_days() + NEXT_MONTH:%Y-%m-%d}")
    assert said[-1].endswith("of what a cancellation would keep")

    approve(approval, ben)

    assert start_of(booking) == in_two_days() + NEXT_MONTH
    moved = AuditEntry.objects.get(action="booking.moved")
    agreed = AuditEntry.objects.get(action="approval.approved")
    assert (moved.actor_id, agreed.actor_id) == (str(ana.pk), str(ben.pk))


def test_what_was_agreed_to_is_done_or_nothing(
    booking: Booking, ana: User, ben: User
) -> None:
    """Somebody gave a part back meanwhile: it is about another amount by now."""
    approval = propose(ana, lambda: move_far(booking, ana))
    refund_amount(
        payment_id=booking.payable.card_payments.get().pk,
        amount_minor=1000,
        staff_id=make_staff("support").pk,
        version=booking.payable.version,
    )

    with pytest.raises(PayableHasChanged):
        approve(approval, ben)

    assert start_of(booking) == in_two_days()


def test_what_lowers_little_or_nothing_takes_one(
    sandbox: Sandbox, venue: Venue, booking: Booking, ana: User
) -> None:
    """The control: most moves are of this kind."""
    move(booking, in_two_days(16), staff_id=ana.pk)
    assert start_of(booking) == in_two_days(16)

    small = sell(sandbox, venue, 5000)
    move_far(small, ana)
    assert start_of(small) == in_two_days() + NEXT_MONTH


def test_many_small_ones_of_a_day_are_a_large_one(
    sandbox: Sandbox, venue: Venue, ana: User
) -> None:
    """S21: five times 99, and a refund counts along; a colleague begins anew."""
    five = [sell(sandbox, venue, 4950) for _ in range(3)]
    move_far(five[0], ana)
    for each in five[1:]:
        with pytest.raises(ApprovalRequired):
            move_far(each, ana)
    paid = make_paid(sandbox, make_payable(9900, venue=venue))
    with pytest.raises(ApprovalRequired):
        ask_refund(paid, 200, ana.pk)

    move_far(five[1], make_staff("support", [venue]))


def test_step_by_step_is_no_way_either(
    sandbox: Sandbox, venue: Venue, ana: User
) -> None:
    """Of one sale, whoever helps: a tier at each step, below the limit each time."""
    booking = sell(sandbox, venue, 8000)
    tiers = [
        {"hours_before": 24 * days, "keep_percent": percent, "keep_minor": 0}
        for days, percent in ((20, 0), (10, 50))
    ]
    Booking.objects.filter(pk=booking.pk).update(cancellation_terms=tiers)

    move(booking, in_two_days() + timedelta(days=12), staff_id=ana.pk)
    with pytest.raises(ApprovalRequired):
        move(booking, in_two_days() + NEXT_MONTH, staff_id=make_staff("support").pk)


def test_what_the_venue_closed_is_moved_by_one(booking: Booking, ana: User) -> None:
    """Its customer did not want to move; the case says so."""
    close(booking.resource)

    move_far(booking, ana)

    assert start_of(booking) == in_two_days() + NEXT_MONTH


def test_where_clocks_moved_one_person_moves_it_back_and_nowhere_else(
    booking: Booking, ana: User
) -> None:
    """In New York it is noon six hours later: just early enough to cancel for free."""
    hours = (booking.start_time - read_clock()) // timedelta(hours=1) + 3
    terms = [{"hours_before": hours, "keep_percent": 0, "keep_minor": 0}]
    Booking.objects.filter(pk=booking.pk).update(cancellation_terms=terms)
    move_clocks(booking.resource.venue, "America/New_York")
    sold_for = booking.local_start

    with pytest.raises(ApprovalRequired):
        move_far(booking, ana)
    moved = move(booking, datetime.fromisoformat(sold_for), staff_id=ana.pk)

    assert moved.local_start == sold_for


def test_the_page_proposes_it_with_a_reason(
    client: Client, booking: Booking, ana: User
) -> None:
    page = address_of_move(booking.pk)
    client.force_login(ana)
    start = f"{in_two_days() + NEXT_MONTH:%Y-%m-%dT%H:%M}"
    form = {**opened(client, page), "start_time": start}

    refused = client.post(page, form)
    assert refused.status_code == 400
    assert "a colleague has to agree" in refused.content.decode()
    assert not Approval.objects.exists()

    answer = client.post(page, {**form, "reason": "She is ill"}, follow=True)

    shown = answer.content.decode()
    assert "Proposed: somebody else has to agree" in shown
    waiting = Approval.objects.get()
    assert reverse("admin:recovery_approval_change", args=[waiting.pk]) in shown
    assert (waiting.reason, waiting.amount_minor) == ("She is ill", 40000)
    assert start_of(booking) == in_two_days()


def test_the_page_asks_for_a_code_first(
    client: Client, booking: Booking, ana: User
) -> None:
    """S20: whoever finds an open session moves nothing."""
    secret_of(ana)
    client.force_login(ana)
    grow_old(client)
    page = address_of_move(booking.pk)
    start = f"{in_two_days(16):%Y-%m-%dT%H:%M}"

    asked = client.post(page, {**opened(client, page), "start_time": start})

    assert asked.status_code == 403
    assert start_of(booking) == in_two_days()
    assert not Refund.objects.exists()
