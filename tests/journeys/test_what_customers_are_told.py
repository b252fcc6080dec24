"""What happens at the API and in the back office arrives: each mail once at Resend."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from bookings.models import Booking
from bookings.services import expiring
from bookings.services.cancelling import cancel_in_full
from bookings.services.moving import move_booking
from notifications.models import Notification
from payments.models import Payable, Refund
from payments.services.refund_desk import hand_to_front_desk, settle_by_hand
from slotbase.accounts.models import User
from tests.adversity import Clock, Stripe
from tests.bookings.closing import close
from tests.bookings.till import act, cancel, confirm, pay_for, send
from tests.conftest import Sandbox
from tests.factories import (
    in_two_days,
    make_customer,
    make_hold,
    make_priced_resource,
    make_resource,
    make_staff,
)
from tests.payments.money import make_cash
from tests.payments.sweeps import sweep

pytestmark = pytest.mark.django_db(transaction=True)

START = timedelta(days=2)


class Alice:
    """A customer with an address, at the API; and her mailbox."""

    def __init__(self, api: Callable[[User], APIClient], sandbox: Sandbox) -> None:
        self.user = make_customer(email="alice@example.com")
        self.api, self.sandbox = api(self.user), sandbox

    def books(self, resource: Any, **more: Any) -> Booking:
        start = in_two_days() + START
        wish = {
            "resource": resource.pk,
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(hours=1)).isoformat(),
        }
        hold = send(self.api, "holds", wish).json()
        made = send(self.api, f"holds/{hold['id']}/confirm", more)
        assert made.status_code == 201, made.content
        return Booking.objects.select_related("resource__venue").get()

    def mails(self) -> list[str]:
        """What of all that is due arrived at Resend, by kinds.

        Of mails that are due at once, any may be the first, unless they are equally
        urgent: then they come in the order in which it happened.
        """
        sweep()
        effects = self.sandbox.get("/_sandbox/effects", provider="resend")["effects"]
        kinds = dict(Notification.objects.values_list("provider_id", "template"))
        return [kinds[each["effect"]["id"]] for each in effects]


@pytest.fixture
def alice(api_of: Callable[[User], APIClient], sandbox: Sandbox) -> Alice:
    return Alice(api_of, sandbox)


@pytest.fixture
def paid(alice: Alice, stripe: Stripe) -> Booking:
    """She paid for it by card, and has had the mails about that."""
    hold = make_hold(customer=alice.user, resource=make_priced_resource("ONLINE"))
    pay_for(alice.api, hold)
    act(stripe, hold)
    assert confirm(alice.api, hold).status_code == 201
    assert sorted(alice.mails()) == ["booking_confirmed", "receipt"]
    return Booking.objects.get()


def test_who_books_is_told_so_and_reminded_when_it_is_time(
    alice: Alice, clock: Clock
) -> None:
    booking = alice.books(make_resource())
    assert alice.mails() == ["booking_confirmed"]

    clock.go_on_at(booking.start_time - timedelta(hours=24))

    assert alice.mails() == ["booking_confirmed", "booking_reminder"]
    assert alice.mails() == ["booking_confirmed", "booking_reminder"]


def test_who_cancels_before_any_mail_went_out_hears_of_that_alone(
    alice: Alice, clock: Clock
) -> None:
    """F78: "confirmed" is superseded before it goes out."""
    booking = alice.books(make_resource())
    cancel(alice.api, booking)
    assert alice.mails() == ["booking_cancelled"]

    clock.go_on_at(booking.start_time - timedelta(hours=24))

    assert alice.mails() == ["booking_cancelled"]


def test_who_is_moved_is_told_and_reminded_of_the_new_time_alone(
    alice: Alice, clock: Clock
) -> None:
    booking = alice.books(make_resource())
    told = alice.mails()
    assert told == ["booking_confirmed"]
    move_booking(
        booking_id=booking.pk,
        staff_id=make_staff().pk,
        version=booking.version,
        start_time=booking.start_time + timedelta(hours=2),
    )
    told.append("booking_moved")
    assert alice.mails() == told

    clock.go_on_at(booking.start_time - timedelta(hours=23))
    assert alice.mails() == told
    clock.go_on_at(booking.start_time - timedelta(hours=22))
    assert alice.mails() == [*told, "booking_reminder"]


def test_who_is_moved_before_any_mail_went_out_hears_that_it_is_booked(
    alice: Alice,
) -> None:
    booking = alice.books(make_resource())
    for hours in (2, 4):
        booking = move_booking(
            booking_id=booking.pk,
            staff_id=make_staff().pk,
            version=booking.version,
            start_time=booking.start_time + timedelta(hours=hours),
        )

    assert alice.mails() == ["booking_confirmed"]


def test_who_booked_what_is_closed_is_told_and_then_what_becomes_of_it(
    alice: Alice, clock: Clock
) -> None:
    booking = alice.books(make_resource())
    venue = booking.resource.venue
    close(venue, date=booking.start_time.astimezone(venue.zone).date())
    assert alice.mails() == ["booking_confirmed", "venue_closed"]

    bob = make_staff(venues=[venue])
    cancel_in_full(booking_id=booking.pk, staff_id=bob.pk, reason="Works.")

    assert alice.mails()[2:] == ["booking_cancelled"]
    clock.go_on_at(booking.start_time - timedelta(hours=24))
    assert len(alice.mails()) == 3


def test_who_cancels_hears_what_goes_back_and_that_it_went(
    alice: Alice, paid: Booking, stripe: Stripe
) -> None:
    cancel(alice.api, paid)

    assert alice.mails()[2:] == ["booking_cancelled", "refund_succeeded"]
    assert [each["amount"] for each in stripe.effects("refund_created")] == [2400]


def test_who_cannot_be_given_back_by_card_hears_each_news_once(
    alice: Alice, paid: Booking, stripe: Stripe
) -> None:
    stripe.fails("4xx", "refunds.create")
    cancel(alice.api, paid)
    assert sorted(alice.mails()[2:]) == ["booking_cancelled", "refund_delayed"]
    refund, bob = Refund.objects.get(), make_staff()

    hand_to_front_desk(refund_id=refund.pk, staff_id=bob.pk)
    assert alice.mails()[4:] == ["refund_elsewhere"]
    settle_by_hand(refund_id=refund.pk, staff_id=bob.pk, evidence="Slip 7.")

    assert alice.mails()[4:] == ["refund_elsewhere"] * 2
    assert alice.mails()[4:] == ["refund_elsewhere"] * 2


def test_who_pays_at_the_venue_has_a_receipt_for_each_payment(alice: Alice) -> None:
    alice.books(make_priced_resource("AT_VENUE"))
    payable = Payable.objects.get()
    for amount in (1000, 1400):
        make_cash(payable, amount)

    assert sorted(alice.mails()) == ["booking_confirmed", "receipt", "receipt"]


def test_who_forgets_an_offer_is_told_before_it_ends(
    alice: Alice, api_of: Callable[[User], APIClient], clock: Clock
) -> None:
    held = make_hold()
    wish = {
        "resource": held.resource_id,
        "start_time": held.start_time.isoformat(),
        "end_time": held.end_time.isoformat(),
    }
    assert send(alice.api, "waitlist", wish).status_code == 201
    api_of(held.customer).delete(f"/api/v1/holds/{held.pk}/")
    assert alice.mails() == ["waitlist_offered"]

    clock.move(seconds=900 - 290)
    assert [expiring.warn_of_expiring_holds(limit=10) for _ in range(2)] == [1, 0]

    assert alice.mails() == ["waitlist_offered", "hold_expiring"]
    clock.move(seconds=300)
    assert alice.mails()[2:] == ["waitlist_lapsed"]
