"""Winning a slot: claim units, once expired holds are retired and the line served."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings

from bookings.errors import SlotUnavailable
from bookings.hours import Interval
from bookings.locks import (
    Terms,
    insert_hold,
    insert_hold_or_nothing,
    lock_expired_holds,
    lock_line,
    lock_line_behind,
    lock_resource,
    waiting_in,
)
from bookings.models import BookingHold, SlotClaim
from bookings.queries import around, see_who_is_in_the_way
from bookings.rules import Rules
from bookings.services.grace import settle_expiring_payables
from bookings.services.line import pass_on
from bookings.states import HoldStatus
from recovery import audit, outbox
from recovery.audit import Actor
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required


@transaction_required
def win_slot(rules: Rules, hold: BookingHold, *, units: int, actor: Actor) -> bool:
    """Insert a new hold that occupies the lowest free units, if nobody waits for them.

    False: they were offered to somebody who waits. Commit that, then refuse.

    Raises:
        SlotUnavailable: fewer units are free; the transaction must be rolled back.
    """
    terms = Terms(timedelta(seconds=settings.HOLD_TTL_SECONDS), actor)
    if rules.capacity == units == 1:
        if insert_hold(hold, rules.units, terms):
            return True
    else:
        lock_resource(rules.resource_id)
    free, offers = make_room(rules, hold.occupied)
    chosen = {number: rules.units[number] for number in free[:units]}
    terms = replace(terms, may_pass=True)  # who waits was asked a moment ago
    insert = insert_hold_or_nothing if offers else insert_hold
    if len(chosen) == units and insert(hold, chosen, terms):
        return True
    if not offers:
        raise SlotUnavailable
    return False


@transaction_required
def make_room(rules: Rules, occupied: Interval) -> tuple[list[int], int]:
    """Units (by number) that nobody occupies or waits for, and how many offers it made.

    Expired holds are retired, and what is free goes to those who wait for it.
    """
    free, offers = _retire(rules, occupied)
    if not free:
        return free, offers
    line = list(waiting_in(rules.resource_id, rules.reach(occupied)))
    if line:
        # They may want more than this time: expired holds beside it are over, too.
        offers += _retire(rules, around(rules, occupied, line))[1]
        offers += pass_on(lock_line(rules.resource_id, rules.reach(occupied)))
        free, _ = _retire(rules, occupied)
    return free, offers


@transaction_required
def _retire(rules: Rules, occupied: Interval) -> tuple[list[int], int]:
    """Free units after expired holds are retired, and how many offers that made."""
    all_ids, offers = [*rules.units.values()], 0
    if not all_ids:
        return [], 0
    in_the_way = see_who_is_in_the_way(occupied, all_ids)
    if expired := {c.hold_id for c in in_the_way if c.hold_id and c.has_expired}:
        offers = retire_expired_holds(sorted(expired), part="newcomer")
        # Look again: a sweep may have retired them, or another newcomer come first.
        in_the_way = see_who_is_in_the_way(occupied, all_ids)
    taken = {claim.unit_id for claim in in_the_way}
    free = [number for number, unit_id in rules.units.items() if unit_id not in taken]
    return free, offers


@transaction_required
def retire_expired_holds(hold_ids: list[UUID], *, part: str) -> int:
    """Expire those of these holds that have really run out and nobody else retired.

    Returns how many of those who wait were offered their time.
    """
    expired = lock_expired_holds(hold_ids)
    return expire_locked_holds(expired, part=part) if expired else 0


@transaction_required
def expire_locked_holds(hold_ids: list[UUID], *, part: str) -> int:
    """ACTIVE -> EXPIRED for locked holds that have run out; passes on their time.

    One whose money came in time, and was not decided yet, gets its grace instead.
    Returns how many of those who wait were offered it.
    """
    actor = audit.Actor.system(part)
    line = lock_line_behind(hold_ids)
    if paid := settle_expiring_payables(hold_ids, actor=actor):
        hold_ids = [each for each in hold_ids if each not in paid]
    if not hold_ids:
        return 0
    SlotClaim.objects.filter(hold__in=hold_ids).delete()
    _record_expiry(hold_ids, actor)
    return pass_on(line, ended=hold_ids, actor=actor)


@transaction_required
def _record_expiry(hold_ids: list[UUID], actor: Actor) -> None:
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
