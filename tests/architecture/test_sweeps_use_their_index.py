"""A sweep finds what is due by its index, however many rows are not due.

Each runs among 100,000 rows that are not due and three that are, and PostgreSQL tells
how it finds them when the statement is prepared and has run often, as in a worker. The
index must serve the comparison with the clock: one that only gives the order would be
read to its end (ADR 0005).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, cycle
from typing import Any

import pytest
from django.db import connection, transaction
from psycopg import sql

from bookings.locks import (
    claim_due_holds,
    claim_ended_bookings,
    claim_unseen_entries,
    lock_unattended,
)
from bookings.models import SessionFeedback
from bookings.services.expiring import find_expiring
from bookings.services.holds import purge_old_holds
from bookings.services.waitlist import LOOK_EVERY, purge_ended_entries
from notifications.models import Notification
from notifications.services.budget import MOST_URGENT
from notifications.services.device_retention import (
    forget_ended_devices,
    retire_unseen_devices,
)
from notifications.services.retention import empty_old_mails
from notifications.states import DeviceStatus
from payments.models import CardPayment, Reconciliation, Refund
from recovery import vitals
from recovery.alerts import purge_old_alerts
from recovery.dead_letters import purge_ended
from recovery.deliveries import purge_delivered_events
from recovery.idempotency import purge_old_records
from recovery.inbox import empty_old_webhooks
from recovery.locks import (
    claim_due_row,
    lock_alerts_to_tell,
    lock_expired_approvals,
    lock_late_runs,
    lock_quiet_alerts,
)
from recovery.models import (
    DeadLetter,
    EventDelivery,
    InboxEvent,
    NoticeDelivery,
    RuleCheck,
    WorkflowRun,
)
from recovery.notices import purge_old_notices
from recovery.rowqueue import NEWEST, OLDEST
from recovery.runs import purge_finished_runs
from slotbase.accounts.models import Erasure, ProfileFetch
from slotbase.accounts.services.guesses import forget_old_guesses
from slotbase.accounts.services.revocations import forget_revoked_sessions
from slotbase.lib.clock import read_clock
from slotbase.lib.look import Ask, ask
from tests.factories import make_customer, make_resource

pytestmark = pytest.mark.django_db(transaction=True)

NOT_DUE, DUE, LIMIT = 100_000, 3, 1000
# PostgreSQL weighs a plan for all values against one for each after five runs.
RUNS = 8

MOMENTS = f"""
FROM (SELECT slotbase_now() - {{age}} + n * interval '1 minute' AS at
      FROM generate_series(1 - {DUE}, {NOT_DUE}) n) moments
"""
HOLDS = f"""
INSERT INTO bookings_bookinghold (id, resource_id, customer_id, start_time, end_time,
    buffer_before_minutes, buffer_after_minutes, units, status, source, price_minor,
    currency, expires_at, released_at)
SELECT gen_random_uuid(), %(resource)s, %(customer)s, at - interval '1 hour', at, 0, 0,
    '{{{{1}}}}', '{{status}}', 'CUSTOMER', 0, 'EUR', at, {{released_at}} {MOMENTS}
"""
BOOKINGS = """
INSERT INTO bookings_booking (id, reference, hold_id, resource_id, customer_id,
    start_time, end_time, units, status, price_minor, currency, cancel_reason, version)
SELECT id, row_number() OVER (), id, resource_id, customer_id, start_time, end_time,
    units, 'CONFIRMED', 0, 'EUR', '', 1
FROM bookings_bookinghold
"""
RECORDS = f"""
INSERT INTO recovery_idempotencyrecord (principal, key, route, body_hash, status,
    object_id, created_at)
