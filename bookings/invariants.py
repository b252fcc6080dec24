"""What must always hold for holds, claims and bookings."""

from bookings.models import Booking
from bookings.states import (
    BOOKING_MOVES,
    ENHANCEMENT_MOVES,
    HOLD_MOVES,
    WAITLIST_MOVES,
)
from recovery.invariants import (
    Invariant,
    only,
    overdue,
    recent,
    register,
    unbroken_history,
)
from recovery.privileges import never_delete
from recovery.rowqueue import fingerprint_of

never_delete(Booking)

# Written so that the partial index of each is used.
_RUNNING = "status IN ('CONFIRMED', 'CHECKED_IN')"
_CANCELLING = "status = 'CANCELLING'"


def _open(column: str) -> tuple[str, str]:
    select = f"SELECT {column} FROM bookings_booking WHERE"
    return f"{select} {_RUNNING}", f"{select} {_CANCELLING}"


recent(
    "booking",
    "SELECT id FROM bookings_booking WHERE id >= {since}",
    *_open("id"),
)
recent(
    "hold",
    "SELECT id FROM bookings_bookinghold WHERE id >= {since}",
    "SELECT id FROM bookings_bookinghold WHERE status = 'ACTIVE'",
    *_open("hold_id"),
    # Claims are only of the present and the future.
    "SELECT hold_id FROM bookings_slotclaim WHERE hold_id IS NOT NULL",
)
# What is owed for what is still to come is looked at, however long ago it was sold.
recent(
    "payable",
    "SELECT payable_id FROM bookings_bookinghold WHERE status = 'ACTIVE'",
    *_open("payable_id"),
)
recent(
    "waitlist",
    "SELECT id FROM bookings_waitlistentry WHERE id >= {since}",
    "SELECT id FROM bookings_waitlistentry WHERE status IN ('WAITING', 'OFFERED')",
)
recent(
    "feedback",
    "SELECT id FROM bookings_sessionfeedback WHERE id >= {since}",
    "SELECT id FROM bookings_sessionfeedback WHERE next_run_at IS NOT NULL",
)

# Ids in lists, which no foreign key watches.
_TAUGHT = f"""
    SELECT f.id FROM bookings_sessionfeedback f
    JOIN bookings_booking b ON b.id = f.booking_id
    JOIN bookings_resource r ON r.id = b.resource_id
    WHERE {only("f.id", "feedback")} AND (
        EXISTS (SELECT FROM unnest(f.skills || f.accepted_skills) AS named
                WHERE NOT EXISTS (SELECT FROM bookings_skill s
                    WHERE s.id = named AND s.venue_id = r.venue_id))
        OR EXISTS (SELECT FROM unnest(f.drills || f.accepted_drills) AS named
                WHERE NOT EXISTS (SELECT FROM bookings_drill d
                    WHERE d.id = named AND d.venue_id = r.venue_id)))
"""

# Computed from holds and bookings, not from claims: it must not believe the guard.
_OVERLAPS = """
    WITH sold AS (
        SELECT h.* FROM bookings_bookinghold h
        WHERE h.status = 'ACTIVE' AND h.end_time > (SELECT slotbase_now())
        UNION ALL
        SELECT h.* FROM bookings_booking b
        JOIN bookings_bookinghold h ON h.id = b.hold_id
        WHERE b.status IN ('CONFIRMED', 'CHECKED_IN') AND h.status = 'CONFIRMED'
          AND h.end_time > (SELECT slotbase_now())),
    occupied AS (
        SELECT h.id, h.payable_id, h.resource_id, unit, tstzrange(
            h.start_time - h.buffer_before_minutes * interval '1 minute',
            h.end_time + h.buffer_after_minutes * interval '1 minute') AS during
        FROM sold h, unnest(h.units) AS unit)
    SELECT x.id, y.id, x.payable_id, y.payable_id FROM occupied x JOIN occupied y
        ON x.resource_id = y.resource_id AND x.unit = y.unit AND x.id < y.id
       AND x.during && y.during
"""

