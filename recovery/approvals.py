"""Four eyes: what one member of staff proposes, and another one agrees to.

A service that may not act alone raises `ApprovalRequired` with a `Proposal`; whoever
shows that to a person gives it to `propose`. What is agreed to is done in the same
transaction, with the terms that were proposed: `Kind.execute` locks what it is about
and refuses if that is not the same any more. Then nothing is changed and the proposal
stays, since what stands in the way may pass; else it is withdrawn, or its time ends.

The row of an approval is written last of all (bookings/locks.py): of two who decide at
once the second one finds it decided, and all that they did is undone.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F, QuerySet

from recovery import audit
from recovery.errors import AlreadyProposed, ApprovalHasChanged, NotYours
from recovery.locks import (
    lock_approval,
    lock_approvals_about,
    lock_expired_approvals,
)
from recovery.models import Approval
from recovery.states import APPROVAL_MOVES, ApprovalStatus
from slotbase.lib.backoffice import of_own_venues, works_at
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, NotFound, ValidationFailed
from slotbase.lib.ids import uuid7
from slotbase.lib.masking import ERASED
from slotbase.lib.states import require_move


@dataclass(frozen=True)
class Kind:
    """What can be proposed: who may agree to it, and what is done then.

    `execute(approval, approver_id, looked)` is part of the transaction that agrees.
    `look(terms)` is asked before that, since it may call a provider. `describe(terms)`
    says in words what will be done. `typed` are the names in the terms under which
    stands what staff wrote: it goes when whom it is about is erased.
    """

    name: str
    label: str
    permission: str
    execute: Callable[[Approval, UUID, Any], None]
    describe: Callable[[Mapping[str, Any]], list[str]]
    look: Callable[[Mapping[str, Any]], Any] = lambda _terms: None
    typed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Proposal:
    """What is to be done: words for staff, and `terms` that never change."""

    kind: str
    title: str
    subject_type: str
    subject_id: str
    terms: Mapping[str, Any] = field(default_factory=dict)
    amount_minor: int | None = None
    currency: str = ""
    venue_id: int | None = None


#: Ids, here and at providers, and currencies.
_KEPT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z]+_\w+|[A-Z]{3}")
UNREADABLE = "It comes from another version: let it be proposed anew."

_kinds: dict[str, Kind] = {}


def register(*kinds: Kind) -> None:
    """Make kinds known; each app registers its own."""
    _kinds.update({kind.name: kind for kind in kinds})


def registered() -> Mapping[str, Kind]:
    """All kinds, by name."""
    return _kinds


def describe(approval: Approval) -> list[str] | None:
    """What will be done, in words; None: its terms are of another version."""
    kind = _kinds.get(approval.kind)
    try:
        return kind.describe(approval.terms) if kind else None
    except (KeyError, TypeError, ValueError):
        return None


# --- Proposing ----------------------------------------------------------------


@retry_on_conflict
def propose(proposal: Proposal, *, staff_id: UUID, reason: str) -> Approval:
    """Ask a colleague to agree; it is open for `APPROVAL_SECONDS`.

    Raises:
        ValidationFailed: without a reason.
        AlreadyProposed: there is an open proposal of this kind about this.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why: a colleague has to agree.")
    new = Approval(id=uuid7(), reason=reason, proposed_by_id=staff_id, **vars(proposal))
    new.expires_at = read_clock() + timedelta(seconds=settings.APPROVAL_SECONDS)
    _make_room(proposal)
    # Of two at once one inserts; the other waits for it and then finds it there.
    Approval.objects.bulk_create([new], ignore_conflicts=True)
    if not Approval.objects.filter(pk=new.pk).exists():
        raise AlreadyProposed(_who_proposed(proposal))
    _record(new, "proposed", ("", ApprovalStatus.PROPOSED), audit.Actor.staff(staff_id))
    return new


def _open_of(proposal: Proposal) -> QuerySet[Approval]:
    return Approval.objects.filter(
        status=ApprovalStatus.PROPOSED,
        kind=proposal.kind,
        subject_type=proposal.subject_type,
        subject_id=proposal.subject_id,
    )