SELECT 'p', at::text, '', '', 201, gen_random_uuid(), at {MOMENTS}
"""


@dataclass(frozen=True)
class Sweep:
    """What runs, the rows among which it runs, and the index that must serve it."""

    run: Callable[[], Any]
    rows: tuple[str, ...]
    index: str
    column: str


EXPIRY = Sweep(
    lambda: claim_due_holds(LIMIT),
    (HOLDS.format(status="ACTIVE", released_at="NULL", age="interval '0'"),),
    *("bookings_hold_due", "expires_at"),
)
# Offers that were made an hour ago and end in 3, 4 and 5 minutes; others later.
OFFERS = (
    HOLDS.replace("expires_at, released_at)", "expires_at, created_at, released_at)")
    .replace("at, {released_at}", "at, slotbase_now() - interval '1 hour', NULL")
    .replace("'CUSTOMER'", "'WAITLIST'")
)
WARNING = Sweep(
    lambda: lock_unattended(find_expiring(), LIMIT),
    (OFFERS.format(status="ACTIVE", age="interval '-5 minutes'"),),
    *("bookings_hold_due", "expires_at"),
)
ENDING = Sweep(
    lambda: claim_ended_bookings(LIMIT),
    (
        HOLDS.format(status="CONFIRMED", released_at="NULL", age="interval '0'"),
        BOOKINGS,
    ),
    *("bookings_booking_ending", "end_time"),
)
# Without their own transactions: they run inside the one that is rolled back.
HOLD_PURGE = Sweep(
    lambda: [None] * purge_old_holds.__wrapped__(limit=LIMIT),
    (HOLDS.format(status="RELEASED", released_at="at", age="interval '90 days'"),),
    *("bookings_hold_to_purge", "released_at"),
)
ENTRIES = f"""
INSERT INTO bookings_waitlistentry (id, resource_id, customer_id, start_time, end_time,
    units, status, end_reason, looked_at, ended_at)
SELECT gen_random_uuid(), %(resource)s, %(customer)s, at, at + interval '1 hour', 1,
    '{{status}}', '', at, {{ended}} {MOMENTS}
"""
LOOKING = Sweep(
    lambda: claim_unseen_entries(LIMIT, unseen_for=LOOK_EVERY),
    (ENTRIES.format(status="WAITING", ended="NULL", age="interval '10 seconds'"),),
    *("bookings_waitlist_due", "looked_at"),
)
WAITLIST_PURGE = Sweep(
    lambda: [None] * purge_ended_entries.__wrapped__(limit=LIMIT),
    (ENTRIES.format(status="LEFT", ended="at", age="interval '90 days'"),),
    *("bookings_waitlist_to_purge", "ended_at"),
)
KEY_PURGE = Sweep(
    lambda: [None] * purge_old_records(limit=LIMIT),
    (RECORDS.format(age="interval '24 hours'"),),
    *("recovery_idempotencyrecord_created_at", "created_at"),
)
EVENTS = f"""
INSERT INTO recovery_outboxevent (id, type, subject_type, subject_id, data, request_id,
    created_at)
SELECT gen_random_uuid(), 't', 's', '1', '{{{{}}}}', '', at {MOMENTS}
"""
DELIVERIES = """
INSERT INTO recovery_eventdelivery (event_id, subscriber, next_run_at)
SELECT id, 'analytics', created_at FROM recovery_outboxevent
"""
WEBHOOKS = f"""
INSERT INTO recovery_inboxevent (id, provider, account, event_id, type, api_version,
    payload, received_at, next_run_at, status)
SELECT gen_random_uuid(), 'stripe', '', at::text, 't', '', '{{{{}}}}', at, {{due}},
    '{{status}}' {MOMENTS}
