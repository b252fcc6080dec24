"""The states of all that recovery keeps, and the only legal moves between them."""

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


class ApprovalStatus(TextChoices):
    """What one member of staff wants to do, and another one has to agree to."""

    PROPOSED = "PROPOSED"
    # Agreed to and done, in one transaction.
    APPROVED = "APPROVED"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"


APPROVAL_MOVES: dict[str, frozenset[str]] = {
    ApprovalStatus.PROPOSED: frozenset(
        {
            ApprovalStatus.APPROVED,
            ApprovalStatus.REFUSED,
            ApprovalStatus.WITHDRAWN,
            ApprovalStatus.EXPIRED,
        }
    ),
    ApprovalStatus.APPROVED: frozenset(),
    ApprovalStatus.REFUSED: frozenset(),
    ApprovalStatus.WITHDRAWN: frozenset(),
    ApprovalStatus.EXPIRED: frozenset(),
}


class RunStatus(TextChoices):
    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    DONE = "DONE"
    COMPENSATED = "COMPENSATED"
    ABANDONED = "ABANDONED"


# A run that waits for a person stays where it is: it has a case and is not due.
RUN_MOVES: dict[str, frozenset[str]] = {
    RunStatus.RUNNING: frozenset(
        {RunStatus.DONE, RunStatus.COMPENSATING, RunStatus.ABANDONED}
    ),
    RunStatus.COMPENSATING: frozenset({RunStatus.COMPENSATED, RunStatus.ABANDONED}),
    RunStatus.DONE: frozenset(),
    RunStatus.COMPENSATED: frozenset(),
    RunStatus.ABANDONED: frozenset(),
}


class StepStatus(TextChoices):
    PENDING = "PENDING"
    DONE = "DONE"
    FAILED = "FAILED"
    COMPENSATED = "COMPENSATED"


STEP_MOVES: dict[str, frozenset[str]] = {
    StepStatus.PENDING: frozenset({StepStatus.DONE, StepStatus.FAILED}),
    StepStatus.DONE: frozenset({StepStatus.COMPENSATED}),
    # It may have had its effect all the same.
    StepStatus.FAILED: frozenset({StepStatus.COMPENSATED}),
    StepStatus.COMPENSATED: frozenset(),
}


class DeadLetterStatus(TextChoices):
    OPEN = "OPEN"
    RESOLVED = "RESOLVED"
    DISCARDED = "DISCARDED"


# One that is tried again is OPEN under a lease, like every due row.
DEAD_LETTER_MOVES: dict[str, frozenset[str]] = {
    DeadLetterStatus.OPEN: frozenset(
        {DeadLetterStatus.RESOLVED, DeadLetterStatus.DISCARDED}
    ),
    # OPEN again: it failed again within an hour.
    DeadLetterStatus.RESOLVED: frozenset({DeadLetterStatus.OPEN}),
    DeadLetterStatus.DISCARDED: frozenset(),
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


class AlertStatus(TextChoices):
    OPEN = "OPEN"
    ACKED = "ACKED"
    RESOLVED = "RESOLVED"


ALERT_MOVES: dict[str, frozenset[str]] = {
    AlertStatus.OPEN: frozenset({AlertStatus.ACKED, AlertStatus.RESOLVED}),
    AlertStatus.ACKED: frozenset({AlertStatus.RESOLVED}),
    # OPEN again: the same trouble came back within a day.
    AlertStatus.RESOLVED: frozenset({AlertStatus.OPEN}),
}


class NoticeStatus(TextChoices):
    PENDING = "PENDING"
    DONE = "DONE"
    # The channel refused it for good, or did not take it until it was too old.
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"


NOTICE_MOVES: dict[str, frozenset[str]] = {
    NoticeStatus.PENDING: frozenset(
        {NoticeStatus.DONE, NoticeStatus.FAILED, NoticeStatus.EXPIRED}
    ),
    NoticeStatus.DONE: frozenset(),
    NoticeStatus.FAILED: frozenset(),
    NoticeStatus.EXPIRED: frozenset(),
}
