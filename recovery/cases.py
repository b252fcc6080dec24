"""Cases: what needs a person, each opened once and closed with a reason.

A part opens a case in the transaction that found the trouble, and closes it in the one
that saw it heal. Staff claim a case for 15 minutes, then resolve or discard it. What
happens again within a day of closing opens the same case again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Max, Q

from recovery import audit, outbox
from recovery.errors import CaseHasChanged, CaseIsTaken
from recovery.locks import lock_case, lock_case_of, lock_stale_claims
from recovery.models import Case
from recovery.states import CASE_MOVES, CaseSeverity, CaseStatus
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.states import require_move

CLAIM = timedelta(minutes=15)
REOPENS_WITHIN = timedelta(hours=24)
IS_OPEN = (CaseStatus.OPEN, CaseStatus.CLAIMED)
DUE_WITHIN = {
    CaseSeverity.CRITICAL: timedelta(hours=1),
    CaseSeverity.HIGH: timedelta(hours=4),
    CaseSeverity.MEDIUM: timedelta(hours=24),
    CaseSeverity.LOW: timedelta(hours=72),
}


@dataclass(frozen=True)
class Kind:
    """A kind of case: how bad it is, whose it is, what opens it and what closes it.

    `actions` are the names of the buttons of its own. All of it stands in
    docs/reference/cases.md, and what staff do in a runbook of its name.
    """

    name: str
    severity: CaseSeverity
    audience: str
    says: str
    closes_itself_when: str = ""
    opened_when: str = ""
    actions: tuple[str, ...] = ()


_kinds: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Make kinds known; each app registers its own."""
    _kinds.update({kind.name: kind for kind in kinds})


def registered() -> Mapping[str, Kind]:
    """All kinds, by name."""
    return _kinds


@dataclass(frozen=True)
class Opening:
    """What a case is about. Words for staff: no provider text, no personal data."""

    kind: str
    fingerprint: str
    title: str
    subject_type: str
    subject_id: str
    cause: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    venue_id: int | None = None
    customer_id: UUID | None = None
    reference: str = ""
    amount_minor: int | None = None
    currency: str = ""
    severity: CaseSeverity | None = None


@transaction_required
def open_case(opening: Opening) -> UUID:
    """Open a case, or count it where it is open, or open it again; returns its id."""
    case = lock_case_of(opening.fingerprint)
    if case is None or _is_long_closed(case):
        new = _new_case(opening)
        # Of two at once one inserts; the other waits for it and then finds its case.
        Case.objects.bulk_create([new], ignore_conflicts=True)
        case = lock_case_of(opening.fingerprint)
        assert case is not None, "just inserted, by us or by another"  # noqa: S101
        if case.pk == new.pk:
            _tell(new.pk, "opened", opening.kind, ("", CaseStatus.OPEN), part="engine")
            return new.pk
    _see_again(case, opening)
    return case.pk


def _is_long_closed(case: Case) -> bool:
    return case.closed_at is not None and case.closed_at < read_clock() - REOPENS_WITHIN


def _new_case(opening: Opening) -> Case:
    severity = opening.severity or _kinds[opening.kind].severity
    values = {
        **vars(opening),
        "title": opening.title[:200],
        "severity": severity,
        "details": {**opening.details},
    }
    return Case(
        **values,
        audience=_kinds[opening.kind].audience,
        due_at=Now() + DUE_WITHIN[severity],
    )


@transaction_required
def _see_again(case: Case, opening: Opening) -> None:
    values: dict[str, Any] = {
        "occurrences": F("occurrences") + 1,
        "last_seen_at": Now(),
        "cause": opening.cause,
        "details": {**opening.details},
    }
    if case.status not in IS_OPEN:
        require_move(CASE_MOVES, case.status, CaseStatus.OPEN)
        due = Now() + DUE_WITHIN[CaseSeverity(case.severity)]
        values |= {
            "status": CaseStatus.OPEN,
            "due_at": due,
            "version": case.version + 1,
        }
        values |= {"closed_at": None, "closed_by": "", "close_reason": ""}
    Case.objects.filter(pk=case.pk).update(**values)
    if case.status not in IS_OPEN:
        move = (case.status, CaseStatus.OPEN)
        _tell(case.pk, "reopened", case.kind, move, part="engine")


@transaction_required
def close_by_itself(fingerprint: str, reason: str) -> None:
    """The trouble is over: resolve its case, if there is an open one."""
    if not is_open(fingerprint):
        return
    case = lock_case_of(fingerprint)
    if case is not None and case.status in IS_OPEN:
        _close(case, CaseStatus.RESOLVED, reason, actor=audit.Actor.system("engine"))


def closed_at_of(fingerprint: str) -> datetime | None:
    """When somebody closed the case about this last; None if it is open, or none is."""
    closed = Case.objects.filter(fingerprint=fingerprint, closed_at__isnull=False)
    last: datetime | None = closed.aggregate(last=Max("closed_at"))["last"]
    return last