"""
DELIVERING = Sweep(
    lambda: claim_all(EventDelivery, subscriber="analytics"),
    (EVENTS.format(age="interval '0'"), DELIVERIES),
    *("recovery_delivery_due", "next_run_at"),
)
PROCESSING = Sweep(
    lambda: claim_all(InboxEvent),
    (WEBHOOKS.format(age="interval '0'", due="at", status="RECEIVED"),),
    *("recovery_inbox_due", "next_run_at"),
)
EVENT_PURGE = Sweep(
    lambda: [None] * purge_delivered_events.__wrapped__(limit=LIMIT),
    (EVENTS.format(age="interval '30 days'"),),
    *("recovery_outboxevent_created_at", "created_at"),
)
PAYLOAD_PURGE = Sweep(
    lambda: [None] * empty_old_webhooks.__wrapped__(limit=LIMIT),
    (WEBHOOKS.format(age="interval '30 days'", due="NULL", status="PROCESSED"),),
    *("recovery_inbox_to_empty", "received_at"),
)
MAILS = f"""
INSERT INTO notifications_notification (id, recipient_id, template, template_version,
    context, subject_type, subject_id, reference, dedupe_key, created_at, next_run_at,
    status, rendered, sent_at, provider_id)
SELECT gen_random_uuid(), %(customer)s, 't', 1, '{{{{}}}}', 's', '1', '', at::text, at,
    {{due}}, '{{status}}', '{{{{}}}}', {{sent}} {MOMENTS}
"""
PROFILES = f"""
INSERT INTO accounts_profilefetch (user_id, next_run_at)
SELECT gen_random_uuid(), at {MOMENTS}
"""
DUE_MAILS = (
    MAILS.format(age="interval '0'", due="at", status="PENDING", sent="NULL, ''"),
)
SENDING = Sweep(
    lambda: claim_all(Notification), DUE_MAILS, *("notifications_due", "next_run_at")
)
URGENT = Sweep(
    lambda: claim_all(Notification, [MOST_URGENT], channel="EMAIL"),
    DUE_MAILS,
    *("notifications_urgent", "next_run_at"),
)
MAIL_PURGE = Sweep(
    lambda: [None] * empty_old_mails.__wrapped__(limit=LIMIT),
    (
        MAILS.format(
            age="interval '90 days'", due="NULL", status="SENT", sent="at, at::text"
        ),
    ),
    *("notifications_to_empty", "created_at"),
)
DEVICES = f"""
INSERT INTO notifications_pushdevice (id, user_id, token_kind, token_hash, sealed_token,
    platform, app_version, status, why, generation, last_seen_at, ended_at)
SELECT gen_random_uuid(), %(customer)s, 'TOKEN', at::text, 's', 'IOS', '', '{{status}}',
    '', 1, at, {{ended}} {MOMENTS}
"""
PUSHES = MAILS.replace("(id,", "(id, channel, device_id,").replace(
    "SELECT gen_random_uuid(),", "SELECT gen_random_uuid(), 'PUSH', gen_random_uuid(),"
)
PUSHING = Sweep(
    lambda: claim_all(Notification, channel="PUSH"),
    (PUSHES.format(age="interval '0'", due="at", status="PENDING", sent="NULL, ''"),),
    *("notifications_due", "next_run_at"),
)
RETIRING = Sweep(
    lambda: [None] * retire_unseen_devices.__wrapped__(limit=LIMIT),
    (DEVICES.format(age="interval '60 days'", status="ACTIVE", ended="NULL"),),
    *("notifications_seen", "last_seen_at"),
)
FORGETTING = Sweep(
    lambda: (
        [None]
        * forget_ended_devices.__wrapped__(status=DeviceStatus.INVALID, limit=LIMIT)
    ),
    (DEVICES.format(age="interval '7 days'", status="INVALID", ended="at"),),
    *("notifications_to_forget", "ended_at"),
)
ERASURES = f"""
INSERT INTO accounts_erasure (user_id, next_run_at)
SELECT gen_random_uuid(), at {MOMENTS}
"""
ERASING = Sweep(
    lambda: claim_all(Erasure),
    (ERASURES.format(age="interval '0'"),),
    *("accounts_erasure_due", "next_run_at"),
)
FETCHING = Sweep(
    lambda: claim_all(ProfileFetch),
    (PROFILES.format(age="interval '0'"),),
    *("accounts_profile_due", "next_run_at"),
)
FEEDBACK = f"""
INSERT INTO bookings_sessionfeedback (id, booking_id, coach_id, notes, status, skills,
    drills, accepted_skills, accepted_drills, next_run_at)
