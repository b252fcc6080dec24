"""Holds: make one, release it, expire those that have run out."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from bookings.errors import CoolDown, HoldLimit, SlotUnavailable
from bookings.hours import Interval
from bookings.locks import (
    claim_due_holds,
    lock_hold,
    lock_line_behind,
)
from bookings.models import BookingHold, SlotClaim
from bookings.queries import get_hold
from bookings.rules import ActiveHold, Rules, Wanted, check_slot, read_rules
from bookings.services import messages
from bookings.services.claims import expire_locked_holds, win_slot
from bookings.services.line import pass_on
from bookings.services.sales import draft_hold
from bookings.states import HOLD_MOVES, HoldStatus, WaitlistStatus
from payments.models import CardPayment
from payments.services.payables import end_payables
from payments.states import UNDECIDED_PAYMENTS
from recovery import audit, idempotency, outbox
from slotbase.accounts.locks import lock_active_customer
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move


@dataclass(frozen=True)
class Held:
    """A hold, its venue's time zone, and whether it is new or was the customer's."""

    hold: BookingHold
    time_zone: str
    is_new: bool


def create_hold(
    *, customer_id: UUID, wanted: Wanted, once: idempotency.Once | None = None
) -> Held:
    """Keep a slot for a customer, or find that they hold just this slot already.

    Raises:
        SlotUnavailable: somebody else has it, or waited for it.
        HoldLimit: the customer holds as many slots as allowed.
        CoolDown: they let as many go to waste lately.
        ResourceClosed, ValidationFailed, NonexistentTime, AmbiguousTime: it cannot be
            sold like that.
        ResourceNotFound: there is no such resource.
    """
    held = _hold(customer_id, wanted, once)
    if held is None:
        raise SlotUnavailable
    return held


@retry_on_conflict
def _hold(
    customer_id: UUID, wanted: Wanted, once: idempotency.Once | None
) -> Held | None:
    """None: it went to somebody who waits, and that commits."""
    hold_id = uuid7()
    idempotency.begin(once, status=201, object_id=hold_id)
    lock_active_customer(customer_id)
    rules = read_rules(wanted, customer_id=customer_id)
    slot = check_slot(rules, wanted)
    if identical := find_identical(rules.active_holds, wanted, slot):
        idempotency.correct(once, status=200, object_id=identical)
        hold = get_hold(identical, customer_id=customer_id)
        return Held(hold, rules.zone.key, is_new=False)
    if sum(each.counts for each in rules.active_holds) >= settings.MAX_ACTIVE_HOLDS:
        raise HoldLimit(settings.MAX_ACTIVE_HOLDS)
    require_no_cool_down(rules)
    hold = draft_hold(
        rules, slot, hold_id=hold_id, customer_id=customer_id, units=wanted.units
    )
    actor = audit.Actor.customer(customer_id)
    if win_slot(rules, hold, units=wanted.units, actor=actor):
        return Held(hold, rules.zone.key, is_new=True)
    return _find_own_offer(wanted, customer_id, once)


@transaction_required
def _find_own_offer(
    wanted: Wanted, customer_id: UUID, once: idempotency.Once | None
) -> Held | None:
    """The hold after all, if the customer was the first of those who wait."""
    rules = read_rules(wanted, customer_id=customer_id)
    slot = check_slot(rules, wanted)
    offer = find_identical(rules.active_holds, wanted, slot)
    if offer is None:
        idempotency.withdraw(once)
        return None
    idempotency.correct(once, status=201, object_id=offer)
    hold = get_hold(offer, customer_id=customer_id)
    return Held(hold, rules.zone.key, is_new=True)


def require_no_cool_down(rules: Rules) -> None:
    """Refuse a customer who let so many slots go to waste that it looks like hoarding.

    Counted from the rows, so it holds without Redis, too.

    Raises:
        CoolDown: says when they may come again.
    """
    if wait := rules.cool_down():
        raise CoolDown(wait)


def find_identical(
    active: list[ActiveHold], wanted: Wanted, slot: Interval
) -> UUID | None:
    """The customer's own hold of just this slot, if there is one."""
    for hold in active:
        if (hold.resource_id, hold.start_time, hold.end_time, hold.unit_count) == (
            wanted.resource_id,
            slot.start,
            slot.end,
            wanted.units,
        ):
            return hold.id
    return None


@retry_on_conflict
def release_hold(*, hold_id: UUID, customer_id: UUID) -> None:
    """Give a slot back. Again, or after it expired: nothing happens.

    Raises:
        HoldNotFound: it is not a hold of this customer.
        InvalidState: it is a booking already; cancel that.
    """
    hold = lock_hold(hold_id, customer_id=customer_id)
    release_locked_hold(hold, actor=audit.Actor.customer(customer_id))


@transaction_required
def release_locked_hold(
    hold: BookingHold, *, actor: audit.Actor, reason: str = ""
) -> bool:
    """Give the slot of a locked hold back, to who waits for it first of all.

    False: it was over before. `reason`: why staff ended the offer that it was.

    Raises:
        InvalidState: it is a booking already.
    """
    is_over = hold.status in {HoldStatus.RELEASED, HoldStatus.EXPIRED}
    has_run_out = hold.status == HoldStatus.ACTIVE and hold.expires_at <= read_clock()
    if is_over or has_run_out:
        return False
    require_move(HOLD_MOVES, hold.status, HoldStatus.RELEASED)
    line = lock_line_behind([hold.pk])
    SlotClaim.objects.filter(hold=hold).delete()
    if hold.payable_id is not None:
        end_payables([hold.payable_id], actor=actor)
    _record_release(hold, actor)
    to = WaitlistStatus.LEFT
    pass_on(line, ended=[hold.pk], to=to, actor=actor, reason=reason)
    return True


@transaction_required
def _record_release(hold: BookingHold, actor: audit.Actor) -> None:
    BookingHold.objects.filter(pk=hold.pk).update(
        status=HoldStatus.RELEASED, released_at=Now()
    )
    messages.withdraw_warning(hold)
    audit.record(
        actor=actor,
        action="hold.released",
        subject="hold",
        ids=[hold.pk],
        move=(HoldStatus.ACTIVE, HoldStatus.RELEASED),
    )
    outbox.publish(
        "booking.hold.released", subject="hold", facts={hold.pk: hold.facts()}
    )


@retry_on_conflict
def expire_due_holds(*, limit: int) -> int:
    """Tidy up holds that have run out, the oldest first; returns how many.

    Their slots are free already: whoever wants one retires its hold. What somebody
    waits for is offered to them. Sweeps may run
    side by side; each takes what the others leave.
    """
    due = claim_due_holds(limit)
    if due:
        expire_locked_holds(due, part="sweep")
    return len(due)


@retry_on_conflict
def purge_old_holds(*, limit: int) -> int:
    """Delete what came to nothing HOLD_RETENTION_DAYS ago; its audit stays.

    What money came in for is kept, and what it may still come in for.
    """
    age = timedelta(days=settings.HOLD_RETENTION_DAYS)
    undecided = CardPayment.objects.filter(
        payable=OuterRef("payable"), status__in=UNDECIDED_PAYMENTS
    )
    old = BookingHold.objects.filter(
        status__in=[HoldStatus.EXPIRED, HoldStatus.RELEASED],
        released_at__lte=Now() - age,
        payable__paid_at=None,
    ).exclude(Exists(undecided))
    ids = list(old.order_by("released_at").values_list("pk", flat=True)[:limit])
    return BookingHold.objects.filter(pk__in=ids).delete()[0]
