"""What beat asks for and workers do, and the time at which there is more of it."""

from datetime import UTC, datetime

from bookings.services import holds
from notifications.services import sending
from payments.services import card_payments, refund_calls
from recovery import deliveries, inbox, outbox, workflows
from recovery.models import DueRow
from slotbase.accounts.services import profiles
from slotbase.lib.clock import read_clock

ROUNDS = 20
NEVER = datetime.max.replace(tzinfo=UTC)


def do_due_work() -> int:
    """What beat asks for, once; returns how much there was to do."""
    return sum(
        [
            holds.expire_due_holds(limit=100),
            card_payments.attempt_card_payments(),
            refund_calls.attempt_refunds(),
            *(deliveries.deliver_events(name) for name in outbox.subscribers()),
            inbox.process_inbox(),
            workflows.advance(),
            sending.send_due(),
            profiles.fetch_profiles(),
        ]
    )


def sweep() -> None:
    """All that is due, and what becomes due by it."""
    for _ in range(ROUNDS):
        if not do_due_work():
            return
    raise AssertionError("It does not come to an end.")


def is_idle() -> bool:
    """Whether nobody is at anything, and nothing is due now."""
    now = read_clock()
    return not any(
        model.rows().exclude(lease_token=None).exists()
        or model.rows().filter(next_run_at__lte=now).exists()
        for model in DueRow.__subclasses__()
    )


def next_moment() -> datetime:
    """When there is something to do again; never, if nothing is left."""
    soon = [
        model.rows()
        .filter(next_run_at__isnull=False)
        .order_by("next_run_at")
        .values_list("next_run_at", flat=True)
        .first()
        for model in DueRow.__subclasses__()
    ]
    return min(filter(None, soon), default=NEVER)