_CLAIMS = f"""
    SELECT h.id, b.id, h.payable_id FROM bookings_bookinghold h
    LEFT JOIN bookings_booking b ON b.hold_id = h.id
    LEFT JOIN LATERAL (
        SELECT count(*) AS n, count(DISTINCT u.number) FILTER (
            WHERE u.number = ANY(h.units) AND u.resource_id = h.resource_id
              AND c.during = tstzrange(
                h.start_time - h.buffer_before_minutes * interval '1 minute',
                h.end_time + h.buffer_after_minutes * interval '1 minute')) AS fit
        FROM bookings_slotclaim c JOIN bookings_resourceunit u ON u.id = c.unit_id
        WHERE c.hold_id = h.id) claims ON true
    WHERE {only("h.id", "hold")} AND CASE
        WHEN h.status = 'ACTIVE' OR b.status IN ('CONFIRMED', 'CHECKED_IN')
            AND b.end_time > slotbase_now()
        THEN claims.n <> cardinality(h.units) OR claims.fit <> claims.n
        WHEN h.status = 'CONFIRMED' AND b.status IN ('CONFIRMED', 'CHECKED_IN')
        THEN false
        ELSE claims.n <> 0 END
"""

_OFFERS = f"""
    SELECT 'entry ' || w.id FROM bookings_waitlistentry w
    LEFT JOIN bookings_bookinghold h ON h.id = w.hold_id
    WHERE {only("w.id", "waitlist")} AND (CASE w.status
        WHEN 'WAITING' THEN w.hold_id IS NOT NULL
        WHEN 'OFFERED' THEN h.status IS DISTINCT FROM 'ACTIVE'
        WHEN 'CLAIMED' THEN h.status IS DISTINCT FROM 'CONFIRMED'
        ELSE h.status IN ('ACTIVE', 'CONFIRMED') END
      OR (h.customer_id, h.source) <> (w.customer_id, 'WAITLIST')
      -- Once it is a booking, staff may move it.
      OR w.status = 'OFFERED' AND (h.resource_id, h.start_time, h.end_time)
         <> (w.resource_id, w.start_time, w.end_time))
    UNION ALL
    SELECT 'hold ' || h.id FROM bookings_bookinghold h
    WHERE h.status = 'ACTIVE' AND h.source = 'WAITLIST'
      AND NOT EXISTS (SELECT FROM bookings_waitlistentry w
        WHERE w.hold_id = h.id AND w.status = 'OFFERED')
"""

# Money that is not owed, and money of a sale that was never made; two minutes are for
# whoever decides about it. What stands in a case is in the hands of staff.
_ORPHANS = f"""
    SELECT p.id FROM payments_payable p
    WHERE {only("p.id", "payable")}
      AND p.paid_at < slotbase_now() - interval '2 minutes'
      AND p.paid_minor - p.refunded_minor - p.refund_reserved_minor - p.disputed_minor
          > CASE WHEN EXISTS (SELECT FROM bookings_booking b WHERE b.payable_id = p.id)
                 THEN p.owed_minor ELSE 0 END
      AND NOT EXISTS (SELECT FROM recovery_case c
        WHERE c.status IN ('OPEN', 'CLAIMED', 'RESOLVED')
          AND c.fingerprint IN ('payment_mismatch:' || p.id, 'late_money:' || p.id))
      AND NOT EXISTS (SELECT FROM payments_offlinepayment o WHERE o.payable_id = p.id)
      AND NOT EXISTS (SELECT FROM payments_dispute d
        JOIN payments_cardpayment c ON c.id = d.card_payment_id
        WHERE c.payable_id = p.id AND d.status = 'OPEN')
      AND NOT EXISTS (SELECT FROM payments_refund r
        WHERE r.payable_id = p.id AND r.status IN ('FAILED', 'CANCELED'))
"""

