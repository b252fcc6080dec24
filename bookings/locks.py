"""Every lock and every claim of this app.

Lock order of the whole product: IdempotencyRecord, User, Resource, DateException, Hold,
Booking, WaitlistEntry, Payable, CardPayment, OfflinePayment, Refund, Dispute, receipt
counter, Notification, PushDevice, other recovery rows, Approval; many by primary key,
mails before pushes. A claim is never locked: the row lock of its hold guards it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value
from psycopg.types.json import Jsonb

from bookings.errors import BookingNotFound, HoldNotFound, WaitlistEntryNotFound
from bookings.hours import Interval
from bookings.models import Booking, BookingHold, Resource, SlotClaim, WaitlistEntry
from bookings.models.feedback import SessionFeedback
from bookings.states import (
    OPEN_ENTRIES,
    BookingStatus,
    HoldSource,
    HoldStatus,
    WaitlistStatus,
)
from recovery import audit, outbox, violations
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required
from slotbase.lib.ids import uuid7

RUNNING = (BookingStatus.CONFIRMED, BookingStatus.CHECKED_IN)


@transaction_required
def lock_resource(resource_id: int) -> None:
    """Take turns over the units of a resource that has several."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM bookings_resource WHERE id = %s FOR NO KEY UPDATE",
            [resource_id],
        )


@transaction_required
def lock_resources(venue_id: int, resource_id: int | None) -> list[int]:
    """Take turns over the units of a resource, or of all of a venue; their ids."""
    meant = Resource.objects.filter(venue=venue_id)
    if resource_id is not None:
        meant = meant.filter(pk=resource_id)
    locked = meant.order_by("pk").select_for_update(no_key=True, of=("self",))
    return [resource.pk for resource in locked]


@transaction_required
def lock_hold(hold_id: UUID, *, customer_id: UUID) -> BookingHold:
    """A hold of this customer, locked; an offer together with its waitlist entry.

    Raises:
        HoldNotFound: there is none, or it is somebody else's.
        Frozen: it breaks a rule, and a person looks at it first.
    """
    locked = BookingHold.objects.select_for_update(of=("self",))
    mine = locked.filter(pk=hold_id, customer=customer_id)
    hold = mine.select_related("resource__venue").first()
    if hold is None:
        raise HoldNotFound
    violations.refuse_if_broken(hold.pk, hold.payable_id)
    if hold.source == HoldSource.WAITLIST:
        _lock_entries(WaitlistEntry.objects.filter(hold=hold))
    return hold


@transaction_required
def lock_booking_with_hold(
    booking_id: UUID, *, customer_id: UUID | None = None
) -> Booking:
    """A booking (of this customer), locked after its hold with its claims.

    Raises:
        BookingNotFound: there is none, or it is somebody else's.
        Frozen: it breaks a rule, and a person looks at it first.
    """
    mine = Booking.objects.filter(pk=booking_id)
    if customer_id is not None:
        mine = mine.filter(customer=customer_id)
    booking = _lock_after_holds(mine).first()
    if booking is None:
        raise BookingNotFound
    violations.refuse_if_broken(booking.pk, booking.hold_id, booking.payable_id)
    return booking


@transaction_required
def lock_running_bookings(bookings: QuerySet[Booking]) -> list[Booking]:
    """Those of these that are not over, as they are now, locked after their holds."""
    return list(_lock_after_holds(bookings.filter(status__in=RUNNING)))


@transaction_required
def _lock_after_holds(bookings: QuerySet[Booking]) -> QuerySet[Booking]:
    hold_ids = list(bookings.values_list("hold", flat=True))
    holds = BookingHold.objects.select_for_update().filter(pk__in=hold_ids)
    list(holds.order_by("pk").values("pk"))
    return bookings.select_for_update(of=("self",)).select_related("resource__venue")


@transaction_required
def lock_latest_hold_of(payable_id: UUID) -> BookingHold | None:
    """The newest hold for which this money is meant, locked.

    Raises:
        Frozen: it breaks a rule, and a person looks at it first.
    """
    holds = BookingHold.objects.select_for_update(of=("self",)).filter(
        payable=payable_id
    )
    hold = holds.select_related("resource__venue").order_by("-id").first()
    if hold is not None:
        violations.refuse_if_broken(hold.pk, payable_id)
    return hold


@transaction_required
def lock_holds_on(resource_ids: list[int], time: Interval) -> list[UUID]:
    """The holds that occupy some of this time, confirmed or not, locked."""
    claims = SlotClaim.objects.filter(
        unit__resource__in=resource_ids,
        hold__isnull=False,
        during__overlap=DateTimeTZRange(time.start, time.end),
    )
    holds = BookingHold.objects.filter(pk__in=[*claims.values_list("hold", flat=True)])
    locked = holds.order_by("pk").select_for_update()
    return list(locked.values_list("pk", flat=True))