@transaction_required
def _make_room(proposal: Proposal) -> None:
    """One whose time is over stands in nobody's way, even if no sweep has seen it."""
    over = _open_of(proposal).filter(expires_at__lte=Now())
    for pk in over.values_list("pk", flat=True):
        approval = lock_approval(pk)
        if approval.status == ApprovalStatus.PROPOSED:
            _end(approval, ApprovalStatus.EXPIRED, audit.Actor.system("approvals"))


def _who_proposed(proposal: Proposal) -> str:
    earlier = _open_of(proposal).select_related("proposed_by").first()
    return str(earlier.proposed_by) if earlier else "Somebody"


def list_open(subject_type: str, *subject_ids: Any) -> list[Approval]:
    """What waits for a second person about these, the oldest first."""
    found = Approval.objects.filter(
        subject_type=subject_type,
        subject_id__in=[str(each) for each in subject_ids],
        status=ApprovalStatus.PROPOSED,
        expires_at__gt=Now(),
    )
    return list(found.select_related("proposed_by", "venue").order_by("pk"))


def count_waiting(user: Any) -> int:
    """How many proposals wait for this person to agree or to refuse."""
    kinds = [each.name for each in _kinds.values() if user.has_perm(each.permission)]
    if not kinds:
        return 0
    found = Approval.objects.filter(
        kind__in=kinds, status=ApprovalStatus.PROPOSED, expires_at__gt=Now()
    ).exclude(proposed_by=user)
    return of_own_venues(found, user, "venue").count()


# --- Deciding -----------------------------------------------------------------


def approve(*, approval_id: UUID, staff_id: UUID, version: int) -> None:
    """Agree to what a colleague proposed: it is done now, or nothing is.

    Raises:
        NotFound: there is none.
        NotYours: this person may not agree to it, such as to their own.
        InvalidState, ApprovalHasChanged: it is decided, or its time is over.
        DomainError: whatever the service refuses that does it.
    """
    approval = _get(approval_id)
    _require_open(approval, version)
    _require_second_person(approval, staff_id)
    if describe(approval) is None:
        raise InvalidState(UNREADABLE)
    looked = _kinds[approval.kind].look(approval.terms)
    _approve(approval_id, staff_id, version, looked)


@retry_on_conflict
def _approve(approval_id: UUID, staff_id: UUID, version: int, looked: Any) -> None:
    approval = _get(approval_id)
    _require_open(approval, version)
    _require_second_person(approval, staff_id)
    _kinds[approval.kind].execute(approval, staff_id, looked)
    # It took its locks first, and may have waited: only now is it decided.
    still_open = Approval.objects.filter(
        pk=approval.pk,
        status=ApprovalStatus.PROPOSED,
        version=version,
        expires_at__gt=Now(),
    )
    if not _write_end(still_open, ApprovalStatus.APPROVED, decided_by_id=staff_id):
        raise ApprovalHasChanged("It was decided meanwhile, or its time is over.")
    move = (ApprovalStatus.PROPOSED, ApprovalStatus.APPROVED)
    _record(approval, "approved", move, audit.Actor.staff(staff_id))


