"""`kill -9` while time is passed on: it is all done, or all still to be done."""

import pytest

from bookings.models import BookingHold, SlotClaim, WaitlistEntry
from bookings.states import HoldStatus, WaitlistStatus
from bookings.tasks import expire_holds, offer_free_slots
from notifications.models import Notification
from recovery import invariants
from slotbase.lib.clock import read_clock
from tests.crashes.test_kill_points import kill
from tests.crashes.worker import Workers
from tests.factories import HOUR, expire, make_entry, make_hold, make_resource

pytestmark = pytest.mark.django_db(transaction=True)

EXPIRE = "bookings.tasks.expire_holds"
EXPIRE_CARELESSLY = "tests.crashes.worker.expire_and_pass_on_later"
POINT = "waitlist.passing_on"


def a_hold_that_ran_out() -> tuple[BookingHold, WaitlistEntry]:
    court = make_resource()
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)
    expire(hold)
    return hold, entry


@pytest.mark.parametrize(("point", "times"), [(POINT, 1), (POINT, 2), ("committed", 1)])
def test_whoever_dies_while_passing_on_leaves_no_slot_free_in_between(
    workers: Workers, point: str, times: int
) -> None:
    hold, entry = a_hold_that_ran_out()

    kill(workers, point, times, EXPIRE)

    # The claim is that of the hold that ran out, or that of the offer.
    claim = SlotClaim.objects.get()
    entry.refresh_from_db()
    assert claim.hold_id == (entry.hold_id or hold.pk)
    expire_holds()
    entry.refresh_from_db()
    assert entry.status == WaitlistStatus.OFFERED
    assert Notification.objects.filter(template="waitlist_offered").count() == 1
    assert invariants.find_violations() == []


def test_passing_on_in_a_later_transaction_would_leave_it_free(
    workers: Workers,
) -> None:
    hold, entry = a_hold_that_ran_out()

    kill(workers, POINT, 1, EXPIRE_CARELESSLY)

    assert not SlotClaim.objects.exists()
    hold.refresh_from_db()
    assert hold.status == HoldStatus.EXPIRED
    # Even so, the sweep finds it.
    WaitlistEntry.objects.update(looked_at=read_clock() - HOUR)
    offer_free_slots()
    entry.refresh_from_db()
    assert entry.status == WaitlistStatus.OFFERED
