"""Each event owes exactly one mail: without it the event itself does not happen.

The table of messages refuses one kind. What would have queued it is undone then, whole;
what happened before it is told as soon as the table takes it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection

from bookings.models import Booking, BookingHold, WaitlistEntry
from bookings.services import expiring, holds
from bookings.services.bookings import confirm_hold
from bookings.services.cancelling import cancel_booking
from notifications.models import Notification
from payments.models import Payable, Refund
from payments.services.refund_desk import hand_to_front_desk
from recovery.models import AuditEntry, EventDelivery
from slotbase.lib.clock import Now
from tests.adversity import Clock, Stripe
from tests.bookings.closing import close, day_of, move
from tests.bookings.messages import deliver
from tests.bookings.test_expiring import before_the_end, make_offer
from tests.bookings.test_reminders import later
from tests.conftest import Sandbox
from tests.factories import (
    HOUR,
    expire,
    make_booking,
    make_entry,
    make_hold,
    make_priced_resource,
    make_resource,
    make_staff,
)
from tests.payments.money import make_cash, make_paid_booking, run_due_work

pytestmark = pytest.mark.django_db

Event = Callable[[], Any]


@contextmanager
def refused(template: str) -> Iterator[None]:
    """The table takes no message of this kind."""
    with connection.cursor() as cursor:
        cursor.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RAISE EXCEPTION ''refused''; END'
        """)
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON notifications_notification"
            f" FOR EACH ROW WHEN (NEW.template = '{template}')"
            " EXECUTE FUNCTION refuse()"
        )
        yield
        cursor.execute("DROP FUNCTION refuse CASCADE")


def mails(template: str) -> int:
    return Notification.objects.filter(template=template, device=None).count()


def things() -> list[Any]:
    """All that an event may change, and its history."""
    kinds = (Booking, BookingHold, WaitlistEntry, AuditEntry)
    return [list(kind.objects.order_by("pk").values()) for kind in kinds]


# --- What is told by the transaction that does it -------------------------------------


def confirming() -> Event:
    hold = make_hold(start=later())
    return partial(confirm_hold, hold_id=hold.pk, customer_id=hold.customer_id)


def moving() -> Event:
    booking = make_booking(start=later())
    deliver()  # whoever has not heard that it is booked hears that, and of no move
    return partial(move, booking, later() + HOUR)


def cancelling() -> Event:
    booking = make_booking(start=later())
    mine = {"booking_id": booking.pk, "customer_id": booking.customer_id}
    return partial(cancel_booking, **mine)


def closing() -> Event:
    booking = make_booking(start=later())
    return partial(close, booking.resource.venue, date=day_of(booking.start_time))


def letting_go() -> Event:
    """What somebody else waits for."""
    hold = make_hold(resource=make_resource())
    make_entry(resource=hold.resource)
    mine = {"hold_id": hold.pk, "customer_id": hold.customer_id}
    return partial(holds.release_hold, **mine)


@pytest.mark.parametrize(
    ("template", "prepare"),
    [
        ("booking_confirmed", confirming),
        ("booking_reminder", confirming),
        ("booking_moved", moving),
        ("booking_cancelled", cancelling),
        ("venue_closed", closing),
        ("waitlist_offered", letting_go),
    ],
)
def test_what_cannot_be_told_does_not_happen_and_else_is_told_once(
    template: str, prepare: Callable[[], Event]
) -> None:
    event = prepare()
    before = things()

    with refused(template), pytest.raises(DatabaseError, match="refused"):
        event()

    assert (mails(template), things()) == (0, before)
    event()
    assert mails(template) == 1
    assert things() != before


def test_an_offer_that_cannot_be_told_of_has_not_lapsed() -> None:
    offer = make_offer()
    expire(offer)

    with refused("waitlist_lapsed"), pytest.raises(DatabaseError, match="refused"):
        holds.expire_due_holds(limit=10)

    assert WaitlistEntry.objects.get().status == "OFFERED"
    holds.expire_due_holds(limit=10)
    assert WaitlistEntry.objects.get().status == "LAPSED"
    assert mails("waitlist_lapsed") == 1


def test_a_warning_that_is_refused_comes_with_the_next_sweep(clock: Clock) -> None:
    before_the_end(clock, make_offer(), 290)

    with refused("hold_expiring"), pytest.raises(DatabaseError, match="refused"):
        expiring.warn_of_expiring_holds(limit=10)

    assert mails("hold_expiring") == 0
    assert [expiring.warn_of_expiring_holds(limit=10) for _ in range(2)] == [1, 0]
    assert mails("hold_expiring") == 1


# --- What is told when the event of a payment is delivered ----------------------------


def giving_back(sandbox: Sandbox, _: Stripe) -> None:
    cancel_paid(make_paid_booking(sandbox))


def giving_back_in_vain(sandbox: Sandbox, stripe: Stripe) -> None:
    booking = make_paid_booking(sandbox)
    stripe.fails("4xx", "refunds.create")
    cancel_paid(booking)


def handing_to_the_front_desk(sandbox: Sandbox, stripe: Stripe) -> None:
    giving_back_in_vain(sandbox, stripe)
    run_due_work()
    bob = make_staff().pk
    hand_to_front_desk(refund_id=Refund.objects.get().pk, staff_id=bob)


def paying_for_nothing(_: Sandbox, __: Stripe) -> None:
    cancel_paid(make_booking(resource=make_priced_resource("AT_VENUE")))
    make_cash(Payable.objects.get(), 500, may_exceed=True)


def paying_in_cash(_: Sandbox, __: Stripe) -> None:
    make_booking(resource=make_priced_resource("AT_VENUE"))
    make_cash(Payable.objects.get(), 2400)


def cancel_paid(booking: Booking) -> None:
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)


@pytest.mark.parametrize(
    ("template", "happen"),
    [
        ("refund_succeeded", giving_back),
        ("refund_delayed", giving_back_in_vain),
        ("refund_elsewhere", handing_to_the_front_desk),
        ("late_payment_refunded", paying_for_nothing),
        ("receipt", paying_in_cash),
    ],
)
def test_news_of_money_that_cannot_be_told_waits_and_is_told_once(
    sandbox: Sandbox,
    stripe: Stripe,
    template: str,
    happen: Callable[[Sandbox, Stripe], None],
) -> None:
    with refused(template):
        happen(sandbox, stripe)
        run_due_work()

    assert mails(template) == 0
    assert EventDelivery.objects.filter(status="PENDING").exists()
    for _ in range(2):
        EventDelivery.objects.update(status="PENDING", next_run_at=Now())
        run_due_work()
    assert mails(template) == 1