@retry_on_conflict
def refuse(*, approval_id: UUID, staff_id: UUID, version: int, reason: str) -> None:
    """Say no to what a colleague proposed, and why.

    Raises:
        ValidationFailed: without a reason.
        NotFound, NotYours, InvalidState, ApprovalHasChanged: as `approve`.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why: whoever proposed it reads this.")
    approval = lock_approval(approval_id)
    _require_open(approval, version)
    _require_second_person(approval, staff_id)
    actor = audit.Actor.staff(staff_id)
    _end(approval, ApprovalStatus.REFUSED, actor, decided_by_id=staff_id, why=reason)


@retry_on_conflict
def withdraw(*, approval_id: UUID, staff_id: UUID, version: int) -> None:
    """Whoever proposed it does not want it any more.

    Raises:
        NotYours: somebody else proposed it.
        NotFound, InvalidState, ApprovalHasChanged: as `approve`.
    """
    approval = lock_approval(approval_id)
    if approval.proposed_by_id != staff_id:
        raise NotYours("Only whoever proposed it can withdraw it.")
    _require_open(approval, version)
    actor = audit.Actor.staff(staff_id)
    _end(approval, ApprovalStatus.WITHDRAWN, actor, decided_by_id=staff_id)


@retry_on_conflict
def expire_due(*, limit: int) -> int:
    """End proposals to which nobody agreed in time; returns how many."""
    over = lock_expired_approvals(limit)
    for approval in over:
        _end(approval, ApprovalStatus.EXPIRED, audit.Actor.system("approvals"))
    return len(over)


@transaction_required
def forget_about(subject_ids: Collection[str]) -> None:
    """Nobody agrees to these any more, and nothing that was typed in them is left.

    Ids and amounts stay in the terms: books are compared with them.
    """
    for approval in lock_approvals_about(subject_ids):
        if approval.status == ApprovalStatus.PROPOSED:
            _end(approval, ApprovalStatus.EXPIRED, audit.Actor.system("erasures"))
        Approval.objects.filter(pk=approval.pk).update(
            title=ERASED,
            reason="",
            decision_reason="",
            terms=_without_typed(approval.terms, _kinds.get(approval.kind)),
        )


def _without_typed(value: Any, kind: Kind | None, name: str = "") -> Any:
    """The same structure. Of a kind that is not there any more only ids are kept."""
    if isinstance(value, dict):
        return {key: _without_typed(each, kind, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_typed(each, kind, name) for each in value]
    is_kept = name not in kind.typed if kind else _KEPT.fullmatch(str(value))
    return value if is_kept or not isinstance(value, str) else ERASED


def _get(approval_id: UUID) -> Approval:
    approval = Approval.objects.filter(pk=approval_id).first()
    if approval is None:
        raise NotFound
    return approval


def _require_open(approval: Approval, version: int) -> None:
    require_move(APPROVAL_MOVES, approval.status, ApprovalStatus.REFUSED)
    if approval.expires_at <= read_clock():
        raise InvalidState("Its time is over: let it be proposed anew.")
    if approval.version != version:
        raise ApprovalHasChanged


def _require_second_person(approval: Approval, staff_id: UUID) -> None:
    """Another one, who is still here, may do it, and works there; superusers too."""
    if why := why_not(approval, staff_id):
        raise NotYours(why)


def why_not(approval: Approval, staff_id: UUID) -> str:
    """Why this person may not agree to it, in words; empty if they may."""
    if approval.proposed_by_id == staff_id:
        return "You proposed it yourself: somebody else has to agree."
    people: Any = get_user_model().objects.filter(is_active=True, is_staff=True)
    if not people.filter(pk=approval.proposed_by_id).exists():
        return "Whoever proposed it does not work here any more."
    approver, kind = people.filter(pk=staff_id).first(), _kinds.get(approval.kind)
    if not (approver and kind and approver.has_perm(kind.permission)):
        return "You may not agree to this."
    if not works_at(approver, approval.venue_id):
        return "It belongs to a venue where you do not work."
    return ""


@transaction_required
def _end(
    approval: Approval,
    to: ApprovalStatus,
    actor: audit.Actor,
    *,
    decided_by_id: UUID | None = None,
    why: str = "",
) -> None:
    """PROPOSED -> anything but done, for a locked row."""
    require_move(APPROVAL_MOVES, approval.status, to)
    _write_end(
        Approval.objects.filter(pk=approval.pk),
        to,
        decided_by_id=decided_by_id,
        decision_reason=why,
    )
    _record(approval, to.lower(), (ApprovalStatus.PROPOSED, to), actor)


@transaction_required
def _write_end(rows: QuerySet[Approval], to: ApprovalStatus, **values: Any) -> int:
    return rows.update(status=to, decided_at=Now(), version=F("version") + 1, **values)


@transaction_required
def _record(
    approval: Approval, verb: str, move: tuple[str, str], actor: audit.Actor
) -> None:
    audit.record(
        actor=actor,
        action=f"approval.{verb}",
        subject="approval",
        ids=[approval.pk],
        move=move,
    )
