"""The line: what becomes free goes to whoever waits for it, in the same transaction.

Whoever ends a hold locks the line behind it (`locks.lock_line_behind`) before any
payable, deletes its claims, and passes on what is free then. Two who do so at once take
turns: the locks on those who wait are what they take turns by.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from bookings.errors import ResourceNotFound
from bookings.hours import quiet_end
from bookings.locks import Terms, insert_hold_or_nothing
from bookings.models import BookingHold, WaitlistEntry
from bookings.queries import around, get_claimed, plan_offers
from bookings.rules import Rules, get_rules
from bookings.services import messages
from bookings.services.sales import draft_hold
from bookings.states import WAITLIST_MOVES, HoldSource, WaitlistStatus
from recovery import audit, outbox
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.errors import InvalidState
from slotbase.lib.failpoints import failpoint
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move

BY = audit.Actor.system("waitlist")


@transaction_required
def pass_on(
    line: Collection[WaitlistEntry],
    *,
    ended: Collection[UUID] = (),
    to: WaitlistStatus = WaitlistStatus.LAPSED,
    actor: audit.Actor = BY,
    reason: str = "",
) -> int:
    """Offer what is free now to those of a locked line whom it fits; says how many.

    First, entries whose offers were the holds that `ended` become `to`.
    """
    if not line:
        return 0
    failpoint("waitlist.passing_on")
    waiting = defaultdict(list)
    for entry in line:
        if entry.status == WaitlistStatus.WAITING:
            waiting[entry.resource_id].append(entry)
        elif entry.hold_id in ended:
            end_entry(entry, to, actor=actor, reason=reason)
    return sum(_serve(resource_id, some) for resource_id, some in waiting.items())


def _serve(resource_id: int, line: list[WaitlistEntry]) -> int:
    rules = _rules_for(resource_id, line)
    if rules is None:
        return 0
    window = around(rules, rules.occupied(line[0].slot), line)
    # Expired holds are still in the way here: whoever may retire them did so before.
    claimed = get_claimed(rules, window, by_expired=True)
    plan = list(plan_offers(rules, claimed, line))
    return sum(_offer(rules, entry, units) for entry, units in plan)


def _rules_for(resource_id: int, line: list[WaitlistEntry]) -> Rules | None:
    """None: it cannot be booked at present."""
    first = min(entry.start_time for entry in line).date()
    last = max(entry.start_time for entry in line).date()
    try:
        return get_rules(resource_id, first=first, last=last)
    except ResourceNotFound:
        return None


@transaction_required
def _offer(rules: Rules, entry: WaitlistEntry, units: dict[int, int]) -> bool:
    """Keep the slot for whoever waits for it, unless somebody was faster."""
    hold = draft_hold(
        rules,
        entry.slot,
        hold_id=uuid7(),
        customer_id=entry.customer_id,
        units=entry.units,
        source=HoldSource.WAITLIST,
    )
    if not insert_hold_or_nothing(hold, units, _terms(rules, entry)):
        return False
    entry.hold = hold
    move_entry(entry, WaitlistStatus.OFFERED, actor=BY, hold=hold, offered_at=Now())
    messages.tell_offered(entry, hold)
    return True


def _terms(rules: Rules, entry: WaitlistEntry) -> Terms:
    """At the longest until the slot cannot be booked any more; at night, longer."""
    venue = entry.resource.venue
    ttl = timedelta(seconds=settings.WAITLIST_OFFER_SECONDS)
    morning = quiet_end(rules.zone, venue.quiet_from, venue.quiet_until, rules.now)
    if morning is not None:
        ttl = max(ttl, morning - rules.now)
    cut_off: datetime = entry.start_time - rules.notice
    return Terms(ttl, BY, until=cut_off, may_pass=True)


@transaction_required
def claim_entry_of(hold: BookingHold, *, actor: audit.Actor) -> None:
    """OFFERED -> CLAIMED: the offer, which is locked with its entry, is a booking."""
    entries = WaitlistEntry.objects.select_related("resource__venue")
    for entry in entries.filter(hold=hold):
        end_entry(entry, WaitlistStatus.CLAIMED, actor=actor)


@transaction_required
def end_entry(
    entry: WaitlistEntry, to: WaitlistStatus, *, actor: audit.Actor, reason: str = ""
) -> None:
    """End a locked entry, and tell its customer if its offer just ran out.

    Raises:
        InvalidState: it has ended before.
    """
    was_offered = entry.status == WaitlistStatus.OFFERED
    move_entry(entry, to, actor=actor, ended_at=Now(), end_reason=reason)
    if was_offered:
        messages.withdraw_offer(entry)
        if to == WaitlistStatus.LAPSED:
            messages.tell_lapsed(entry)


@transaction_required
def move_entry(
    entry: WaitlistEntry, to: WaitlistStatus, *, actor: audit.Actor, **values: Any
) -> None:
    """Move a locked entry, with history and event.

    Raises:
        InvalidState: there is no such move, or it is not in that state any more.
    """
    require_move(WAITLIST_MOVES, entry.status, to)
    unchanged = WaitlistEntry.objects.filter(pk=entry.pk, status=entry.status)
    if not unchanged.update(status=to, **values):
        raise InvalidState("It was moved since it was looked at.")
    record_move(entry, f"waitlist.{to.lower()}", (entry.status, to), actor=actor)
    entry.status = to


@transaction_required
def record_move(
    entry: WaitlistEntry, action: str, move: tuple[str, str], *, actor: audit.Actor
) -> None:
    """History and event of a move."""
    audit.record(
        actor=actor,
        action=action,
        subject="waitlistentry",
        ids=[entry.pk],
        move=move,
    )
    outbox.publish(action, subject="waitlistentry", facts={entry.pk: entry.facts()})
