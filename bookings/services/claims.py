"""Winning a slot: claim units, and retire the expired holds that stand in the way."""

from uuid import UUID

from bookings.errors import SlotUnavailable
from bookings.hours import Interval
from bookings.locks import (
    lock_expired_holds,
    lock_resource,
    see_who_is_in_the_way,
    take_claims,
)
from bookings.models import BookingHold, SlotClaim
from bookings.queries import Rules
from bookings.states import HoldStatus
from recovery import audit
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required


@transaction_required
def claim_slot(rules: Rules, *, hold_id: UUID, slot: Interval, units: int) -> list[int]:
    """Occupy the lowest free units for a hold and return their numbers.

    Raises:
        SlotUnavailable: fewer units are free; the transaction must be rolled back.
    """
    occupied = rules.occupied(slot)
    if rules.capacity == 1:
        if take_claims(
            hold_id=hold_id, occupied=occupied, unit_ids=[*rules.units.values()]
        ):
            return [*rules.units]
    else:
        lock_resource(rules.resource_id)
    return _claim_free_units(rules, hold_id, occupied, units)


def _claim_free_units(
    rules: Rules, hold_id: UUID, occupied: Interval, units: int
) -> list[int]:
    all_ids = [*rules.units.values()]
    in_the_way = see_who_is_in_the_way(occupied, all_ids)
    if expired := {c.hold_id for c in in_the_way if c.hold_id and c.has_expired}:
        retire_expired_holds(sorted(expired), part="newcomer")
        # Look again: a sweep may have retired them, or another newcomer come first.
        in_the_way = see_who_is_in_the_way(occupied, all_ids)
    taken = {claim.unit_id for claim in in_the_way}
    free = [number for number, id_ in rules.units.items() if id_ not in taken][:units]
    ids = [rules.units[number] for number in free]
    if len(free) < units or not take_claims(
        hold_id=hold_id, occupied=occupied, unit_ids=ids
    ):
        raise SlotUnavailable
    return free


@transaction_required
def retire_expired_holds(hold_ids: list[UUID], *, part: str) -> None:
    """Expire those of these holds that have really run out and nobody else retired."""
    if expired := lock_expired_holds(hold_ids):
        expire_locked_holds(expired, part=part)


@transaction_required
def expire_locked_holds(hold_ids: list[UUID], *, part: str) -> None:
    """ACTIVE -> EXPIRED for locked holds that have run out; frees their time."""
    SlotClaim.objects.filter(hold__in=hold_ids).delete()
    BookingHold.objects.filter(pk__in=hold_ids).update(
        status=HoldStatus.EXPIRED, released_at=Now()
    )
    audit.record(
        actor=audit.Actor.system(part),
        action="hold.expired",
        subject="hold",
        ids=[*hold_ids],
        move=(HoldStatus.ACTIVE, HoldStatus.EXPIRED),
    )
