"""What must always hold for money."""

from django.conf import settings

from payments.models import (
    CardPayment,
    Dispute,
    OfflinePayment,
    Payable,
    PayableLine,
    ReceiptCounter,
    Refund,
)
from payments.states import (
    CARD_PAYMENT_MOVES,
    DISPUTE_MOVES,
    DONE_REFUNDS,
    REFUND_MOVES,
    RESERVED_REFUNDS,
    STUCK_REFUNDS,
    DisputeStatus,
    RefundReason,
)
from recovery import rowqueue, senders
from recovery.invariants import (
    LATE,
    Invariant,
    only,
    overdue,
    recent,
    register,
    unbroken_history,
)
from recovery.privileges import never_delete

never_delete(Payable, PayableLine, CardPayment, OfflinePayment)
never_delete(Refund, Dispute, ReceiptCounter)

_NEW_OR_DUE = "id >= {since} OR next_run_at IS NOT NULL"
recent(
    "payable",
    "SELECT id FROM payments_payable WHERE id >= {since}",
    f"SELECT payable_id FROM payments_cardpayment WHERE {_NEW_OR_DUE}",
    "SELECT payable_id FROM payments_offlinepayment WHERE id >= {since}",
    f"SELECT payable_id FROM payments_refund WHERE {_NEW_OR_DUE}",
    "SELECT c.payable_id FROM payments_dispute d"
    " JOIN payments_cardpayment c ON c.id = d.card_payment_id WHERE d.id >= {since}",
)
recent("receipt", "SELECT venue_id FROM payments_offlinepayment WHERE id >= {since}")
recent(
    "dispute",
    "SELECT id FROM payments_dispute WHERE id >= {since} OR status = 'OPEN'",
)


