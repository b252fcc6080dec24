"""Waiting for a slot: join, leave, decline; and the sweep that finds what is free."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings

from bookings.errors import NothingOffered, ResourceNotFound, WaitlistLimit
from bookings.hours import Interval
from bookings.locks import (
    claim_unseen_entries,
    lock_entry_with_hold,
    lock_waiting_entry,
)
from bookings.models import WaitlistEntry
from bookings.queries import HAS_RUN_OUT, list_free_or_over
from bookings.rules import MINUTE, Wanted, check_slot, get_rules, read_rules
from bookings.services.claims import make_room, retire_expired_holds
from bookings.services.holds import release_locked_hold, require_no_cool_down
from bookings.services.line import end_entry, record_move
from bookings.states import OPEN_ENTRIES, WaitlistStatus
from recovery import audit, idempotency
from slotbase.accounts.locks import lock_active_customer
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState
from slotbase.lib.ids import uuid7

#: What becomes free is passed on at once. This is for the rest: a new unit, a closure
#: that was taken back, whoever joined at the very moment of a release.
LOOK_EVERY = timedelta(seconds=10)


@retry_on_conflict
def join_waitlist(
    *, customer_id: UUID, wanted: Wanted, once: idempotency.Once | None = None
) -> tuple[UUID, bool]:
    """Wait for a slot, at the end of the line; if it is free, it is offered at once.

    Returns the entry's id, and whether it is new or the customer waited already.

    Raises:
        WaitlistLimit: the customer waits for as many slots as allowed.
        CoolDown: they let as many go to waste lately.
        ResourceClosed, ValidationFailed, NonexistentTime, AmbiguousTime: it cannot be
            sold like that.
        ResourceNotFound: there is no such resource.
    """
    entry_id = uuid7()
    idempotency.begin(once, status=201, object_id=entry_id)
    lock_active_customer(customer_id)
    rules = read_rules(wanted, customer_id=customer_id)
    slot = check_slot(rules, wanted)
    if existing := _find_open(customer_id, wanted.resource_id, slot):
        idempotency.correct(once, status=200, object_id=existing)
        return existing, False
    _require_below_limit(customer_id)
    require_no_cool_down(rules)
    _insert(entry_id, customer_id, wanted, slot)
    make_room(rules, rules.occupied(slot))
    return entry_id, True


@transaction_required
def _find_open(customer_id: UUID, resource_id: int, slot: Interval) -> UUID | None:
    """The customer's own entry; an offer of it that has run out is ended first."""
    mine = WaitlistEntry.objects.filter(
        customer=customer_id,
        resource=resource_id,
        start_time=slot.start,
        end_time=slot.end,
        status__in=OPEN_ENTRIES,
    )
    over = mine.filter(HAS_RUN_OUT).values_list("hold__pk", flat=True)
    if hold_ids := [*over]:
        retire_expired_holds(hold_ids, part="waitlist")
    return mine.values_list("pk", flat=True).first()


@transaction_required
def _require_below_limit(customer_id: UUID) -> None:
    mine = WaitlistEntry.objects.filter(customer=customer_id, status__in=OPEN_ENTRIES)
    if mine.exclude(HAS_RUN_OUT).count() >= settings.MAX_WAITLIST_ENTRIES:
        raise WaitlistLimit(settings.MAX_WAITLIST_ENTRIES)


@transaction_required
def _insert(entry_id: UUID, customer_id: UUID, wanted: Wanted, slot: Interval) -> None:
    entry = WaitlistEntry.objects.create(
        id=entry_id,
        customer_id=customer_id,
        resource_id=wanted.resource_id,
        start_time=slot.start,
        end_time=slot.end,
        units=wanted.units,
    )
    actor = audit.Actor.customer(customer_id)
    move = ("", WaitlistStatus.WAITING)
    record_move(entry, "waitlist.joined", move, actor=actor)


