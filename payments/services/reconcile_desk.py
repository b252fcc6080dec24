"""What a person does about a database that was restored: reconcile, then say go."""

from uuid import UUID

from payments.models import Reconciliation
from payments.services import comparing, events
from payments.services.subjects import SUBJECTS
from recovery import audit, cases, senders
from recovery.states import CaseStatus
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.enqueue import after_commit
from slotbase.lib.errors import InvalidState

NAMES = (events.NAME, *SUBJECTS)
ROUNDS = 10_000  # pages; more is a comparison that does not come to an end


@retry_on_conflict
def ask_reconcile(*, actor: audit.Actor) -> None:
    """Compare all of it with Stripe, from the beginning and at once.

    Whoever is at it at this moment comes too late: their lease is gone.
    """
    rows = [Reconciliation(name=name) for name in NAMES]
    Reconciliation.objects.bulk_create(rows, ignore_conflicts=True)
    Reconciliation.objects.update(
        asked_at=Now(),
        next_run_at=Now(),
        began_at=None,
        window_from=None,
        cursor="",
        attempts=0,
        deaths=0,
        lease_token=None,
        lease_until=None,
    )
    audit.record(
        actor=actor,
        action="reconciliation.asked",
        subject="reconciliation",
        ids=list(Reconciliation.objects.values_list("pk", flat=True)),
    )
    after_commit("payments.reconcile_events")
    after_commit("payments.compare_with_stripe")


def reconcile_now(*, actor: audit.Actor) -> bool:
    """The same, and do it here, before this returns; whether it came to its end.

    Payments before refunds: what belongs to no sale is known before its refunds come.
    """
    ask_reconcile(actor=actor)
    events.reconcile_events()
    for _ in range(ROUNDS):
        if is_done() or not comparing.compare_with_stripe():
            break
    return is_done()


def is_done() -> bool:
    """Whether the last reconcile that was asked for ran through."""
    rows = Reconciliation.objects.filter(name__in=NAMES)
    done = [row for row in rows if _has_come_to_its_end(row)]
    return len(done) == len(NAMES)


def _has_come_to_its_end(row: Reconciliation) -> bool:
    if row.read_at is None or row.began_at is not None:
        return False
    return row.asked_at is None or row.read_at >= row.asked_at


def may_resume() -> bool:
    """Whether a reconcile that a person asked for ran through since senders stopped."""
    since = senders.stopped_at()
    if since is None:
        return False
    asked = Reconciliation.objects.filter(name__in=NAMES, asked_at__gte=since)
    return asked.count() == len(NAMES) and is_done()


@retry_on_conflict
def resume_senders(*, case_id: UUID, staff_id: UUID, version: int, reason: str) -> None:
    """Say that everything may be sent again; closes the case.

    Raises:
        InvalidState: Stripe was not reconciled since senders stopped.
        ValidationFailed, CaseNotFound, CaseIsTaken, CaseHasChanged: as `close_case`.
    """
    if not may_resume():
        raise InvalidState("Reconcile first, and let it come to its end.")
    cases.close_case(
        case_id=case_id,
        staff_id=staff_id,
        version=version,
        to=CaseStatus.RESOLVED,
        reason=reason,
    )


@retry_on_conflict
def declare_restored(*, actor: audit.Actor) -> None:
    """Stop the senders since a person knows that the database was restored."""
    senders.stop(cause="A person said that the database was restored.")
    audit.record(
        actor=actor, action="restore.declared", subject="reconciliation", ids=[""]
    )