register(
    Invariant(
        "I1",
        "No two holds or bookings occupy a unit at one time.",
        _OVERLAPS,
        freezes=True,
    ),
    Invariant(
        "I6.hold",
        "The history of a hold is an unbroken legal chain that ends in its state.",
        unbroken_history(
            "bookings_bookinghold",
            "hold",
            HOLD_MOVES,
            scope="hold",
            columns="id payable_id id",
        ),
        freezes=True,
    ),
    Invariant(
        "I6.booking",
        "The history of a booking is an unbroken legal chain that ends in its state.",
        unbroken_history(
            "bookings_booking",
            "booking",
            BOOKING_MOVES,
            scope="booking",
            columns="id hold_id payable_id id",
        ),
        freezes=True,
    ),
    Invariant(
        "I7.claims",
        "Active holds and bookings own just their claims.",
        _CLAIMS,
        freezes=True,
    ),
    Invariant(
        "I6.waitlist",
        "The history of a waitlist entry is an unbroken legal chain that ends in its"
        " state.",
        unbroken_history(
            "bookings_waitlistentry", "waitlistentry", WAITLIST_MOVES, scope="waitlist"
        ),
    ),
    Invariant(
        "I6.feedback",
        "The history of an enhancement is an unbroken legal chain that ends in its"
        " state.",
        unbroken_history(
            "bookings_sessionfeedback",
            "sessionfeedback",
            ENHANCEMENT_MOVES,
            scope="feedback",
        ),
    ),
    Invariant(
        "I7.feedback",
        "Feedback names what is taught at its venue, and no more.",
        _TAUGHT,
    ),
    Invariant(
        "I11.feedback",
        "Notes that are due have been tried within five minutes.",
        # While OpenAI fails, its breaker keeps most of them waiting.
        overdue(
            "bookings_sessionfeedback",
            waits_for=(fingerprint_of("openai"),),
            more="AND NOT EXISTS (SELECT FROM recovery_providerstatus"
            " WHERE provider = 'openai' AND last_failure_at IS NOT NULL"
            " AND (last_success_at IS NULL OR last_failure_at > last_success_at))",
        ),
        is_safety=False,
    ),
    Invariant(
        "I7.offers",
        "An offer is an active hold of whoever waited, and becomes their booking.",
        _OFFERS,
    ),
    Invariant(
        "I11.waitlist",
        "Whoever waits has been looked at within five minutes.",
        "SELECT id FROM bookings_waitlistentry WHERE status = 'WAITING'"
        " AND looked_at < slotbase_now() - interval '5 minutes'",
        is_safety=False,
    ),
    Invariant(
        "I7.confirmed",
        "A confirmed hold has its booking, no other hold has one.",
        "SELECT h.id, b.id, h.payable_id FROM bookings_bookinghold h"
        " LEFT JOIN bookings_booking b ON b.hold_id = h.id"
        f" WHERE {only('h.id', 'hold')}"
        " AND (h.status = 'CONFIRMED') <> (b.id IS NOT NULL)",
        freezes=True,
    ),
    Invariant(
        "I7.in_time",
        "No booking was made after its hold had expired.",
        "SELECT b.id, h.id, b.payable_id FROM bookings_booking b"
        " JOIN bookings_bookinghold h ON h.id = b.hold_id"
        f" WHERE {only('b.id', 'booking')} AND b.created_at > h.expires_at",
        freezes=True,
    ),
    Invariant(
        "I4",
        "A booking that is being cancelled has a workflow that sees to it.",
        "SELECT b.id FROM bookings_booking b WHERE b.status = 'CANCELLING'"
        " AND NOT EXISTS (SELECT FROM recovery_workflowrun r"
        " WHERE r.subject_type = 'booking' AND r.subject_id = b.id::text"
        " AND r.name = 'cancellation' AND (r.next_run_at IS NOT NULL OR EXISTS ("
        "  SELECT FROM recovery_case c WHERE c.fingerprint = 'workflow:' || r.id)))",
    ),
    # Money that is nobody's goes back by writing: it is not frozen.
    Invariant("I8", "All money is for a booking, or goes back.", _ORPHANS),
    Invariant(
        "I17",
        "A booking has the time that was held.",
        "SELECT b.id, h.id, b.payable_id FROM bookings_booking b"
        " JOIN bookings_bookinghold h ON h.id = b.hold_id"
        f" WHERE {only('b.id', 'booking')}"
        " AND (b.start_time, b.end_time, b.units, b.resource_id)"
        " <> (h.start_time, h.end_time, h.units, h.resource_id)",
        freezes=True,
    ),
)