def is_open(fingerprint: str) -> bool:
    """Whether somebody still has to see to this."""
    return Case.objects.filter(fingerprint=fingerprint, status__in=IS_OPEN).exists()


def list_open_subjects(kind: str, *, venue_id: int) -> list[str]:
    """The ids of what the open cases of a kind at a venue are about."""
    found = Case.objects.filter(kind=kind, venue=venue_id, status__in=IS_OPEN)
    return list(found.values_list("subject_id", flat=True))


def was_seen_within(fingerprint: str, age: timedelta, *, or_is_open: str = "") -> bool:
    """Whether a case is open and what it is about happened so recently.

    Or the other one is open, however long that may be; asked in one query.
    """
    is_meant = Q(fingerprint=fingerprint, last_seen_at__gt=Now() - age)
    if or_is_open:
        is_meant |= Q(fingerprint=or_is_open)
    return Case.objects.filter(is_meant, status__in=IS_OPEN).exists()


def was_told(fingerprint: str, *, cause: str = "") -> bool:
    """Whether there was ever a case about this, or about this for the same cause."""
    about = {"fingerprint": fingerprint, **({"cause": cause[:200]} if cause else {})}
    return Case.objects.filter(**about).exists()


@retry_on_conflict
def claim_case(*, case_id: UUID, staff_id: UUID, version: int) -> None:
    """Take a case for 15 minutes; again by the same person: 15 minutes more.

    Raises:
        CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: it cannot be taken.
    """
    case = _lock_unchanged(case_id, version)
    now = read_clock()
    _refuse_if_taken(case, staff_id, now)
    until = now + CLAIM
    if case.status == CaseStatus.CLAIMED and case.claimed_by_id == staff_id:
        Case.objects.filter(pk=case.pk).update(claimed_until=until)
        return
    if case.status == CaseStatus.CLAIMED:
        _move(case, CaseStatus.OPEN, audit.Actor.system("lease"), **_UNCLAIMED)
    claim = {"claimed_by_id": staff_id, "claimed_until": until}
    _move(case, CaseStatus.CLAIMED, audit.Actor.staff(staff_id), **claim)


_UNCLAIMED: dict[str, Any] = {"claimed_by": None, "claimed_until": None}


@retry_on_conflict
def give_back_case(*, case_id: UUID, staff_id: UUID, version: int) -> None:
    """Let colleagues take a claimed case.

    Raises:
        CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: it is not theirs.
    """
    case = _lock_unchanged(case_id, version)
    _refuse_if_taken(case, staff_id, read_clock())
    if case.status not in IS_OPEN:  # from there, OPEN means that it happened again
        raise InvalidState("The case is closed.")
    _move(case, CaseStatus.OPEN, audit.Actor.staff(staff_id), **_UNCLAIMED)