@retry_on_conflict
def leave_waitlist(*, entry_id: UUID, customer_id: UUID) -> None:
    """Wait no more; an offer goes to the next one. Again, or later: nothing happens.

    Raises:
        WaitlistEntryNotFound: it is not an entry of this customer.
        InvalidState: it is a booking already; cancel that.
    """
    entry = lock_entry_with_hold(entry_id, customer_id=customer_id)
    if entry.status == WaitlistStatus.CLAIMED:
        raise InvalidState("It is a booking already.")
    _leave(entry, actor=audit.Actor.customer(customer_id))


@retry_on_conflict
def decline_offer(
    *, entry_id: UUID, customer_id: UUID, once: idempotency.Once | None = None
) -> None:
    """Let an offer go to the next one, and wait no more.

    Raises:
        WaitlistEntryNotFound: it is not an entry of this customer.
        NothingOffered: there is no offer, or it has run out.
    """
    idempotency.begin(once, status=200, object_id=entry_id)
    entry = lock_entry_with_hold(entry_id, customer_id=customer_id)
    is_offered = entry.status == WaitlistStatus.OFFERED
    if not is_offered or not _leave(entry, actor=audit.Actor.customer(customer_id)):
        raise NothingOffered("There is no offer to decline.")


@retry_on_conflict
def remove_entry(*, entry_id: UUID, staff_id: UUID, reason: str) -> None:
    """Take somebody off the list, for staff; an offer goes to the next one.

    Raises:
        WaitlistEntryNotFound: there is none.
        InvalidState: it has ended.
    """
    entry = lock_entry_with_hold(entry_id)
    if not _leave(entry, actor=audit.Actor.staff(staff_id), reason=reason):
        raise InvalidState("It has ended already.")


@transaction_required
def _leave(entry: WaitlistEntry, *, actor: audit.Actor, reason: str = "") -> bool:
    """False: a locked entry has ended before, or its offer has run out."""
    if entry.status == WaitlistStatus.WAITING:
        end_entry(entry, WaitlistStatus.LEFT, actor=actor, reason=reason)
        return True
    if entry.status != WaitlistStatus.OFFERED or entry.hold is None:
        return False
    return release_locked_hold(entry.hold, actor=actor, reason=reason)


def offer_free_slots(*, limit: int) -> int:
    """Look at some of those who wait, the longest not looked at; returns how many.

    What is free is offered, in transactions of their own; who waits for a slot that
    cannot be booked any more has waited in vain.
    """
    ids = _claim_unseen(limit)
    for entry_id in list_free_or_over(ids):
        if not _end_if_over(entry_id):
            _serve(entry_id)
    return len(ids)


@retry_on_conflict
def _claim_unseen(limit: int) -> list[UUID]:
    """Noted before anything is done: one that fails keeps nobody from their turn."""
    return claim_unseen_entries(limit, unseen_for=LOOK_EVERY)


@retry_on_conflict
def _end_if_over(entry_id: UUID) -> bool:
    entry = lock_waiting_entry(entry_id)
    if entry is None:
        return True
    if entry.start_time - MINUTE * entry.resource.notice_minutes > read_clock():
        return False
    end_entry(entry, WaitlistStatus.LAPSED, actor=audit.Actor.system("sweep"))
    return True


@retry_on_conflict
def _serve(entry_id: UUID) -> None:
    """Serve the line for this entry's time: others may be in front of it."""
    entry = WaitlistEntry.objects.get(pk=entry_id)
    first, last = entry.start_time.date(), entry.end_time.date()
    try:
        rules = get_rules(entry.resource_id, first=first, last=last)
    except ResourceNotFound:
        return  # it cannot be booked at present
    make_room(rules, rules.occupied(entry.slot))


@retry_on_conflict
def purge_ended_entries(*, limit: int) -> int:
    """Delete entries that ended HOLD_RETENTION_DAYS ago; their audit stays."""
    age = timedelta(days=settings.HOLD_RETENTION_DAYS)
    old = WaitlistEntry.objects.filter(ended_at__lte=Now() - age)
    ids = list(old.order_by("ended_at").values_list("pk", flat=True)[:limit])
    return WaitlistEntry.objects.filter(pk__in=ids).delete()[0]
