"""The states of deliveries, webhooks and cases, and the only legal moves."""

from django.db.models import TextChoices


class DeliveryStatus(TextChoices):
    PENDING = "PENDING"
    DONE = "DONE"
    # Out of attempts: DEAD ones stand in a case, DROPPED ones nobody misses.
    DEAD = "DEAD"
    DROPPED = "DROPPED"


DELIVERY_MOVES: dict[str, frozenset[str]] = {
    DeliveryStatus.PENDING: frozenset(
        {DeliveryStatus.DONE, DeliveryStatus.DEAD, DeliveryStatus.DROPPED}
    ),
    DeliveryStatus.DONE: frozenset(),
    # Staff try again.
    DeliveryStatus.DEAD: frozenset({DeliveryStatus.PENDING}),
    DeliveryStatus.DROPPED: frozenset(),
}


class InboxStatus(TextChoices):
    RECEIVED = "RECEIVED"
    PROCESSING = "PROCESSING"
    PROCESSED = "PROCESSED"
    IGNORED = "IGNORED"
    RETRY = "RETRY"
    DEAD = "DEAD"


INBOX_MOVES: dict[str, frozenset[str]] = {
    InboxStatus.RECEIVED: frozenset({InboxStatus.PROCESSING, InboxStatus.IGNORED}),
    # PROCESSING again: its worker died, another one took over.
    InboxStatus.PROCESSING: frozenset(
        {
            InboxStatus.PROCESSING,
            InboxStatus.PROCESSED,
            InboxStatus.IGNORED,
            InboxStatus.RETRY,
            InboxStatus.DEAD,
        }
    ),
    InboxStatus.RETRY: frozenset({InboxStatus.PROCESSING, InboxStatus.IGNORED}),
    # RECEIVED again: staff replay it.
    InboxStatus.PROCESSED: frozenset({InboxStatus.RECEIVED}),
    InboxStatus.IGNORED: frozenset({InboxStatus.RECEIVED}),
    InboxStatus.DEAD: frozenset({InboxStatus.RECEIVED, InboxStatus.IGNORED}),
}


class CaseStatus(TextChoices):
    OPEN = "OPEN"
    CLAIMED = "CLAIMED"
    RESOLVED = "RESOLVED"
    DISCARDED = "DISCARDED"


CASE_MOVES: dict[str, frozenset[str]] = {
    CaseStatus.OPEN: frozenset(
        {CaseStatus.CLAIMED, CaseStatus.RESOLVED, CaseStatus.DISCARDED}
    ),
    # OPEN again: given back, or the lease of who claimed it ran out.
    CaseStatus.CLAIMED: frozenset(
        {CaseStatus.OPEN, CaseStatus.RESOLVED, CaseStatus.DISCARDED}
    ),
    # OPEN again: it happened again within a day.
    CaseStatus.RESOLVED: frozenset({CaseStatus.OPEN}),
    CaseStatus.DISCARDED: frozenset({CaseStatus.OPEN}),
}


class CaseSeverity(TextChoices):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