SELECT gen_random_uuid(), gen_random_uuid(), %(customer)s, 'n', 'PENDING', '{{{{}}}}',
    '{{{{}}}}', '{{{{}}}}', '{{{{}}}}', at {MOMENTS}
"""
ENHANCING = Sweep(
    lambda: claim_all(SessionFeedback),
    (FEEDBACK.format(age="interval '0'"),),
    *("bookings_feedback_due", "next_run_at"),
)
REVOCATIONS = f"""
INSERT INTO accounts_revokedsession (session_id, revoked_at)
SELECT at::text, at {MOMENTS}
"""
REVOCATION_PURGE = Sweep(
    lambda: [None] * forget_revoked_sessions.__wrapped__(limit=LIMIT),
    (REVOCATIONS.format(age="interval '1 day 1 hour'"),),
    *("accounts_revoked_at", "revoked_at"),
)
GUESSES = f"""
INSERT INTO accounts_signinguard (name, failures, since)
SELECT at::text, 1, at {MOMENTS}
"""
GUESS_PURGE = Sweep(
    lambda: [None] * forget_old_guesses(limit=LIMIT),
    (GUESSES.format(age="interval '1 day'"),),
    *("accounts_guard_since", "since"),
)

WORKFLOWS = f"""
INSERT INTO recovery_workflowrun (id, name, subject_type, subject_id, status, input,
    reference, title, request_id, limit_at, next_run_at, finished_at)
SELECT gen_random_uuid(), 'w', 't', at::text, '{{status}}', '{{{{}}}}', '', '', '', at,
    {{due}}, {{finished}} {MOMENTS}
"""
OPEN_WORKFLOWS = WORKFLOWS.format(
    age="interval '0'", due="at", status="RUNNING", finished="NULL"
)
ADVANCING = Sweep(
    lambda: claim_all(WorkflowRun),
    (OPEN_WORKFLOWS,),
    *("recovery_workflow_due", "next_run_at"),
)
LATE = Sweep(
    lambda: lock_late_runs(LIMIT),
    (OPEN_WORKFLOWS,),
    *("recovery_workflow_limit", "limit_at"),
)
APPROVALS = f"""
INSERT INTO recovery_approval (id, kind, status, title, subject_type, subject_id, terms,
    currency, reason, proposed_by_id, expires_at, decision_reason, version)
SELECT gen_random_uuid(), 'toy', 'PROPOSED', '', 'toy', at::text, '{{{{}}}}', '', '',
    %(customer)s, at, '', 1 {MOMENTS}
"""
EXPIRED_APPROVALS = Sweep(
    lambda: lock_expired_approvals(LIMIT),
    (APPROVALS.format(age="interval '0'"),),
    *("recovery_approval_open", "expires_at"),
)
# What /health counts every few seconds in every web process.
COUNTING_EVENTS = Sweep(
    lambda: counted(vitals._outbox),
    (
        EVENTS.format(age="interval '0'"),
        DELIVERIES.replace("analytics", "bookings.settling"),
    ),
    *("recovery_delivery_due", "next_run_at"),
)
COUNTING_WEBHOOKS = Sweep(
    lambda: counted(vitals._inbox),
    PROCESSING.rows,
    *("recovery_inbox_due", "next_run_at"),
)
COUNTING_WORKFLOWS = Sweep(
    lambda: counted(vitals._workflows),
    (OPEN_WORKFLOWS,),
    *("recovery_workflow_limit", "limit_at"),
)
WORKFLOW_PURGE = Sweep(
    lambda: [None] * purge_finished_runs.__wrapped__(limit=LIMIT),
    (
        WORKFLOWS.format(
            age="interval '90 days'", due="NULL", status="DONE", finished="at"
        ),
    ),
    *("recovery_workflow_finished", "finished_at"),
)


DEAD_LETTERS = f"""
INSERT INTO recovery_deadletter (id, key, task, kwargs, queue, request_id, status,
    next_run_at, ended_at, ended_because)