@transaction_required
def lock_expired_holds(hold_ids: list[UUID]) -> list[UUID]:
    """Which of these holds have really run out, looked at again under their locks."""
    locked = BookingHold.objects.select_for_update().filter(pk__in=hold_ids)
    active = [
        hold.pk
        for hold in locked.order_by("pk").only("pk", "status")
        if hold.status == HoldStatus.ACTIVE
    ]
    # The clock is read by a new statement, after the locks are held. What breaks a rule
    # stays as it is, and keeps its time.
    return list(
        BookingHold.objects.filter(pk__in=active, expires_at__lte=Now())
        .exclude(pk__in=violations.broken_ids() if active else ())
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@transaction_required
def claim_due_holds(limit: int) -> list[UUID]:
    """Lock expired holds that nobody else is at nor has to look at, oldest first."""
    due = BookingHold.objects.filter(status=HoldStatus.ACTIVE, expires_at__lte=Now())
    if broken := violations.broken_ids():
        due = due.exclude(pk__in=broken)
    return list(
        due.order_by("expires_at")
        .select_for_update(skip_locked=True)
        .values_list("pk", flat=True)[:limit]
    )


@transaction_required
def lock_unattended(holds: QuerySet[BookingHold], limit: int) -> list[BookingHold]:
    """Lock those of these holds that nobody else is at, the first to end first."""
    free = holds.order_by("expires_at").select_for_update(
        of=("self",), skip_locked=True
    )
    return list(free[:limit])


@transaction_required
def claim_ended_bookings(limit: int) -> list[Booking]:
    """Lock bookings that are over and that nobody else is at, each after its hold.

    Over with the buffer behind them, since their claims go with it. What breaks a rule
    stays as it is.
    """
    buffer = F("hold__buffer_after_minutes") * Value(timedelta(minutes=1))
    ended = Booking.objects.filter(
        status__in=RUNNING,
        end_time__lte=Now(),
        end_time__lt=ExpressionWrapper(Now() - buffer, DateTimeField()),
    )
    if broken := violations.broken_ids():
        ended = ended.exclude(pk__in=broken)
    hold_ids = ended.order_by("end_time").values_list("hold", flat=True)[:limit]
    holds = BookingHold.objects.filter(pk__in=[*hold_ids]).order_by("pk")
    held = holds.select_for_update(skip_locked=True).values_list("pk", flat=True)
    bookings = ended.filter(hold__in=[*held]).select_related("resource").order_by("pk")
    return list(bookings.select_for_update(skip_locked=True, of=("self",)))


# --- The line of those who wait ----------------------------------------------------

# What holds occupy, and the resource's buffers around what is waited for. Two parts,
# since each has an index of its own.
_LINE_BEHIND = f"""
SELECT w.id FROM bookings_waitlistentry w
WHERE w.hold_id = ANY(%(ids)s) AND w.status = '{WaitlistStatus.OFFERED}'
UNION
SELECT w.id FROM bookings_bookinghold h
JOIN bookings_resource r ON r.id = h.resource_id
JOIN bookings_waitlistentry w
    ON w.resource_id = r.id AND w.status = '{WaitlistStatus.WAITING}'
   AND w.start_time < h.end_time
       + (h.buffer_after_minutes + r.buffer_before_minutes) * interval '1 minute'
   AND w.end_time > h.start_time
       - (h.buffer_before_minutes + r.buffer_after_minutes) * interval '1 minute'
WHERE h.id = ANY(%(ids)s)
"""  # noqa: S608 - only our own state names


@transaction_required
def lock_line_behind(hold_ids: Sequence[UUID]) -> list[WaitlistEntry]:
    """Who waits for time of these locked holds, and whose offers they are; locked.

    Who hands time on locks all who may want it: two who do so at once take turns.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LINE_BEHIND, {"ids": [*hold_ids]})
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return []
    found = WaitlistEntry.objects.filter(pk__in=ids, status__in=OPEN_ENTRIES)
    return _lock_entries(found)


def waiting_in(resource_id: int, reach: Interval) -> QuerySet[WaitlistEntry]:
    """Who waits for a slot that collides with this time (`Rules.reach`)."""
    return WaitlistEntry.objects.filter(
        resource=resource_id,
        status=WaitlistStatus.WAITING,
        start_time__lt=reach.end,
        end_time__gt=reach.start,
    )


@transaction_required
def lock_line(resource_id: int, reach: Interval) -> list[WaitlistEntry]:
    """Those of `waiting_in`, locked."""
    return _lock_entries(waiting_in(resource_id, reach))


@transaction_required
def lock_again(line: Sequence[WaitlistEntry]) -> list[WaitlistEntry]:
    """A locked line as it is now: this transaction may have made offers since."""
    return _lock_entries(WaitlistEntry.objects.filter(pk__in=[e.pk for e in line]))


@transaction_required
def _lock_entries(entries: QuerySet[WaitlistEntry]) -> list[WaitlistEntry]:
    locked = entries.select_for_update(of=("self",)).order_by("pk")
    return list(locked.select_related("resource__venue"))


@transaction_required
def lock_entry_with_hold(
    entry_id: UUID, *, customer_id: UUID | None = None
) -> WaitlistEntry:
    """A waitlist entry (of this customer), locked after the hold of its offer.

    Raises:
        WaitlistEntryNotFound: there is none, or it is somebody else's.
        Frozen: its offer breaks a rule, and a person looks at it.
    """
    mine = WaitlistEntry.objects.filter(pk=entry_id)
    if customer_id is not None:
        mine = mine.filter(customer=customer_id)
    while True:
        hold_ids = list(mine.values_list("hold", flat=True))
        with transaction.atomic():
            holds = BookingHold.objects.select_for_update().filter(pk__in=hold_ids)
            list(holds.values("pk"))
            entries = _lock_entries(mine)
            if not entries:
                raise WaitlistEntryNotFound
            if entries[0].hold_id in hold_ids:
                violations.refuse_if_broken(entries[0].hold_id)
                return entries[0]
            # An offer came meanwhile: give the lock back, to take both in their order.
            transaction.set_rollback(True)


@transaction_required
def lock_waiting_entry(entry_id: UUID) -> WaitlistEntry | None:
    """An entry that still waits, locked; None if it does not."""
    waiting = WaitlistEntry.objects.filter(pk=entry_id, status=WaitlistStatus.WAITING)
    return next(iter(_lock_entries(waiting)), None)


@transaction_required
def claim_unseen_entries(limit: int, *, unseen_for: timedelta) -> list[UUID]:
    """Note a look at entries that wait, those longest not looked at first; their ids.

    Entries at which somebody else is are left out.
    """
    unseen = WaitlistEntry.objects.filter(
        status=WaitlistStatus.WAITING,
        looked_at__lte=Now() - unseen_for,
    )
    claimed = unseen.order_by("looked_at").select_for_update(skip_locked=True)
    ids = list(claimed.values_list("pk", flat=True)[:limit])
    WaitlistEntry.objects.filter(pk__in=ids).update(looked_at=Now())
    return ids


# --- Claims ------------------------------------------------------------------------

# Claims, hold, its first audit entry and its event by one statement: all or nothing.
# Where somebody waits for that time there are no claims, unless it is seen to.
# ON CONFLICT waits for whoever is about to take the same time and then answers; a plain
# INSERT would deadlock with them instead. Never use save() here (ADR 0004).
_INSERT_HOLD = f"""
WITH claims AS (
    INSERT INTO bookings_slotclaim (unit_id, during, hold_id)
    SELECT unit_id, tstzrange(%(occupied_from)s, %(occupied_to)s, '[)'), %(id)s
    FROM unnest(%(unit_ids)s::bigint[]) AS unit_id
    WHERE %(may_pass)s OR NOT EXISTS (
        SELECT FROM bookings_waitlistentry w
        WHERE w.resource_id = %(resource_id)s AND w.status = 'WAITING'
          AND w.start_time < %(reach_to)s AND w.end_time > %(reach_from)s)
    ON CONFLICT DO NOTHING RETURNING unit_id),
hold AS (
    INSERT INTO bookings_bookinghold (id, resource_id, customer_id, start_time,
        end_time, buffer_before_minutes, buffer_after_minutes, units, status, source,
        price_minor, currency, payable_id, expires_at)
    SELECT %(id)s, %(resource_id)s, %(customer_id)s, %(start_time)s, %(end_time)s,
        %(buffer_before_minutes)s, %(buffer_after_minutes)s, %(units)s, 'ACTIVE',
        %(hold_source)s, %(price_minor)s, %(currency)s, %(payable_id)s,
        least(slotbase_now() + %(ttl)s, %(until)s::timestamptz)
    WHERE (SELECT count(*) FROM claims) = cardinality(%(unit_ids)s::bigint[])
    RETURNING id, created_at, expires_at),
new_event AS (
    SELECT id, %(event_id)s::uuid AS event_id, %(event_data)s::jsonb AS data FROM hold),
history AS ({audit.entry_sql("hold")}),
{outbox.event_sql("new_event")}
SELECT created_at, expires_at FROM hold
"""  # noqa: S608 - only our own text
_FIELDS = (
    *("id", "resource_id", "customer_id", "start_time", "end_time", "units"),
    *("buffer_before_minutes", "buffer_after_minutes", "price_minor", "currency"),
    "payable_id",
)


@dataclass(frozen=True)
class Terms:
    """Who makes a hold, and how long it lasts: `ttl`, but not beyond `until`.

    `may_pass`: those who wait for this time were asked before, or it is for them.
    """

    ttl: timedelta
    actor: audit.Actor
    until: datetime | None = None
    may_pass: bool = False


@transaction_required
def insert_hold(hold: BookingHold, units: dict[int, int], terms: Terms) -> bool:
    """Make a hold that occupies these units (numbers to ids), all of them or say False.

    The one place where claims of holds are made. After False the caller must not commit
    unless it asked for a single unit: some of several may have been claimed.
    """
    hold.units = [*units]
    occupied = hold.occupied
    before, after = (
        timedelta(minutes=minutes)
        for minutes in (hold.buffer_before_minutes, hold.buffer_after_minutes)
    )
    parameters = {
        **{name: getattr(hold, name) for name in _FIELDS},
        **audit.entry_parameters(
            actor=terms.actor,
            action="hold.created",
            subject="hold",
            move=("", hold.status),
        ),
        **outbox.event_parameters("booking.hold.created", subject="hold"),
        "event_id": uuid7(),
        "event_data": Jsonb(hold.facts()),
        "occupied_from": occupied.start,
        "occupied_to": occupied.end,
        "unit_ids": [*units.values()],
        "hold_source": hold.source,
        "ttl": terms.ttl,
        "until": terms.until,
        "may_pass": terms.may_pass,
        "reach_from": occupied.start - after,
        "reach_to": occupied.end + before,
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_HOLD, parameters)
        row = cursor.fetchone()
    if row is None:
        return False
    hold.created_at, hold.expires_at = row
    outbox.wake_subscribers("booking.hold.created")
    return True


@transaction_required
def insert_hold_or_nothing(
    hold: BookingHold, units: dict[int, int], terms: Terms
) -> bool:
    """`insert_hold` for callers that commit either way."""
    with transaction.atomic():
        if insert_hold(hold, units, terms):
            return True
        transaction.set_rollback(True)
    return False


_INSERT_MOVED = """
WITH claims AS (
    INSERT INTO bookings_slotclaim (unit_id, during, hold_id)
    SELECT unit_id, tstzrange(%(occupied_from)s, %(occupied_to)s, '[)'), %(hold_id)s
    FROM unnest(%(unit_ids)s::bigint[]) AS unit_id
    ON CONFLICT DO NOTHING RETURNING unit_id)
SELECT (SELECT count(*) FROM claims) = cardinality(%(unit_ids)s::bigint[])
"""


@transaction_required
def insert_claims_of_moved(hold: BookingHold, units: dict[int, int]) -> bool:
    """Occupy these units for a hold that has no claims now, all of them or say False.

    After False the caller must not commit: the hold would have lost its time.
    """
    hold.units = [*units]
    occupied = hold.occupied
    parameters = {
        "occupied_from": occupied.start,
        "occupied_to": occupied.end,
        "hold_id": hold.pk,
        "unit_ids": [*units.values()],
    }
    return _has_won_all(_INSERT_MOVED, parameters)


# What nobody occupies of each unit, as PostgreSQL computes it.
_INSERT_CLOSURE = """
WITH gaps AS (
    SELECT u.id AS unit_id, unnest(
        tstzmultirange(tstzrange(%(start)s, %(end)s, '[)')) - coalesce((
            SELECT range_agg(c.during) FROM bookings_slotclaim c
            WHERE int8range(c.unit_id, c.unit_id, '[]') && int8range(u.id, u.id, '[]')
              AND c.during && tstzrange(%(start)s, %(end)s, '[)')),
            '{}'::tstzmultirange)) AS during
    FROM bookings_resourceunit u WHERE u.resource_id = ANY(%(resource_ids)s)),
claims AS (
    INSERT INTO bookings_slotclaim (unit_id, during, closure_id)
    SELECT unit_id, during, %(closure_id)s FROM gaps ORDER BY unit_id, during
    ON CONFLICT DO NOTHING RETURNING unit_id)
SELECT (SELECT count(*) FROM claims) = (SELECT count(*) FROM gaps)
"""


@transaction_required
def insert_claims_of_closure(
    closure_id: int, time: Interval, resource_ids: list[int]
) -> bool:
    """Occupy what is free of this time; False if somebody took some of it meanwhile."""
    parameters = {
        "closure_id": closure_id,
        "start": time.start,
        "end": time.end,
        "resource_ids": resource_ids,
    }
    return _has_won_all(_INSERT_CLOSURE, parameters)


@transaction_required
def _has_won_all(statement: str, parameters: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        (has_all,) = cursor.fetchone()
    return bool(has_all)


@transaction_required
def lock_feedback(**which: UUID | None) -> SessionFeedback | None:
    """What a coach wrote, locked; nothing else is, so no sale waits for it."""
    locked = SessionFeedback.objects.select_for_update(of=("self",))
    return locked.filter(**which).select_related("booking__resource__venue").first()
