"""Holding a slot, releasing it, and letting it expire."""

from datetime import time, timedelta

import pytest

from bookings.errors import (
    HoldLimit,
    HoldNotFound,
    ResourceClosed,
    ResourceNotFound,
    SlotUnavailable,
)
from bookings.models import BookingHold, DateException, SlotClaim
from bookings.services import holds
from bookings.states import HoldStatus
from recovery.models import AuditEntry
from slotbase.lib.errors import InvalidState, ValidationFailed
from tests.factories import (
    expire,
    in_two_days,
    make_booking,
    make_customer,
    make_hold,
    make_resource,
    wanted,
)

pytestmark = pytest.mark.django_db


def status_of(hold: BookingHold) -> str:
    return BookingHold.objects.get(pk=hold.pk).status


def test_a_hold_lasts_five_minutes_and_claims_its_time() -> None:
    hold = make_hold()

    assert hold.status == HoldStatus.ACTIVE
    lasts = hold.expires_at - hold.created_at
    assert timedelta(seconds=299) < lasts <= timedelta(seconds=300)
    claim = SlotClaim.objects.get(hold=hold)
    assert (claim.during.lower, claim.during.upper) == (hold.start_time, hold.end_time)


def test_a_hold_leaves_an_audit_entry_by_its_customer() -> None:
    hold = make_hold()

    entry = AuditEntry.objects.get(subject_type="hold", subject_id=str(hold.pk))
    assert (entry.action, entry.to_state) == ("hold.created", "ACTIVE")
    assert (entry.actor_kind, entry.actor_id) == ("customer", str(hold.customer_id))


def test_a_held_slot_cannot_be_held_by_another() -> None:
    resource = make_resource()
    make_hold(resource=resource)

    with pytest.raises(SlotUnavailable):
        make_hold(resource=resource)


@pytest.mark.parametrize("minutes", [-30, 30])
def test_a_slot_that_overlaps_in_part_cannot_be_held(minutes: int) -> None:
    resource = make_resource()
    make_hold(resource=resource)

    with pytest.raises(SlotUnavailable):
        make_hold(resource=resource, start=in_two_days() + timedelta(minutes=minutes))


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_slot_right_beside_a_held_one_can_be_held(hours: int) -> None:
    resource = make_resource()
    make_hold(resource=resource)

    assert make_hold(resource=resource, start=in_two_days() + timedelta(hours=hours))


def test_the_gap_between_two_slots_is_after_the_first_plus_before_the_second() -> None:
    resource = make_resource(buffer_before_minutes=30, buffer_after_minutes=30)
    make_hold(resource=resource)

    with pytest.raises(SlotUnavailable):
        make_hold(resource=resource, start=in_two_days() + timedelta(minutes=90))
    assert make_hold(resource=resource, start=in_two_days() + timedelta(hours=2))


def test_the_same_wish_again_is_the_same_hold() -> None:
    resource, alice = make_resource(), make_customer()
    hold = make_hold(resource=resource, customer=alice)

    again = holds.create_hold(customer_id=alice.pk, wanted=wanted(resource))

    assert (again.hold.pk, again.is_new) == (hold.pk, False)


def test_a_customer_at_the_limit_still_finds_the_hold_they_have() -> None:
    alice = make_customer()
    resources = [make_resource() for _ in range(3)]
    first, *_ = [make_hold(resource=r, customer=alice) for r in resources]

    with pytest.raises(HoldLimit):
        make_hold(customer=alice)
    again = holds.create_hold(customer_id=alice.pk, wanted=wanted(resources[0]))
    assert again.hold.pk == first.pk


def test_expired_and_released_holds_do_not_count_against_the_limit() -> None:
    alice = make_customer()
    first, second, _ = [make_hold(customer=alice) for _ in range(3)]
    expire(first)
    holds.release_hold(hold_id=second.pk, customer_id=alice.pk)

    assert make_hold(customer=alice)
    assert make_hold(customer=alice)


def test_whoever_wants_the_slot_of_an_expired_hold_gets_it_at_once() -> None:
    resource = make_resource()
    late = make_hold(resource=resource)
    expire(late)

    assert make_hold(resource=resource).status == HoldStatus.ACTIVE
    assert status_of(late) == HoldStatus.EXPIRED
    entry = AuditEntry.objects.get(action="hold.expired")
    assert (entry.actor_id, entry.subject_id) == ("newcomer", str(late.pk))


def test_the_sweep_expires_what_is_due_and_nothing_else() -> None:
    due, fresh = make_hold(), make_hold()
    expire(due)

    assert holds.expire_due_holds(limit=10) == 1
    assert (status_of(due), status_of(fresh)) == (HoldStatus.EXPIRED, HoldStatus.ACTIVE)
    assert not SlotClaim.objects.filter(hold=due).exists()
    assert holds.expire_due_holds(limit=10) == 0


def test_a_released_slot_is_free_and_releasing_again_changes_nothing() -> None:
    resource, alice = make_resource(), make_customer()
    hold = make_hold(resource=resource, customer=alice)

    holds.release_hold(hold_id=hold.pk, customer_id=alice.pk)
    holds.release_hold(hold_id=hold.pk, customer_id=alice.pk)

    assert status_of(hold) == HoldStatus.RELEASED
    assert make_hold(resource=resource)


