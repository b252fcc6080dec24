"""Holds: make one, release it, expire those that have run out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from bookings.errors import HoldLimit, ResourceClosed
from bookings.hours import Interval, open_until, opening_at, to_instant
from bookings.locks import claim_due_holds, lock_customer, lock_hold
from bookings.models import BookingHold, SlotClaim
from bookings.queries import get_hold
from bookings.rules import ActiveHold, Rules, get_rules, in_minutes
from bookings.services.claims import expire_locked_holds, win_slot
from bookings.states import HOLD_MOVES, HoldStatus
from payments.models import CardPayment
from payments.services.payables import end_payables
from payments.states import UNDECIDED_PAYMENTS
from recovery import audit, idempotency, outbox
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import ValidationFailed
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move


@dataclass(frozen=True)
class Wanted:
    """What a customer asks for. Times without an offset are the venue's local time."""

    resource_id: int
    start_time: datetime
    end_time: datetime
    units: int = 1


@dataclass(frozen=True)
class Held:
    """A hold, its venue's time zone, and whether it is new or was the customer's."""

    hold: BookingHold
    time_zone: str
    is_new: bool


@retry_on_conflict
def create_hold(
    *, customer_id: UUID, wanted: Wanted, once: idempotency.Once | None = None
) -> Held:
    """Keep a slot for a customer, or find that they hold just this slot already.

    Raises:
        SlotUnavailable: somebody else has it.
        HoldLimit: the customer holds as many slots as allowed.
        ResourceClosed, ValidationFailed, NonexistentTime, AmbiguousTime: it cannot be
            sold like that.
        ResourceNotFound: there is no such resource.
    """
    hold_id = uuid7()
    idempotency.begin(once, status=201, object_id=hold_id)
    lock_customer(customer_id)
    rules = get_rules(
        wanted.resource_id,
        first=wanted.start_time.date(),
        last=wanted.end_time.date(),
        customer_id=customer_id,
    )
    slot = check_slot(rules, wanted)
    if identical := find_identical(rules.active_holds, wanted, slot):
        idempotency.correct(once, status=200, object_id=identical)
        hold = get_hold(identical, customer_id=customer_id)
        return Held(hold, rules.zone.key, is_new=False)
    if len(rules.active_holds) >= settings.MAX_ACTIVE_HOLDS:
        raise HoldLimit(settings.MAX_ACTIVE_HOLDS)
    hold = _offer(rules, hold_id, customer_id, slot, wanted.units)
    win_slot(rules, hold, units=wanted.units, actor=audit.Actor.customer(customer_id))
    return Held(hold, rules.zone.key, is_new=True)


def check_slot(rules: Rules, wanted: Wanted) -> Interval:
    """The wanted time as instants, if the rules of the resource allow to sell it.

    Raises:
        ValidationFailed: past, too late, too far, too short, off the grid, not open.
        ResourceClosed: inside a closure.
        NonexistentTime, AmbiguousTime: a local time that clocks skip or repeat.
    """
    slot = Interval(
        to_instant(wanted.start_time, rules.zone, field="start_time"),
        to_instant(wanted.end_time, rules.zone, field="end_time"),
    )
    _check_length(rules, slot)
    _check_notice(rules, slot)
    _check_hours(rules, slot)
    if not 1 <= wanted.units <= rules.capacity:
        raise ValidationFailed(units=f"Between 1 and {rules.capacity} can be booked.")
    return slot


def _check_length(rules: Rules, slot: Interval) -> None:
    length = slot.end - slot.start
    if length <= timedelta():
        raise ValidationFailed(end_time="Must be after start_time.")
    if problem := rules.length_problem(length):
        raise ValidationFailed(end_time=problem)


def _check_notice(rules: Rules, slot: Interval) -> None:
    if slot.start <= rules.now:
        raise ValidationFailed(start_time="Is in the past.")
    if slot.start < rules.now + rules.notice:
        raise ValidationFailed(
            start_time=f"Book {in_minutes(rules.notice)} minutes ahead at least."
        )
    if slot.start >= rules.now + rules.horizon:
        raise ValidationFailed(
            start_time=f"Book {rules.horizon.days} days ahead at most."
        )


def _check_hours(rules: Rules, slot: Interval) -> None:
    openings = rules.openings(slot.start, slot.end)
    opening = opening_at(openings, slot.start)
    if opening is None or open_until(openings, slot.start) < slot.end:
        raise ValidationFailed(start_time="Is outside the opening hours.")
    if (slot.start - opening.start) % rules.step:
        raise ValidationFailed(
            start_time=f"Slots start every {in_minutes(rules.step)} minutes "
            f"from {opening.start:%Y-%m-%dT%H:%MZ}."
        )
    if any(slot.overlaps(closure) for closure in rules.closures()):
        raise ResourceClosed


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


def _offer(
    rules: Rules, hold_id: UUID, customer_id: UUID, slot: Interval, units: int
) -> BookingHold:
    """The hold with its terms, not yet saved and without units."""
    return BookingHold(
        id=hold_id,
        resource_id=rules.resource_id,
        customer_id=customer_id,
        start_time=slot.start,
        end_time=slot.end,
        buffer_before_minutes=in_minutes(rules.buffer_before),
        buffer_after_minutes=in_minutes(rules.buffer_after),
        price_minor=rules.price(slot.end - slot.start, units),
        currency=rules.currency,
    )


@retry_on_conflict
def release_hold(*, hold_id: UUID, customer_id: UUID) -> None:
    """Give a slot back. Again, or after it expired: nothing happens.

    Raises:
        HoldNotFound: it is not a hold of this customer.
        InvalidState: it is a booking already; cancel that.
    """
    hold = lock_hold(hold_id, customer_id=customer_id)
    is_over = hold.status in {HoldStatus.RELEASED, HoldStatus.EXPIRED}
    has_run_out = hold.status == HoldStatus.ACTIVE and hold.expires_at <= read_clock()
    if is_over or has_run_out:
        return
    require_move(HOLD_MOVES, hold.status, HoldStatus.RELEASED)
    actor = audit.Actor.customer(customer_id)
    SlotClaim.objects.filter(hold=hold).delete()
    BookingHold.objects.filter(pk=hold.pk).update(
        status=HoldStatus.RELEASED, released_at=Now()
    )
    if hold.payable_id is not None:
        end_payables([hold.payable_id], actor=actor)
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

    Their slots are free already: whoever wants one retires its hold. Sweeps may run
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
