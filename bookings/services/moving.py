"""Moving a booking to another time or resource of its venue, at the price it had."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bookings.errors import BookingHasChanged, NotMovable, SlotUnavailable
from bookings.hours import Interval, say_local, to_instant
from bookings.locks import (
    insert_claims_of_moved,
    lock_again,
    lock_booking_with_hold,
    lock_line_behind,
    lock_resource,
)
from bookings.models import Booking, BookingHold, Resource, SlotClaim
from bookings.rules import Rules, Wanted, check_slot, get_rules, in_minutes
from bookings.services import conflicts, messages, moved_clocks
from bookings.services.claims import make_room
from bookings.services.closures import take_freed_time
from bookings.services.line import pass_on
from bookings.states import BookingStatus
from bookings.terms import quote
from payments.locks import lock_payable
from payments.services.four_eyes import Second, by_two, require_two_to_forgo
from payments.services.payables import retitle_payable
from recovery import audit, cases, outbox
from slotbase.lib.clock import read_clock
from slotbase.lib.db import transaction_required
from slotbase.lib.errors import ValidationFailed


def _say_where_to(asked: Mapping[str, Any]) -> list[str]:
    """For whoever has to agree."""
    start = f"To {asked['start_time']:%Y-%m-%d %H:%M} by the clocks of the venue."
    place = Resource.objects.filter(pk=asked.get("resource_id", 0)).first()
    return [start, f"On {place}."] if place else [start]


@by_two("move_booking", "Move a booking", say=_say_where_to)
def move_booking(
    *,
    booking_id: UUID,
    staff_id: UUID,
    version: int,
    start_time: datetime,
    resource_id: int | None = None,
    second: Second | None = None,
) -> Booking:
    """Staff move a booking: as long, as many units, at the same price.

    A start without an offset is the venue's local time; without `resource_id` it stays
    where it is. Its own time counts as free, and goes to who waits for it. The customer
    is told by mail.

    Raises:
        BookingNotFound: there is none.
        BookingHasChanged: somebody did something with it meanwhile.
        NotMovable: it is not to come any more.
        SlotUnavailable: somebody else has the new time; the booking stays as it is.
        ValidationFailed, ResourceClosed, ResourceNotFound, NonexistentTime,
            AmbiguousTime: it cannot be sold like that.
        ApprovalRequired: a cancellation would keep so much less that it takes two.
    """
    _take_turns(booking_id, resource_id)
    booking = lock_booking_with_hold(booking_id)
    _check_movable(booking, version)
    rules, slot = _check_new_slot(booking, resource_id, start_time)
    is_ours = _is_cause_of_venue(booking, slot.start)
    before = booking.resource, booking.hold.occupied, booking.facts()
    was_start, was_local = booking.start_time, booking.local_start
    line = lock_line_behind([booking.hold_id])
    _take_new_time(booking.hold, rules, slot)
    _write(booking, booking.hold)
    take_freed_time(before[0], before[1])
    pass_on(lock_again(line))
    _tell(booking, before[2], audit.Actor.staff(staff_id))
    messages.tell_moved(booking, was_local=was_local)
    if not is_ours:
        _require_two(booking, was_start, staff_id, second)
    return booking


@transaction_required
def _take_turns(booking_id: UUID, resource_id: int | None) -> None:
    """The resource comes before the hold in the lock order."""
    bookings = Booking.objects.filter(pk=booking_id).values_list("resource", flat=True)
    for each in filter(None, [resource_id or bookings.first()]):
        lock_resource(each)


def _check_movable(booking: Booking, version: int) -> None:
    if booking.version != version:
        raise BookingHasChanged("Look at it again, then decide.")
    if booking.status != BookingStatus.CONFIRMED:
        raise NotMovable(f"The booking is {booking.status}.")
    if booking.end_time <= read_clock():
        raise NotMovable("The booking is over.")


def _is_cause_of_venue(booking: Booking, start: datetime) -> bool:
    """Whether a case says that it cannot stay, and this is what is to be done.

    What is closed may go anywhere; where clocks were moved, to the time that was sold.
    """
    if cases.is_open(conflicts.closure_conflict_of(booking)):
        return True
    is_as_sold = say_local(start, booking.resource.venue.zone) == booking.local_start
    return is_as_sold and cases.is_open(moved_clocks.fingerprint_of(booking))


@transaction_required
def _require_two(
    booking: Booking, was_start: datetime, staff_id: UUID, second: Second | None
) -> None:
    """Far away a cancellation is free: to move there is to give the money back."""
    if booking.payable_id is None:
        return
    payable, now = lock_payable(booking.payable_id), read_clock()
    was, will_be = (
        quote(
            booking.cancellation_terms,
            price_minor=payable.owed_minor,
            start=start,
            now=now,
        ).fee_minor
        for start in (was_start, booking.start_time)
    )
    if was > will_be or second:
        require_two_to_forgo(
            payable,
            was - will_be,
            staff_id=staff_id,
            second=second,
            about=("booking", booking.pk),
        )


def _check_new_slot(
    booking: Booking, resource_id: int | None, start: datetime
) -> tuple[Rules, Interval]:
    """The rules of the new place and the new time, if it can be sold there.

    Staff need not keep the notice that customers must give.
    """
    # An instant before the length is added: clocks may change in between.
    start = to_instant(start, booking.resource.venue.zone, field="start_time")
    length = booking.end_time - booking.start_time
    wanted = Wanted(
        resource_id or booking.resource_id, start, start + length, len(booking.units)
    )
    rules = get_rules(
        wanted.resource_id, first=start.date(), last=wanted.end_time.date()
    )
    if rules.venue_id != booking.resource.venue_id:
        raise ValidationFailed(resource="It belongs to another venue.")
    slot = check_slot(replace(rules, notice=timedelta(0)), wanted)
    is_same = (slot.start, wanted.resource_id) == (
        booking.start_time,
        booking.resource_id,
    )
    if is_same:
        raise ValidationFailed(start_time="It is there already.")
    return rules, slot


@transaction_required
def _take_new_time(hold: BookingHold, rules: Rules, slot: Interval) -> None:
    """Give the claims of a hold back, then take others, or roll all of it back."""
    SlotClaim.objects.filter(hold=hold).delete()
    hold.resource = Resource.objects.select_related("venue").get(pk=rules.resource_id)
    hold.start_time, hold.end_time = slot.start, slot.end
    hold.buffer_before_minutes = in_minutes(rules.buffer_before)
    hold.buffer_after_minutes = in_minutes(rules.buffer_after)
    free, _ = make_room(rules, hold.occupied)  # who waits for it comes first
    chosen = {number: rules.units[number] for number in free[: len(hold.units)]}
    if len(chosen) < len(hold.units) or not insert_claims_of_moved(hold, chosen):
        raise SlotUnavailable


@transaction_required
def _write(booking: Booking, hold: BookingHold) -> None:
    """Hold and booking have one time (I17); what it costs is named for it."""
    same = ("resource", "start_time", "end_time", "units")
    hold.save(
        update_fields=[*same, "buffer_before_minutes", "buffer_after_minutes"],
    )
    for name in same:
        setattr(booking, name, getattr(hold, name))
    booking.local_start = say_local(booking.start_time, booking.resource.venue.zone)
    booking.version += 1
    booking.save(update_fields=[*same, "local_start", "version"])
    if booking.payable_id is not None:
        retitle_payable(booking.payable_id, title=str(hold))


@transaction_required
def _tell(booking: Booking, before: dict[str, object], actor: audit.Actor) -> None:
    audit.record(
        actor=actor,
        action="booking.moved",
        subject="booking",
        ids=[booking.pk],
        reason=f"from {before['start_time']} to {booking.start_time.isoformat()}",
    )
    facts = {**booking.facts(), "before": before}
    outbox.publish("booking.moved", subject="booking", facts={booking.pk: facts})
    conflicts.close_conflict(booking, "The booking was moved.")
    moved_clocks.close_moved(booking, "The booking was moved.")
