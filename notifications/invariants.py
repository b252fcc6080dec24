"""What must always hold for messages."""

from notifications.kinds import KINDS
from notifications.models import Notification
from notifications.states import NOT_WANTED, NOTIFICATION_MOVES
from recovery import rowqueue, senders
from recovery.invariants import (
    Invariant,
    only,
    overdue,
    recent,
    register,
    unbroken_history,
)
from recovery.privileges import never_delete

never_delete(Notification)

NEED_NOT_ARRIVE = ", ".join(
    f"'{name}'" for name, kind in KINDS.items() if not kind.must_arrive
)
# While mails go out as fast as they may, some wait for long; but as every fourth is the
# oldest, one that has waited for a day is stuck. An alert tells of a used up quota.
AT_FULL_BUDGET = (
    "AND NOT EXISTS (SELECT FROM notifications_sendbudget b"
    " WHERE b.provider = 'resend' AND (b.next_at > slotbase_now() - interval '1 minute'"
    " AND next_run_at > slotbase_now() - interval '24 hours'"
    " OR b.paused_until > slotbase_now() - interval '5 minutes'))"
)
# Their recipients do not want them, and nobody calls whoever said so.
NOT_WANTED_ANY_MORE = (
    "status = 'SUPPRESSED' AND EXISTS (SELECT FROM recovery_auditentry a"
    " WHERE a.subject_type = 'notification' AND a.subject_id = n.id::text"
    f" AND a.to_state = 'SUPPRESSED' AND a.reason = '{NOT_WANTED}')"
)

recent(
    "notification",
    "SELECT id FROM notifications_notification"
    " WHERE id >= {since} OR next_run_at IS NOT NULL",
)

register(
    Invariant(
        "I5",
        "A message is made once and sent once, and what is unsure is not sent for"
        " more than a day.",
        # From the attempts, not from the columns that the sender looks at.
        "SELECT notification_id::text FROM notifications_notificationattempt"
        f" WHERE {only('notification_id', 'notification')} GROUP BY notification_id"
        " HAVING count(*) FILTER (WHERE outcome = 'done') > 1"
        " OR max(at) - min(at) FILTER (WHERE outcome = 'unknown')"
        "  > interval '24 hours'"
        " UNION ALL SELECT dedupe_key FROM notifications_notification"
        f" WHERE {only('id', 'notification')} GROUP BY dedupe_key HAVING count(*) > 1"
        " UNION ALL SELECT provider_id FROM notifications_notification"
        f" WHERE {only('id', 'notification')} AND provider_id <> ''"
        " GROUP BY provider_id HAVING count(*) > 1",
    ),
    Invariant(
        "I6.notification",
        "The history of a message is an unbroken legal chain that ends in its state.",
        unbroken_history(
            "notifications_notification",
            "notification",
            NOTIFICATION_MOVES,
            scope="notification",
        ),
    ),
    Invariant(
        "I11.notification",
        "A mail that is due has been tried within five minutes.",
        overdue(
            "notifications_notification",
            more=f"AND channel = 'EMAIL' {AT_FULL_BUDGET}",
            waits_for=(senders.RESTORED, rowqueue.fingerprint_of("resend")),
        ),
        is_safety=False,
    ),
    Invariant(
        "I11.push",
        "A push that is due has been tried within five minutes.",
        overdue(
            "notifications_notification",
            more="AND channel = 'PUSH'",
            waits_for=(senders.RESTORED, rowqueue.fingerprint_of("fcm")),
        ),
        is_safety=False,
    ),
    Invariant(
        "I18.notification",
        "A mail that must arrive and did not has a case, or is told by push.",
        "SELECT id FROM notifications_notification n"
        f" WHERE {only('n.id', 'notification')}"
        " AND channel = 'EMAIL'"
        " AND status IN ('FAILED', 'UNKNOWN', 'BOUNCED', 'SUPPRESSED')"
        f" AND NOT ({NOT_WANTED_ANY_MORE})"
        f" AND template NOT IN ({NEED_NOT_ARRIVE}) AND NOT EXISTS ("
        " SELECT FROM notifications_notification p"
        " WHERE p.subject_type = n.subject_type AND p.subject_id = n.subject_id"
        " AND starts_with(p.dedupe_key, n.dedupe_key || ':push:')"
        " AND (p.next_run_at IS NOT NULL OR p.sent_at IS NOT NULL)) AND NOT EXISTS ("
        " SELECT FROM recovery_case c"
        " WHERE c.fingerprint = 'notification_undeliverable:' || n.id)",
    ),
)
