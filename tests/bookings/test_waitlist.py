"""Waiting for a slot: who gets what becomes free, and how it ends."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

import pytest

from bookings.errors import (
    HoldLimit,
    NothingOffered,
    ResourceClosed,
    ResourceNotFound,
    SlotUnavailable,
    WaitlistEntryNotFound,
    WaitlistLimit,
)
from bookings.hours import Interval
from bookings.models import (
    Booking,
    BookingHold,
    DateException,
    ResourceUnit,
    SlotClaim,
    WaitlistEntry,
)
from bookings.queries import get_entry, list_free_slots, list_open_entries
from bookings.rules import get_rules
from bookings.services import bookings, cancelling, endings, holds, waitlist
from bookings.states import HoldSource, HoldStatus, WaitlistStatus
from notifications.models import Notification
from notifications.services.desk import resend
from recovery import invariants
from recovery.models import AuditEntry, OutboxEvent
from slotbase.lib.clock import read_clock
from slotbase.lib.errors import InvalidState, ValidationFailed
from tests.adversity import Clock
from tests.bookings.messages import deliver
from tests.conftest import Sandbox
from tests.factories import (
    HOUR,
    expire,
    in_two_days,
    make_booking,
    make_customer,
    make_entry,
    make_hold,
    make_priced_resource,
    make_resource,
    make_staff,
    make_venue,
    wanted,
)

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def now_of(entry: WaitlistEntry) -> WaitlistEntry:
    return WaitlistEntry.objects.select_related("hold").get(pk=entry.pk)


def states(*entries: WaitlistEntry) -> list[str]:
    return [now_of(entry).status for entry in entries]


def offer_of(entry: WaitlistEntry) -> BookingHold:
    hold = now_of(entry).hold
    assert hold is not None
    return hold


def history_of(entry: WaitlistEntry) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.filter(
        subject_type="waitlistentry", subject_id=str(entry.pk)
    )
    return list(entries.order_by("id").values_list("action", "actor_kind"))


def mails_about(entry: WaitlistEntry) -> dict[str, str]:
    mails = Notification.objects.filter(subject_id=str(entry.pk))
    return dict(mails.values_list("template", "status"))


def release(hold: BookingHold) -> None:
    holds.release_hold(hold_id=hold.pk, customer_id=hold.customer_id)


def look_again() -> None:
    """The sweep, to which everybody who waits is a stranger."""
    WaitlistEntry.objects.update(looked_at=read_clock() - HOUR)
    waitlist.offer_free_slots(limit=10)


# --- What becomes free --------------------------------------------------------


def free_by_release(hold: BookingHold) -> None:
    release(hold)


def free_by_sweep(hold: BookingHold) -> None:
    expire(hold)
    holds.expire_due_holds(limit=10)


def free_by_cancellation(hold: BookingHold) -> None:
    booking, _ = bookings.confirm_hold(hold_id=hold.pk, customer_id=hold.customer_id)
    cancelling.cancel_booking(booking_id=booking.pk, customer_id=hold.customer_id)


@pytest.mark.parametrize("free", [free_by_release, free_by_sweep, free_by_cancellation])
def test_what_becomes_free_is_the_first_ones_in_the_same_transaction(
    free: Callable[[BookingHold], None],
) -> None:
    court = make_resource()
    hold = make_hold(resource=court)
    first, second = make_entry(resource=court), make_entry(resource=court)

    free(hold)

    offer = offer_of(first)
    assert states(first, second) == [WaitlistStatus.OFFERED, WaitlistStatus.WAITING]
    assert (offer.status, offer.source) == (HoldStatus.ACTIVE, HoldSource.WAITLIST)
    assert (offer.customer_id, offer.start_time) == (first.customer_id, hold.start_time)
    assert SlotClaim.objects.get().hold_id == offer.pk
    assert mails_about(first) == {"waitlist_offered": "PENDING"}


def test_what_a_paid_booking_had_is_passed_on_when_it_is_cancelled() -> None:
    court = make_priced_resource("AT_VENUE")
    booking = make_booking(resource=court)
    entry = make_entry(resource=court)

    cancelling.cancel_booking(
        booking_id=booking.pk, customer_id=booking.customer_id, reason="ill"
    )

    assert offer_of(entry).price_minor == 2400


def test_an_offer_has_todays_price_and_its_own_time() -> None:
    court = make_priced_resource()
    hold, entry = make_hold(resource=court), make_entry(resource=court)
    court.price_minor = 1500
    court.save()

    release(hold)

    offer = offer_of(entry)
    lasts = offer.expires_at - offer.created_at
    assert timedelta(seconds=899) < lasts <= timedelta(seconds=900)
    assert offer.price_minor == 3000


def test_offers_do_not_count_against_the_limit_of_holds() -> None:
    alice = make_customer()
    make_entry(resource=make_resource(), customer=alice)
    for _ in range(3):
        make_hold(customer=alice)

    with pytest.raises(HoldLimit):
        make_hold(customer=alice)
    assert states(make_entry(resource=make_resource(), customer=alice)) == [
        WaitlistStatus.OFFERED
    ]


def test_an_offer_ends_when_the_slot_cannot_be_booked_any_more() -> None:
    court = make_resource(notice_minutes=60, step_minutes=5, min_minutes=5)
    start = (read_clock() + 2 * HOUR).replace(second=0, microsecond=0)
    start -= timedelta(minutes=start.minute % 5)
    hold = make_hold(resource=court, start=start)
    entry = make_entry(resource=court, start=start)
    court.notice_minutes = (start - read_clock()) // MINUTE - 5
    court.save()

    release(hold)

    cut_off = start - timedelta(minutes=court.notice_minutes)
    assert offer_of(entry).expires_at == cut_off


@pytest.mark.usefixtures("_a_sunday_in_may")
def test_in_quiet_hours_an_offer_lasts_until_they_end() -> None:
    # It is noon in UTC, two in the afternoon in Berlin.
    venue = make_venue(quiet_from=time(13), quiet_until=time(16))
    court = make_resource(venue=venue)
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)

    release(hold)

    local = offer_of(entry).expires_at.astimezone(venue.zone)
    assert (local.hour, local.minute) == (16, 0)


def test_of_those_who_wait_the_first_whom_it_fits_gets_it() -> None:
    yoga = make_resource(units=2)
    kept, freed = make_hold(resource=yoga), make_hold(resource=yoga)
    both, one = make_entry(resource=yoga, units=2), make_entry(resource=yoga)

    release(freed)
    assert states(both, one) == [WaitlistStatus.WAITING, WaitlistStatus.OFFERED]
    assert offer_of(one).units == [2]

    release(kept)
    release(offer_of(one))
    assert states(both, one) == [WaitlistStatus.OFFERED, WaitlistStatus.LEFT]
    assert offer_of(both).units == [1, 2]


def test_one_long_slot_serves_two_short_wishes_and_half_of_one_serves_none() -> None:
    court = make_resource(max_minutes=240)
    long = make_hold(resource=court, length=2 * HOUR)
    early = make_entry(resource=court)
    beyond = make_entry(resource=court, start=in_two_days(13), length=3 * HOUR)
    late = make_entry(resource=court, start=in_two_days(13))
    make_hold(resource=court, start=in_two_days(15))

    release(long)

    assert states(early, beyond, late) == [
        *(WaitlistStatus.OFFERED, WaitlistStatus.WAITING, WaitlistStatus.OFFERED)
    ]


def test_buffers_must_be_free_as_well() -> None:
    court = make_resource(buffer_before_minutes=30, buffer_after_minutes=30)
    hold = make_hold(resource=court)
    beside = make_entry(resource=court, start=in_two_days(13))
    make_hold(resource=court, start=in_two_days(15))

    release(hold)
    assert states(beside) == [WaitlistStatus.OFFERED]

    close_by = make_entry(resource=court, start=in_two_days(14))
    release(offer_of(beside))
    assert states(close_by) == [WaitlistStatus.WAITING]


def test_who_waits_for_another_time_or_court_gets_nothing() -> None:
    court, other = make_resource(), make_resource()
    hold = make_hold(resource=court)
    make_hold(resource=court, start=in_two_days(13))
    make_hold(resource=other)
    later = make_entry(resource=court, start=in_two_days(13))
    elsewhere = make_entry(resource=other)

    release(hold)

    assert states(later, elsewhere) == [WaitlistStatus.WAITING] * 2


@pytest.mark.parametrize("is_bookable", [True, False])
def test_what_cannot_be_sold_any_more_is_offered_to_nobody(is_bookable: bool) -> None:
    court = make_resource()
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)
    if is_bookable:
        DateException.objects.create(
            venue=court.venue, date=hold.start_time.date(), kind="CLOSED"
        )
    else:
        court.is_bookable = False
        court.save()

    release(hold)
    look_again()
    assert states(entry) == [WaitlistStatus.WAITING]

    DateException.objects.all().delete()
    court.is_bookable = True
    court.save()
    look_again()
    assert states(entry) == [WaitlistStatus.OFFERED]


# --- How an offer ends --------------------------------------------------------


def offered_and_next() -> tuple[WaitlistEntry, WaitlistEntry]:
    court = make_resource()
    hold = make_hold(resource=court)
    first, second = make_entry(resource=court), make_entry(resource=court)
    release(hold)
    return first, second


def test_an_offer_that_is_confirmed_is_a_booking_and_claimed() -> None:
    first, second = offered_and_next()

    booking, _ = bookings.confirm_hold(
        hold_id=offer_of(first).pk, customer_id=first.customer_id
    )

    assert booking.hold_id == offer_of(first).pk
    assert states(first, second) == [WaitlistStatus.CLAIMED, WaitlistStatus.WAITING]
    assert mails_about(first) == {"waitlist_offered": "CANCELLED"}
    assert history_of(first) == [
        ("waitlist.joined", "customer"),
        ("waitlist.offered", "system"),
        ("waitlist.claimed", "customer"),
    ]


def test_after_a_lapsed_offer_the_next_one_is_served() -> None:
    first, second = offered_and_next()
    expire(offer_of(first))

    holds.expire_due_holds(limit=10)

    assert states(first, second) == [WaitlistStatus.LAPSED, WaitlistStatus.OFFERED]
    assert mails_about(first) == {
        "waitlist_offered": "CANCELLED",
        "waitlist_lapsed": "PENDING",
    }
    assert offer_of(second).status == HoldStatus.ACTIVE


def test_a_declined_offer_goes_to_the_next_one_at_once() -> None:
    first, second = offered_and_next()

    waitlist.decline_offer(entry_id=first.pk, customer_id=first.customer_id)

    assert states(first, second) == [WaitlistStatus.LEFT, WaitlistStatus.OFFERED]
    assert mails_about(first) == {"waitlist_offered": "CANCELLED"}
    with pytest.raises(NothingOffered):
        waitlist.decline_offer(entry_id=first.pk, customer_id=first.customer_id)


def test_a_declined_offer_is_not_sent_again_either(sandbox: Sandbox) -> None:
    """Staff had sent it again, and that once more."""
    first, _ = offered_and_next()
    offers = Notification.objects.filter(subject_id=str(first.pk)).order_by("pk")
    for _ in range(2):
        deliver()
        last = offers.latest("pk")
        resend(message_id=last.pk, staff_id=make_staff().pk)

    waitlist.decline_offer(entry_id=first.pk, customer_id=first.customer_id)

    states = offers.values_list("status", flat=True)
    assert [*states] == ["SENT", "SENT", "CANCELLED"]


def test_an_offer_that_is_released_as_a_hold_is_declined() -> None:
    first, second = offered_and_next()

    release(offer_of(first))

    assert states(first, second) == [WaitlistStatus.LEFT, WaitlistStatus.OFFERED]


def test_who_leaves_gives_the_offer_to_the_next_one_and_may_leave_again() -> None:
    first, second = offered_and_next()

    for _ in range(2):
        waitlist.leave_waitlist(entry_id=first.pk, customer_id=first.customer_id)

    assert states(first, second) == [WaitlistStatus.LEFT, WaitlistStatus.OFFERED]


def test_who_leaves_while_waiting_is_offered_nothing() -> None:
    court = make_resource()
    hold = make_hold(resource=court)
    entry = make_entry(resource=court)

    waitlist.leave_waitlist(entry_id=entry.pk, customer_id=entry.customer_id)
    release(hold)

    assert states(entry) == [WaitlistStatus.LEFT]
    assert mails_about(entry) == {}


def test_an_offer_that_is_a_booking_is_not_left_but_cancelled() -> None:
    first, _ = offered_and_next()
    bookings.confirm_hold(hold_id=offer_of(first).pk, customer_id=first.customer_id)

    with pytest.raises(InvalidState):
        waitlist.leave_waitlist(entry_id=first.pk, customer_id=first.customer_id)


def test_an_offer_that_has_run_out_cannot_be_declined_and_looks_lapsed() -> None:
    first, second = offered_and_next()
    expire(offer_of(first))

    with pytest.raises(NothingOffered):
        waitlist.decline_offer(entry_id=first.pk, customer_id=first.customer_id)
    seen = get_entry(first.pk, customer_id=first.customer_id)
    assert seen.status == WaitlistStatus.LAPSED
    assert not list_open_entries(first.customer_id)
    assert states(second) == [WaitlistStatus.WAITING]


def test_staff_take_somebody_off_the_list_and_say_why() -> None:
    first, second = offered_and_next()
    bob = make_staff("front_desk")

    waitlist.remove_entry(entry_id=first.pk, staff_id=bob.pk, reason="Called: no.")

    assert states(first, second) == [WaitlistStatus.LEFT, WaitlistStatus.OFFERED]
    assert now_of(first).end_reason == "Called: no."
    assert history_of(first)[-1] == ("waitlist.left", "staff")
    with pytest.raises(InvalidState):
        waitlist.remove_entry(entry_id=first.pk, staff_id=bob.pk, reason="Again")


def test_nobody_moves_the_entry_of_another() -> None:
    first, _ = offered_and_next()
    charlie = make_customer("Charlie Cole")

    for command in (waitlist.leave_waitlist, waitlist.decline_offer):
        with pytest.raises(WaitlistEntryNotFound):
            command(entry_id=first.pk, customer_id=charlie.pk)
    assert states(first) == [WaitlistStatus.OFFERED]


# --- Joining ------------------------------------------------------------------


def test_who_joins_for_a_slot_that_is_free_has_the_offer_at_once() -> None:
    entry = make_entry(resource=make_resource())

    assert states(entry) == [WaitlistStatus.OFFERED]
    assert offer_of(entry).status == HoldStatus.ACTIVE


def test_who_joins_for_the_slot_of_an_expired_hold_has_the_offer_at_once() -> None:
    court = make_resource()
    late = make_hold(resource=court)
    expire(late)

    assert states(make_entry(resource=court)) == [WaitlistStatus.OFFERED]


def test_joining_again_finds_the_same_place() -> None:
    court, alice = make_resource(), make_customer()
    make_hold(resource=court)
    entry = make_entry(resource=court, customer=alice)

    again = waitlist.join_waitlist(customer_id=alice.pk, wanted=wanted(court))

    assert again == (entry.pk, False)


def test_who_joins_anew_after_a_lapsed_offer_is_the_last() -> None:
    first, second = offered_and_next()
    expire(offer_of(first))

    anew = make_entry(resource=first.resource, customer=first.customer)

    assert anew.pk != first.pk
    assert states(first, second, anew) == [
        *(WaitlistStatus.LAPSED, WaitlistStatus.OFFERED, WaitlistStatus.WAITING)
    ]


def test_a_customer_waits_for_five_slots_at_most() -> None:
    court, alice = make_resource(), make_customer()
    for hour in range(8, 14):
        make_hold(resource=court, start=in_two_days(hour))
    for hour in range(8, 13):
        make_entry(resource=court, customer=alice, start=in_two_days(hour))

    with pytest.raises(WaitlistLimit):
        make_entry(resource=court, customer=alice, start=in_two_days(13))
    assert make_entry(resource=court, customer=alice, start=in_two_days(8))


def test_one_can_wait_for_nothing_that_is_never_sold() -> None:
    court = make_resource(hours=[(time(8), time(20))])
    with pytest.raises(ValidationFailed):
        make_entry(resource=court, start=in_two_days(2))
    with pytest.raises(ValidationFailed):
        make_entry(resource=court, units=2)
    DateException.objects.create(
        venue=court.venue, date=in_two_days().date(), kind="CLOSED"
    )
    with pytest.raises(ResourceClosed):
        make_entry(resource=court)
    court.is_bookable = False
    court.save()
    with pytest.raises(ResourceNotFound):
        make_entry(resource=court)


def test_the_position_counts_those_in_front_who_want_the_same_time() -> None:
    court = make_resource()
    make_hold(resource=court, start=in_two_days(12))
    make_hold(resource=court, start=in_two_days(13))
    entries = [
        make_entry(resource=court, start=in_two_days(hour)) for hour in (12, 13, 12)
    ]

    seen = [get_entry(e.pk, customer_id=e.customer_id).ahead for e in entries]

    assert seen == [0, 0, 1]


# --- Worker and beat are stopped ----------------------------------------------


def free_slots(court_id: int) -> list[datetime]:
    day = in_two_days().date()
    rules = get_rules(court_id, first=day, last=day)
    window = Interval(in_two_days(10), in_two_days(15))
    return [s.start for s in list_free_slots(rules, window, length=HOUR, units=1)]


def slot_of_an_expired_hold(court_id: int) -> WaitlistEntry:
    hold = BookingHold.objects.get(resource=court_id)
    entry = make_entry(resource=hold.resource)
    expire(hold)
    return entry


def slot_of_a_new_unit(court_id: int) -> WaitlistEntry:
    hold = BookingHold.objects.get(resource=court_id)
    entry = make_entry(resource=hold.resource)
    ResourceUnit.objects.create(resource_id=court_id, number=2)
    return entry


@pytest.mark.parametrize("become_free", [slot_of_an_expired_hold, slot_of_a_new_unit])
def test_a_newcomer_does_not_get_what_somebody_waits_for(
    become_free: Callable[[int], WaitlistEntry],
) -> None:
    court = make_resource()
    make_hold(resource=court)
    entry = become_free(court.pk)
    assert in_two_days() not in free_slots(court.pk)

    with pytest.raises(SlotUnavailable):
        make_hold(resource=court)

    assert states(entry) == [WaitlistStatus.OFFERED]
    assert in_two_days() not in free_slots(court.pk)
    assert in_two_days(14) in free_slots(court.pk)


def test_nor_what_overlaps_in_part_with_what_somebody_waits_for() -> None:
    court = make_resource()
    first, second = (
        make_hold(resource=court),
        make_hold(resource=court, start=in_two_days(13)),
    )
    entry = make_entry(resource=court, length=2 * HOUR)
    for hold in (first, second):
        expire(hold)
    assert not {in_two_days(12), in_two_days(13)} & {*free_slots(court.pk)}

    with pytest.raises(SlotUnavailable):
        make_hold(resource=court, start=in_two_days(13))

    assert states(entry) == [WaitlistStatus.OFFERED]


def test_a_newcomer_gets_what_fits_nobody_who_waits() -> None:
    court = make_resource()
    make_hold(resource=court)
    entry = make_entry(resource=court, length=2 * HOUR)

    assert in_two_days(13) in free_slots(court.pk)
    assert make_hold(resource=court, start=in_two_days(13)).status == HoldStatus.ACTIVE
    assert states(entry) == [WaitlistStatus.WAITING]


def test_a_newcomer_gets_the_second_place_while_the_first_is_offered() -> None:
    yoga = make_resource(units=2)
    for hold in [make_hold(resource=yoga) for _ in range(2)]:
        entry = make_entry(resource=yoga)
        expire(hold)
        waitlist.leave_waitlist(entry_id=entry.pk, customer_id=entry.customer_id)
    entry = make_entry(resource=yoga)

    assert states(entry) == [WaitlistStatus.OFFERED]
    assert make_hold(resource=yoga).units == [2]


def test_a_newcomer_who_is_the_first_in_the_line_gets_the_offer_as_a_hold() -> None:
    court, alice = make_resource(), make_customer()
    late = make_hold(resource=court)
    entry = make_entry(resource=court, customer=alice)
    expire(late)

    held = holds.create_hold(customer_id=alice.pk, wanted=wanted(court))
    again = holds.create_hold(customer_id=alice.pk, wanted=wanted(court))

    assert held.hold.pk == offer_of(entry).pk
    assert (held.is_new, again.is_new) == (True, False)
    assert again.hold.pk == held.hold.pk


def test_with_nothing_swept_each_in_the_line_is_served_in_their_order() -> None:
    court = make_resource()
    expire(make_hold(resource=court))
    entries = [make_entry(resource=court) for _ in range(3)]

    for entry in entries:
        with pytest.raises(SlotUnavailable):
            make_hold(resource=court)
        assert states(entry) == [WaitlistStatus.OFFERED]
        expire(offer_of(entry))
    assert make_hold(resource=court).status == HoldStatus.ACTIVE


# --- The sweep ----------------------------------------------------------------


def test_the_sweep_finds_a_free_slot_with_somebody_waiting() -> None:
    court = make_resource()
    make_hold(resource=court)
    entry, idle = make_entry(resource=court), make_entry(resource=court)
    ResourceUnit.objects.create(resource=court, number=2)

    assert waitlist.offer_free_slots(limit=10) == 0  # looked at a moment ago
    look_again()

    assert states(entry, idle) == [WaitlistStatus.OFFERED, WaitlistStatus.WAITING]


def test_a_look_at_one_serves_whoever_is_in_front_of_it() -> None:
    court = make_resource()
    make_hold(resource=court)
    first, second = make_entry(resource=court), make_entry(resource=court)
    ResourceUnit.objects.create(resource=court, number=2)
    WaitlistEntry.objects.filter(pk=second.pk).update(looked_at=read_clock() - HOUR)

    waitlist.offer_free_slots(limit=10)

    assert states(first, second) == [WaitlistStatus.OFFERED, WaitlistStatus.WAITING]


def test_however_many_wait_each_gets_their_look() -> None:
    court = make_resource()
    make_hold(resource=court)
    entries = [make_entry(resource=court) for _ in range(5)]
    WaitlistEntry.objects.update(looked_at=read_clock() - HOUR)

    assert [waitlist.offer_free_slots(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert states(*entries) == [WaitlistStatus.WAITING] * 5


def test_who_waited_in_vain_waits_no_more(clock: Clock) -> None:
    court = make_resource(notice_minutes=60)
    make_booking(resource=court)
    entry = make_entry(resource=court)
    clock.move(seconds=(entry.start_time - read_clock() - HOUR).total_seconds() + 1)

    waitlist.offer_free_slots(limit=10)

    assert states(entry) == [WaitlistStatus.LAPSED]
    assert mails_about(entry) == {}


def test_a_sweep_that_does_not_come_is_seen() -> None:
    court = make_resource()
    make_hold(resource=court)
    entry = make_entry(resource=court)
    WaitlistEntry.objects.update(looked_at=read_clock() - HOUR)

    broken = {v.id: v.rows for v in invariants.find_violations()}

    assert broken["I11.waitlist"] == [str(entry.pk)]


# --- What is left of it -------------------------------------------------------


def test_what_ended_long_ago_is_purged_and_a_purged_hold_leaves_the_entry(
    clock: Clock,
) -> None:
    first, second = offered_and_next()
    waitlist.decline_offer(entry_id=first.pk, customer_id=first.customer_id)
    clock.move(days=91)
    holds.expire_due_holds(limit=10)

    holds.purge_old_holds(limit=10)
    assert now_of(first).hold is None
    assert waitlist.purge_ended_entries(limit=10) == 1
    assert not WaitlistEntry.objects.filter(pk=first.pk).exists()
    assert states(second) == [WaitlistStatus.LAPSED]


def test_the_end_of_a_booking_that_was_offered_changes_nothing(clock: Clock) -> None:
    first, _ = offered_and_next()
    bookings.confirm_hold(hold_id=offer_of(first).pk, customer_id=first.customer_id)
    clock.move(days=3)

    endings.complete_ended_bookings(limit=10)

    assert Booking.objects.get().status == "COMPLETED"
    assert states(first) == [WaitlistStatus.CLAIMED]


def test_each_move_is_told() -> None:
    first, second = offered_and_next()
    expire(offer_of(first))
    holds.expire_due_holds(limit=10)

    told = OutboxEvent.objects.filter(subject_type="waitlistentry").order_by("id")
    of_first = told.filter(subject_id=str(first.pk)).values_list("type", flat=True)
    assert [*of_first] == ["waitlist.joined", "waitlist.offered", "waitlist.lapsed"]
    offered = told.get(subject_id=str(second.pk), type="waitlist.offered")
    assert offered.data["hold"] == str(offer_of(second).pk)


@pytest.mark.breaks_invariants
def test_an_offer_without_its_hold_would_be_seen() -> None:
    first, _ = offered_and_next()
    BookingHold.objects.filter(pk=offer_of(first).pk).update(
        status=HoldStatus.EXPIRED, released_at=read_clock()
    )

    broken = {v.id for v in invariants.find_violations()}

    assert "I7.offers" in broken