SELECT gen_random_uuid(), at::text, 't', '{{{{}}}}', '', '', {{columns}} {MOMENTS}
"""
RETRYING = Sweep(
    lambda: claim_all(DeadLetter),
    (
        DEAD_LETTERS.format(
            age="interval '0'", columns="'OPEN', at, NULL::timestamptz, ''"
        ),
    ),
    *("recovery_dead_letter_due", "next_run_at"),
)
LETTER_PURGE = Sweep(
    lambda: [None] * purge_ended.__wrapped__(limit=LIMIT),
    (
        DEAD_LETTERS.format(
            age="interval '180 days'", columns="'RESOLVED', NULL::timestamptz, at, 'x'"
        ),
    ),
    *("recovery_dead_letter_ended", "ended_at"),
)

# Rows of one payable: nothing else of them matters to a claim.
CARD_PAYMENTS = f"""
INSERT INTO payments_cardpayment (id, payable_id, status, amount_minor, currency,
    received_minor, received_currency, is_mismatch, epoch, is_key_spent, provider_id,
    provider_status, client_secret, decline_code, attempts, deaths, last_error,
    next_run_at)
SELECT gen_random_uuid(), gen_random_uuid(), 'OPEN', 1, 'EUR', 0, '', false, 1, false,
    at::text, '', '', '', 0, 0, '', at {MOMENTS}