def _quoted(states: tuple[str, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


# Only our own promises: what a person did at Stripe is a fact, whatever it adds up to.
_TOO_MUCH = f"""
    SELECT r.payment_id, r.payable_id FROM (
        SELECT coalesce(card_payment_id, offline_payment_id) AS payment_id, payable_id,
            sum(amount_minor) AS promised
        FROM payments_refund
        WHERE {only("payable_id", "payable")}
          AND status IN ({_quoted((*RESERVED_REFUNDS, *DONE_REFUNDS))})
          AND reason <> '{RefundReason.OUTSIDE}'
        GROUP BY 1, 2) r
    LEFT JOIN payments_cardpayment c ON c.id = r.payment_id
    LEFT JOIN payments_offlinepayment o ON o.id = r.payment_id
    WHERE r.promised > coalesce(c.received_minor, o.amount_minor)
"""

# Whatever the limit was then: older refunds have no second person, and none is missed.
_NOT_AGREED_TO = f"""
    SELECT r.id FROM payments_refund r
    LEFT JOIN payments_cardpayment c ON c.id = r.card_payment_id
    WHERE {only("r.payable_id", "payable")} AND r.approved_by_id IS NOT NULL
      AND (r.approved_by_id = r.requested_by_id OR NOT EXISTS (
        SELECT FROM recovery_approval a
        WHERE a.status = 'APPROVED' AND a.decided_by_id = r.approved_by_id
          AND a.proposed_by_id <> a.decided_by_id
          AND a.terms -> 'refunds' @> jsonb_build_array(jsonb_build_object(
            'payment', coalesce(c.provider_id, r.offline_payment_id::text),
            'amount_minor', r.amount_minor, 'currency', r.currency))))
"""

_COUNTERS = f"""
    SELECT p.id FROM payments_payable p
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0) AS owed
        FROM payments_payableline WHERE payable_id = p.id) l
    CROSS JOIN LATERAL (SELECT coalesce(sum(received_minor), 0) AS paid
        FROM payments_cardpayment
        WHERE payable_id = p.id AND status = 'SUCCEEDED' AND NOT is_mismatch) c
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0) AS paid
        FROM payments_offlinepayment WHERE payable_id = p.id) o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(r.amount_minor) FILTER (
                WHERE r.status IN ({_quoted(DONE_REFUNDS)})), 0) AS refunded,
            coalesce(sum(r.amount_minor) FILTER (
                WHERE r.status IN ({_quoted(RESERVED_REFUNDS)})), 0) AS reserved
        FROM payments_refund r
        LEFT JOIN payments_cardpayment x ON x.id = r.card_payment_id
        WHERE r.payable_id = p.id AND x.is_mismatch IS NOT TRUE) r
    CROSS JOIN LATERAL (SELECT coalesce(sum(d.amount_minor), 0) AS disputed
        FROM payments_dispute d JOIN payments_cardpayment x ON x.id = d.card_payment_id
        WHERE x.payable_id = p.id AND NOT x.is_mismatch AND d.took_money
          AND d.status <> '{DisputeStatus.WON}') d
    WHERE {only("p.id", "payable")}
      AND (p.owed_minor, p.paid_minor, p.refunded_minor, p.refund_reserved_minor,
           p.disputed_minor)
       <> (l.owed, c.paid + o.paid, r.refunded, r.reserved, d.disputed)
"""

_WITHOUT_CASE = f"""
    SELECT r.id FROM payments_refund r
    WHERE {only("r.payable_id", "payable")} AND r.status IN ({_quoted(STUCK_REFUNDS)})
      AND (r.provider_id IS NOT NULL OR r.status <> 'CANCELED')
      AND NOT EXISTS (SELECT FROM recovery_case c WHERE c.fingerprint IN (
          'refund_failure:' || r.origin, 'refund_payout:' || r.origin))
"""

# No number twice (a constraint), so many numbers, and the last one is their count.
_RECEIPTS = f"""
    SELECT coalesce(c.venue_id, o.venue_id)::text FROM payments_receiptcounter c
    FULL JOIN (SELECT venue_id, count(*) AS number, max(receipt_number) AS last_number
        FROM payments_offlinepayment GROUP BY venue_id) o ON o.venue_id = c.venue_id
    WHERE {only("c.venue_id", "receipt")}
      AND (coalesce(o.number, 0), coalesce(o.last_number, 0))
        IS DISTINCT FROM (c.last_number, c.last_number)
"""

# A void stands against one payment of the same sale, of which nothing went back.
_VOIDS = f"""
    SELECT v.id, v.payable_id FROM payments_offlinepayment v
    JOIN payments_offlinepayment o ON o.id = v.reverses_id
    WHERE {only("v.payable_id", "payable")}
      AND ((v.payable_id, v.venue_id, v.currency, -v.amount_minor)
          <> (o.payable_id, o.venue_id, o.currency, o.amount_minor)
        OR EXISTS (SELECT FROM payments_refund WHERE offline_payment_id = o.id
            AND status IN ({_quoted((*RESERVED_REFUNDS, *DONE_REFUNDS))})))
"""

# They wait until Stripe's list was read (`services.events.has_read_lately`), unless
# nobody tries that either.
_WHILE_NOT_READ = f"""
    AND NOT EXISTS (SELECT FROM payments_reconciliation
        WHERE name = 'events' AND (read_at IS NULL OR read_at <= slotbase_now()
            - interval '{2 * settings.STRIPE_RECONCILE_SECONDS} seconds')
          AND (next_run_at >= {LATE} OR lease_until >= {LATE}))
"""

register(
    Invariant(
        "I2",
        "No more of a payment is promised back than came in.",
        _TOO_MUCH,
        freezes=True,
    ),
    Invariant(
        "I2.approved",
        "What two people give back is what the second one agreed to.",
        _NOT_AGREED_TO,
    ),
    Invariant(
        "I2.receipts", "The receipts of a venue are numbered without gaps.", _RECEIPTS
    ),
    Invariant(
        "I2.voids",
        "A void takes back one payment in full, of which nothing was given back.",
        _VOIDS,
        freezes=True,
    ),
    Invariant(
        "I20",
        "The counters of a payable are the sums of its rows.",
        _COUNTERS,
        freezes=True,
    ),
    *(
        Invariant(
            f"I6.{subject}",
            f"The history of a {words} is an unbroken legal chain"
            " that ends in its state.",
            unbroken_history(
                model._meta.db_table,  # noqa: SLF001 - Django's public name
                subject,
                moves,
                scope=scope,
                columns=columns,
            ),
            freezes=True,
        )
        for subject, words, model, moves, scope, columns in (
            (
                *("cardpayment", "card payment", CardPayment, CARD_PAYMENT_MOVES),
                *("payable", "id payable_id"),
            ),
            ("refund", "refund", Refund, REFUND_MOVES, "payable", "id payable_id"),
            ("dispute", "dispute", Dispute, DISPUTE_MOVES, "dispute", "id"),
        )
    ),
    Invariant(
        "I11.money",
        "What is due of payments and refunds has been tried within five minutes.",
        overdue(
            *(CardPayment.table(), Refund.table()),
            waits_for=(senders.RESTORED, rowqueue.fingerprint_of("stripe")),
            more=_WHILE_NOT_READ,
        ),
        is_safety=False,
    ),
    Invariant("I18.refund", "A refund that is stuck has a case.", _WITHOUT_CASE),
)
