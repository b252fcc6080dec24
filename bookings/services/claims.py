"""Winning a slot: claim units, and retire the expired holds that stand in the way."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings

from bookings.errors import SlotUnavailable
from bookings.hours import Interval
from bookings.locks import (
    insert_hold,
    lock_expired_holds,
    lock_resource,
    see_who_is_in_the_way,
)
from bookings.models import BookingHold, SlotClaim
from bookings.rules import Rules
from bookings.services.grace import settle_expiring_payables
from bookings.states import HoldStatus
from recovery import audit, outbox
from recovery.audit import Actor
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required


@transaction_required
def win_slot(rules: Rules, hold: BookingHold, *, units: int, actor: Actor) -> None:
    """Insert a new hold that occupies the lowest free units.

    Raises:
        SlotUnavailable: fewer units are free; the transaction must be rolled back.
    """
    ttl = timedelta(seconds=settings.HOLD_TTL_SECONDS)
    if rules.capacity == 1:
        if insert_hold(hold, rules.units, ttl=ttl, actor=actor):
            return
    else:
        lock_resource(rules.resource_id)
    free = find_free_units(rules, hold.occupied)[:units]
    chosen = {number: rules.units[number] for number in free}
    if len(free) < units or not insert_hold(hold, chosen, ttl=ttl, actor=actor):
        raise SlotUnavailable


def find_free_units(rules: Rules, occupied: Interval) -> list[int]:
    """Numbers of units that nobody occupies, after expired holds are retired."""
    all_ids = [*rules.units.values()]
    in_the_way = see_who_is_in_the_way(occupied, all_ids)
    if expired := {c.hold_id for c in in_the_way if c.hold_id and c.has_expired}:
        retire_expired_holds(sorted(expired), part="newcomer")
        # Look again: a sweep may have retired them, or another newcomer come first.
        in_the_way = see_who_is_in_the_way(occupied, all_ids)
    taken = {claim.unit_id for claim in in_the_way}
    return [number for number, unit_id in rules.units.items() if unit_id not in taken]


@transaction_required
def retire_expired_holds(hold_ids: list[UUID], *, part: str) -> None:
    """Expire those of these holds that have really run out and nobody else retired."""
    if expired := lock_expired_holds(hold_ids):
        expire_locked_holds(expired, part=part)


@transaction_required
def expire_locked_holds(hold_ids: list[UUID], *, part: str) -> None:
    """ACTIVE -> EXPIRED for locked holds that have run out; frees their time.

    One whose money came in time, and was not decided yet, gets its grace instead.
    """
    actor = audit.Actor.system(part)
    if paid := settle_expiring_payables(hold_ids, actor=actor):
        hold_ids = [each for each in hold_ids if each not in paid]
    if not hold_ids:
        return
    SlotClaim.objects.filter(hold__in=hold_ids).delete()
    BookingHold.objects.filter(pk__in=hold_ids).update(
        status=HoldStatus.EXPIRED, released_at=Now()
    )
    audit.record(
        actor=actor,
        action="hold.expired",
        subject="hold",
        ids=[*hold_ids],
        move=(HoldStatus.ACTIVE, HoldStatus.EXPIRED),
    )
    expired = BookingHold.objects.filter(pk__in=hold_ids)
    outbox.publish(
        "booking.hold.expired",
        subject="hold",
        facts={hold.pk: hold.facts() for hold in expired},
    )