"""
REFUNDS = f"""
INSERT INTO payments_refund (id, payable_id, card_payment_id, status, amount_minor,
    currency, reason, origin, epoch, is_key_spent, absent_reads, failure_reason,
    pending_reason, is_payout, evidence, version, attempts, deaths, last_error,
    next_run_at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'REQUESTED', 1, 'EUR',
    'STAFF', gen_random_uuid(), 1, false, 0, '', '', false, '', 1, 0, 0, '', at
    {MOMENTS}
"""
RECONCILIATIONS = f"""
INSERT INTO payments_reconciliation (name, attempts, deaths, last_error, next_run_at)
SELECT to_char(at, 'YYYY-MM-DD HH24:MI'), 0, 0, '', at {MOMENTS}
"""
RULES = f"""
INSERT INTO recovery_rulecheck (rule, attempts, deaths, last_error, next_run_at)
SELECT to_char(at, 'YYYY-MM-DD HH24:MI'), 0, 0, '', at {MOMENTS}
"""
CHECKING = Sweep(
    lambda: claim_all(RuleCheck),
    (RULES.format(age="interval '0'"),),
    *("recovery_rulecheck_due", "next_run_at"),
)
PAYING = Sweep(
    lambda: claim_all(CardPayment),
    (CARD_PAYMENTS.format(age="interval '0'"),),
    *("payments_cardpayment_due", "next_run_at"),
)
REFUNDING = Sweep(
    lambda: claim_all(Refund),
    (REFUNDS.format(age="interval '0'"),),
    *("payments_refund_due", "next_run_at"),
)
RECONCILING = Sweep(
    lambda: claim_all(Reconciliation),
    (RECONCILIATIONS.format(age="interval '0'"),),
    *("payments_reconciliation_due", "next_run_at"),
)


def counted(look: Callable[[Ask], Iterable[vitals.Check]]) -> list[None]:
    """As many as a check of /health counts."""
    [check] = look(ask)
    return [None] * check.details["count"]


ALERTS = f"""
INSERT INTO recovery_alert (id, category, fingerprint, status, severity, audience,
    title, occurrences, first_seen_at, last_seen_at, tell_at, resolved_at)
SELECT gen_random_uuid(), '{{category}}', at::text, '{{status}}', 'high', 'o', 't', 1,
    at, at, {{tell_at}}, {{resolved_at}} {MOMENTS}
"""
NOTICES = f"""
INSERT INTO recovery_alertnotice (id, severity, is_summary, title, body, created_at)
SELECT gen_random_uuid(), 'high', false, 't', '{{{{}}}}', at {MOMENTS}
"""
THEIR_DELIVERIES = """
INSERT INTO recovery_noticedelivery (notice_id, channel, next_run_at)
SELECT id, 'webhook', created_at FROM recovery_alertnotice
"""
TELLING = Sweep(
    lambda: lock_alerts_to_tell(LIMIT),
    (
        ALERTS.format(
            category="c",
            status="OPEN",
            age="interval '0'",
            tell_at="at",
            resolved_at="NULL",
        ),
    ),
    *("recovery_alert_to_tell", "tell_at"),
)
QUIET = Sweep(
    lambda: lock_quiet_alerts("c", timedelta(minutes=2), LIMIT),
    (
        ALERTS.format(
            category="c",
            status="OPEN",
            age="interval '2 minutes'",
            tell_at="NULL",
            resolved_at="NULL",
        ),
    ),
    *("recovery_alert_open", "last_seen_at"),
)
ALERT_PURGE = Sweep(
    lambda: [None] * purge_old_alerts.__wrapped__(limit=LIMIT),
    (
        ALERTS.format(
            category="c",
            status="RESOLVED",
            age="interval '90 days'",
            tell_at="NULL",
            resolved_at="at",
        ),
    ),
    *("recovery_alert_resolved", "resolved_at"),
)
NOTIFYING = Sweep(
    lambda: claim_all(NoticeDelivery, channel="webhook"),
    (NOTICES.format(age="interval '0'"), THEIR_DELIVERIES),
    *("recovery_notice_due", "next_run_at"),
)
NOTICE_PURGE = Sweep(
    lambda: [None] * purge_old_notices.__wrapped__(limit=LIMIT),
    (NOTICES.format(age="interval '90 days'"),),
    *("recovery_alertnotice_created_at", "created_at"),
)


def claim_all(
    model: Any, orders: Sequence[str] = (OLDEST, NEWEST), **conditions: Any
) -> list[Any]:
    """Claim as a sweep does, from both ends, until nothing is due."""
    rows = []
    for order in cycle(orders):
        row = claim_due_row(
            model,
            lease=timedelta(minutes=1),
            due_before=read_clock(),
            order=order,
            changes={},
            conditions=conditions,
        )
        if row is None:
            return rows
        rows.append(row)
    raise AssertionError("a cycle does not end")


@contextmanager
def rows_of(sweep: Sweep) -> Iterator[None]:
    """The rows of a sweep, known to the planner and gone after the block."""
    owners = {"resource": make_resource().pk, "customer": make_customer().pk}
    with transaction.atomic(), connection.cursor() as cursor:
        # Without triggers, which would look up the owner of every row.
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in sweep.rows:
            cursor.execute(statement, owners)
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE")
        yield
        transaction.set_rollback(True)


def plans_of(run: Callable[[], Any]) -> list[dict[str, Any]]:
    """Every node of the plans of the statements that it runs."""
    statements: list[tuple[str, tuple[Any, ...]]] = []

    def listen(execute: Any, text: str, values: Any, *more: Any) -> Any:
        statements.append(by_position(text, values))
        return execute(text, values, *more)

    with connection.execute_wrapper(listen):
        assert len(run()) == DUE
    return [node for each in statements for node in plan_of(*each)]


def by_position(text: str, values: Any) -> tuple[str, tuple[Any, ...]]:
    """A statement with `%s` in the place of named parameters."""
    if not isinstance(values, Mapping):
        return text, tuple(values or ())
    names = re.findall(r"%\((\w+)\)s", text)
    return re.sub(r"%\(\w+\)s", "%s", text), tuple(values[name] for name in names)


def plan_of(text: str, values: tuple[Any, ...] = ()) -> Iterator[dict[str, Any]]:
    """The nodes of the plan of a statement, in which `%s` stands for each value."""
    numbers = count(1)
    numbered = re.sub("%s", lambda _: f"${next(numbers)}", text)
    types = ["interval" if isinstance(v, timedelta) else "unknown" for v in values]
    given = sql.SQL(", ").join(map(sql.Literal, values))
    explain = sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE planned {}")
    brackets = sql.SQL("({})" if values else "{}").format(given)
    with connection.cursor() as cursor:
        declared = f"({', '.join(types)})" if values else ""
        cursor.execute(f"PREPARE planned {declared} AS {numbered}")
        for _ in range(RUNS):
            cursor.execute(explain.format(brackets).as_string(cursor.connection))
        (found,) = cursor.fetchone()
        cursor.execute("DEALLOCATE planned")
    plans = json.loads(found) if isinstance(found, str) else found
    nodes = [plans[0]["Plan"]]
    while nodes:
        yield (node := nodes.pop())
        nodes += node.get("Plans", [])


def is_served(sweep: Sweep, nodes: list[dict[str, Any]]) -> bool:
    """Whether the index answers the comparison, and not only gives the order."""
    return any(
        node.get("Index Name", "").startswith(sweep.index)
        and f"{sweep.column} <= " in node.get("Index Cond", "")
        for node in nodes
    )


@pytest.mark.parametrize(
    "sweep",
    [
        *(EXPIRY, WARNING, ENDING, HOLD_PURGE, KEY_PURGE),
        *(LOOKING, WAITLIST_PURGE, ENHANCING),
        *(DELIVERING, PROCESSING, EVENT_PURGE, PAYLOAD_PURGE),
        *(ADVANCING, LATE, WORKFLOW_PURGE, EXPIRED_APPROVALS),
        *(RETRYING, LETTER_PURGE),
        *(SENDING, URGENT, MAIL_PURGE, FETCHING),
        *(REVOCATION_PURGE, GUESS_PURGE, ERASING),
        *(PUSHING, RETIRING, FORGETTING),
        *(PAYING, REFUNDING, RECONCILING),
        CHECKING,
        *(COUNTING_EVENTS, COUNTING_WEBHOOKS, COUNTING_WORKFLOWS),
        *(TELLING, QUIET, ALERT_PURGE, NOTIFYING, NOTICE_PURGE),
    ],
    ids=[
        *("expiry", "warning", "ending", "hold purge", "key purge"),
        *("looking", "waitlist purge", "enhancing"),
        *("delivering", "processing", "event purge", "payload purge"),
        *("advancing", "late workflows", "workflow purge", "approvals"),
        *("retrying", "dead letter purge"),
        *("sending", "urgent mails", "mail purge", "fetching"),
        *("revocation purge", "guess purge", "erasing"),
        *("pushing", "retiring devices", "forgetting devices"),
        *("paying", "refunding", "reconciling"),
        "checking",
        *("counting events", "counting webhooks", "counting workflows"),
        *("telling", "quiet alerts", "alert purge", "notifying", "notice purge"),
    ],
)
def test_a_sweep_is_served_by_its_index(sweep: Sweep) -> None:
    with rows_of(sweep):
        assert is_served(sweep, plans_of(sweep.run))


def test_a_missing_index_and_a_bare_clock_would_be_seen() -> None:
    by_clock = (
        "SELECT id FROM bookings_bookinghold WHERE status = 'ACTIVE'"
        " AND expires_at <= {} ORDER BY expires_at LIMIT 1000"
    )
    with rows_of(EXPIRY), connection.cursor() as cursor:
        assert is_served(EXPIRY, [*plan_of(by_clock.format("(SELECT slotbase_now())"))])
        # A volatile function is asked for each row: the index gives the order alone.
        bare = [*plan_of(by_clock.format("slotbase_now()"))]
        assert EXPIRY.index in {node.get("Index Name") for node in bare}
        assert not is_served(EXPIRY, bare)
        cursor.execute(f"DROP INDEX {EXPIRY.index}")
        assert not is_served(EXPIRY, plans_of(EXPIRY.run))