def test_nobody_can_release_the_hold_of_another() -> None:
    hold, charlie = make_hold(), make_customer("Charlie Cole")

    with pytest.raises(HoldNotFound):
        holds.release_hold(hold_id=hold.pk, customer_id=charlie.pk)


def test_a_confirmed_hold_cannot_be_released() -> None:
    booking = make_booking()

    with pytest.raises(InvalidState):
        holds.release_hold(hold_id=booking.hold_id, customer_id=booking.customer_id)


def test_a_class_gives_its_lowest_free_places_until_it_is_full() -> None:
    yoga = make_resource(units=3)

    assert make_hold(resource=yoga, units=2).units == [1, 2]
    assert make_hold(resource=yoga).units == [3]
    with pytest.raises(SlotUnavailable):
        make_hold(resource=yoga)


def test_a_place_in_a_class_that_expired_is_given_again() -> None:
    yoga = make_resource(units=2)
    first, _ = make_hold(resource=yoga), make_hold(resource=yoga)
    expire(first)

    assert make_hold(resource=yoga).units == [1]


def test_too_few_free_places_leave_nothing_behind() -> None:
    yoga = make_resource(units=3)
    make_hold(resource=yoga, units=2)

    with pytest.raises(SlotUnavailable):
        make_hold(resource=yoga, units=2)
    assert SlotClaim.objects.count() == 2


def test_a_retired_unit_is_not_sold() -> None:
    yoga = make_resource(units=2)
    yoga.units.filter(number=1).update(retired_at=in_two_days())

    assert make_hold(resource=yoga).units == [2]
    with pytest.raises(SlotUnavailable):
        make_hold(resource=yoga)


def test_price_is_that_of_the_steps_and_units_when_it_was_held() -> None:
    yoga = make_resource(units=3, price_minor=700, payment_mode="AT_VENUE")

    hold = make_hold(resource=yoga, units=2)
    yoga.price_minor = 900
    yoga.save()

    assert (hold.price_minor, hold.currency) == (2 * 2 * 700, "EUR")


@pytest.mark.parametrize(
    ("over", "field", "says"),
    [
        ({"start": -timedelta(days=3)}, "start_time", "past"),
        ({"start": timedelta(days=61)}, "start_time", "60 days"),
        ({"start": timedelta(minutes=7)}, "start_time", "every 30 minutes"),
        ({"length": timedelta(0)}, "end_time", "after start_time"),
        ({"length": -timedelta(hours=1)}, "end_time", "after start_time"),
        ({"length": timedelta(minutes=45)}, "end_time", "steps of 30"),
        ({"length": timedelta(hours=3)}, "end_time", "30 to 120"),
        ({"units": 2}, "units", "Between 1 and 1"),
    ],
)
def test_what_cannot_be_sold_is_refused_with_the_field_named(
    over: dict[str, timedelta], field: str, says: str
) -> None:
    if "start" in over:
        over = {**over, "start": in_two_days() + over["start"]}

    with pytest.raises(ValidationFailed) as caught:
        make_hold(**over)
    assert says in caught.value.extra["errors"][field][0]
    assert not BookingHold.objects.exists()


def test_notice_is_required_where_the_resource_says_so() -> None:
    with pytest.raises(ValidationFailed):
        make_hold(resource=make_resource(notice_minutes=3 * 24 * 60))


def test_outside_the_opening_hours_nothing_is_sold() -> None:
    resource = make_resource(hours=[(time(9), time(12))])

    with pytest.raises(ValidationFailed) as caught:
        make_hold(resource=resource, start=in_two_days(20))
    assert "opening hours" in str(caught.value)


def test_a_closed_day_is_not_sold() -> None:
    resource = make_resource()
    DateException.objects.create(
        venue=resource.venue, date=in_two_days().date(), kind="CLOSED"
    )

    with pytest.raises(ResourceClosed):
        make_hold(resource=resource)


def test_a_closure_of_some_hours_leaves_the_others_open() -> None:
    resource = make_resource()
    DateException.objects.create(
        venue=resource.venue,
        resource=resource,
        date=in_two_days().date(),
        kind="CLOSED",
        opens=time(10),
        closes=time(14),
    )

    with pytest.raises(ResourceClosed):
        make_hold(resource=resource, start=in_two_days(12))
    assert make_hold(resource=resource, start=in_two_days(16))


def test_special_hours_replace_the_weekly_ones() -> None:
    resource = make_resource()
    DateException.objects.create(
        venue=resource.venue,
        date=in_two_days().date(),
        kind="HOURS",
        opens=time(8),
        closes=time(9),
    )

    with pytest.raises(ValidationFailed):
        make_hold(resource=resource, start=in_two_days(12))


def test_an_unbookable_resource_is_not_there() -> None:
    with pytest.raises(ResourceNotFound):
        make_hold(resource=make_resource(is_bookable=False))
