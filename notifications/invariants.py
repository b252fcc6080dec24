"""What must always hold for messages."""

from notifications.models import Notification
from notifications.states import NOTIFICATION_MOVES
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
            waits_for=(senders.RESTORED, rowqueue.fingerprint_of("resend")),
        ),
        is_safety=False,
    ),
    Invariant(
        "I18.notification",
        "A message that gave up has a case.",
        "SELECT id FROM notifications_notification n"
        f" WHERE {only('n.id', 'notification')}"
        " AND status IN ('FAILED', 'UNKNOWN') AND NOT EXISTS ("
        " SELECT FROM recovery_case c"
        " WHERE c.fingerprint = 'notification_undeliverable:' || n.id)",
    ),
)