@transaction_required
def close_case(
    *, case_id: UUID, staff_id: UUID, version: int, to: CaseStatus, reason: str
) -> Case:
    """A person is done with a case: RESOLVED, or DISCARDED since nothing is to be done.

    Raises:
        ValidationFailed: without a reason.
        CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: it cannot be closed.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why: whoever reads this later was not here.")
    case = _lock_unchanged(case_id, version)
    _refuse_if_taken(case, staff_id, read_clock())
    _close(case, to, reason, actor=audit.Actor.staff(staff_id))
    return case


@retry_on_conflict
def resolve_case(
    *, case_id: UUID, staff_id: UUID, version: int, reason: str, evidence: str = ""
) -> None:
    """A person has done what was to be done; the case keeps what shows it.

    Raises:
        ValidationFailed, CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: as
            `close_case`.
    """
    case = close_case(
        case_id=case_id,
        staff_id=staff_id,
        version=version,
        to=CaseStatus.RESOLVED,
        reason=reason,
    )
    if evidence:
        # After that of an earlier closing, if the case was opened again since.
        shown = _after(case.evidence, evidence)
        Case.objects.filter(pk=case.pk).update(evidence=shown)


@retry_on_conflict
def note_evidence(
    *, case_id: UUID, staff_id: UUID, version: int, evidence: str
) -> None:
    """Keep what a person found out about a case, which stays open.

    Raises:
        ValidationFailed: without evidence.
        CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: leave it alone.
    """
    if not evidence.strip():
        raise ValidationFailed(evidence="Say what you found out.")
    case = _lock_free(case_id, staff_id, version)
    Case.objects.filter(pk=case.pk).update(
        evidence=_after(case.evidence, evidence), version=case.version + 1
    )
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="case.noted",
        subject="case",
        ids=[case.pk],
    )


def _after(earlier: str, evidence: str) -> str:
    return "\n\n".join(filter(None, [earlier, evidence]))


@retry_on_conflict
def discard_case(*, case_id: UUID, staff_id: UUID, version: int, reason: str) -> None:
    """A person found that nothing is to be done.

    Raises:
        ValidationFailed, CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: as
            `close_case`.
    """
    close_case(
        case_id=case_id,
        staff_id=staff_id,
        version=version,
        to=CaseStatus.DISCARDED,
        reason=reason,
    )


@retry_on_conflict
def require_free(*, case_id: UUID, staff_id: UUID, version: int) -> None:
    """Before work on what a case is about: it is open, and no colleague has it.

    Raises:
        CaseNotFound, CaseIsTaken, CaseHasChanged, InvalidState: leave it alone.
    """
    _lock_free(case_id, staff_id, version)


@retry_on_conflict
def require_unclaimed(fingerprint: str, *, staff_id: UUID) -> None:
    """Before work on something whose case a colleague may have claimed.

    Raises:
        CaseIsTaken: somebody else has it.
    """
    case = lock_case_of(fingerprint)
    if case is not None and case.status in IS_OPEN:
        _refuse_if_taken(case, staff_id, read_clock())


@transaction_required
def _lock_free(case_id: UUID, staff_id: UUID, version: int) -> Case:
    case = _lock_unchanged(case_id, version)
    _refuse_if_taken(case, staff_id, read_clock())
    if case.status not in IS_OPEN:
        raise InvalidState("The case is closed.")
    return case


@retry_on_conflict
def give_back_stale_claims(*, limit: int) -> int:
    """Claimed cases whose 15 minutes are over are free again; returns how many."""
    stale = lock_stale_claims(limit)
    for case in stale:
        _move(case, CaseStatus.OPEN, audit.Actor.system("sweep"), **_UNCLAIMED)
    return len(stale)


def _lock_unchanged(case_id: UUID, version: int) -> Case:
    case = lock_case(case_id)
    if case.version != version:
        raise CaseHasChanged("Look at it again, then decide.")
    return case


def _refuse_if_taken(case: Case, staff_id: UUID, now: datetime) -> None:
    if case.claimed_until is None or case.claimed_by_id == staff_id:
        return
    if case.claimed_until > now:
        raise CaseIsTaken(f"A colleague works on it until {case.claimed_until:%H:%M}Z.")


@transaction_required
def _close(case: Case, to: str, reason: str, *, actor: audit.Actor) -> None:
    _move(
        case,
        to,
        actor,
        closed_at=Now(),
        closed_by=actor.id,
        close_reason=reason[:200],
        **_UNCLAIMED,
    )


@transaction_required
def _move(case: Case, to: str, actor: audit.Actor, **values: Any) -> None:
    require_move(CASE_MOVES, case.status, to)
    Case.objects.filter(pk=case.pk).update(
        status=to, version=case.version + 1, **values
    )
    verb = "given_back" if to == CaseStatus.OPEN else to.lower()
    _record_move(case.pk, f"case.{verb}", (case.status, to), actor)
    if to not in IS_OPEN:
        _publish(case.pk, "recovery.case_closed", case.kind)
    case.status, case.version = to, case.version + 1


@transaction_required
def _tell(
    case_id: UUID, verb: str, kind: str, move: tuple[str, str], part: str
) -> None:
    _record_move(case_id, f"case.{verb}", move, audit.Actor.system(part))
    _publish(case_id, "recovery.case_opened", kind)


def _record_move(
    case_id: UUID, action: str, move: tuple[str, str], actor: audit.Actor
) -> None:
    audit.record(actor=actor, action=action, subject="case", ids=[case_id], move=move)


def _publish(case_id: UUID, event: str, kind: str) -> None:
    outbox.publish(event, subject="case", facts={case_id: {"kind": kind}})


register(
    Kind(
        "webhook_failure",
        CaseSeverity.MEDIUM,
        "support",
        "A webhook could not be processed.",
        opened_when="a critical webhook fails, or another gives up",
        closes_itself_when="it is processed",
        actions=("replay", "ignore"),
    ),
    Kind(
        "dead_letter",
        CaseSeverity.HIGH,
        "operations",
        "A piece of work gave up after all its attempts.",
        opened_when="another row gives up",
        closes_itself_when="it succeeds",
        actions=("retry", "discard"),
    ),
    Kind(
        "workflow_stuck",
        CaseSeverity.HIGH,
        "operations",
        "A workflow does not come to its end by itself.",
        opened_when="another workflow is over its time limit, used up its attempts, or"
        " is unknown",
        closes_itself_when="it finishes",
        actions=("resume", "abandon"),
    ),
    Kind(
        "provider_configuration",
        CaseSeverity.CRITICAL,
        "operations",
        "A provider refuses our credentials; its queue waits.",
        opened_when="a provider refuses our credentials",
        closes_itself_when="a call succeeds",
        actions=("resume",),
    ),
    Kind(
        "invariant_violation",
        CaseSeverity.CRITICAL,
        "operations",
        "Rows break a rule that must always hold.",
        opened_when="`check_invariants` finds rows that break a rule",
        closes_itself_when="the check is clean again",
    ),
)
