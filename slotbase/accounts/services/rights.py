"""What staff may do, and who decides about it: two people, and nobody about themselves.

Nobody has rights and no second factor: whoever set the password would have them too.
To lock somebody out is the one thing that needs nobody else: it cannot wait. And where
nobody else may agree yet, on the first day, a superuser acts alone, which is told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.models import Group
from django.db.models import F, Q

from recovery import approvals, audit
from recovery.approvals import Kind, Proposal
from recovery.errors import ApprovalRequired
from recovery.models import Approval
from slotbase.accounts.errors import NoSecondFactor, RightsHaveChanged
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import User, Venue, VenueStaff
from slotbase.accounts.services import break_glass, second_factors
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import Forbidden

KIND, MAY_APPROVE = "rights", "accounts.approve_rights"
ALONE = "user.rights_changed_alone"


@dataclass(frozen=True)
class Rights:
    """What somebody may do where: names of groups, slugs of venues, each in order."""

    groups: tuple[str, ...]
    venues: tuple[str, ...]
    is_active: bool
    is_superuser: bool

    @classmethod
    def read(cls, terms: Mapping[str, Any]) -> Self:
        """From JSON, which has lists."""
        lists = {name: tuple(sorted(terms[name])) for name in ("groups", "venues")}
        return cls(**{**terms, **lists})

    def say(self) -> dict[str, str]:
        """For people, a line each."""
        return {
            "groups": _join(self.groups),
            "works at": _join(self.venues),
            "may sign in": "yes" if self.is_active else "no",
            "superuser": "yes" if self.is_superuser else "no",
        }


def _join(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def rights_of(user: User) -> Rights:
    """What somebody has now."""
    return Rights(
        groups=tuple(user.groups.order_by("name").values_list("name", flat=True)),
        venues=tuple(user.venues.order_by("slug").values_list("slug", flat=True)),
        is_active=user.is_active,
        is_superuser=user.is_superuser,
    )


def change_rights(
    *, user_id: UUID, before: Rights, after: Rights, staff_id: UUID, reason: str
) -> bool:
    """Whether it is done now; else it was proposed, and waits for a second person.

    `before` is what was seen when this was decided.

    Raises:
        Forbidden: about themselves, about a superuser, or to make one.
        RightsHaveChanged: they have others than `before` by now.
        NoSecondFactor: they get more, and a password would open all of it.
        ValidationFailed, AlreadyProposed: it cannot be proposed.
    """
    try:
        _change_alone(user_id, before, after, staff_id)
    except ApprovalRequired as needed:
        approvals.propose(needed.proposal, staff_id=staff_id, reason=reason)
        return False
    return True


@retry_on_conflict
def _change_alone(user_id: UUID, before: Rights, after: Rights, staff_id: UUID) -> None:
    user = _lock_unchanged(user_id, before)
    staff = User.objects.get(pk=staff_id)
    require_other(user, staff)
    if after.is_superuser and not user.is_superuser:
        raise Forbidden("Nobody becomes a superuser here.")
    _require_factor(user, before, after)
    is_lock_out = after == replace(before, is_active=False)
    if not is_lock_out and not may_act_alone(staff):
        raise ApprovalRequired(_proposal(user, before, after))
    if not is_lock_out:
        title = "A superuser changed what somebody may do, alone"
        break_glass.tell(user_id=staff_id, action=ALONE, title=title)
    _give(user, before, after, audit.Actor.staff(staff_id))


def may_act_alone(staff: User) -> bool:
    """A superuser, where no other member of staff has the right to agree.

    Who is locked out counts, and so does whoever it is about: else a superuser could
    be rid of the only colleague, and give the right to somebody of their own.
    """
    app_label, codename = MAY_APPROVE.split(".")
    right = {"codename": codename, "content_type__app_label": app_label}
    by_group = {f"groups__permissions__{name}": what for name, what in right.items()}
    others = User.objects.filter(is_staff=True).exclude(pk=staff.pk)
    can_agree = others.filter(Q(is_superuser=True) | Q(**by_group))
    return staff.is_superuser and not can_agree.exists()


@transaction_required
def _lock_unchanged(user_id: UUID, before: Rights) -> User:
    user = lock_user(user_id)
    if rights_of(user) != before:
        raise RightsHaveChanged
    return user


@transaction_required
def _require_factor(user: User, before: Rights, after: Rights) -> None:
    """For a locked person who gets more than they have."""
    is_more = (
        not set(before.groups).issuperset(after.groups)
        or not set(before.venues).issuperset(after.venues)
        or after.is_active > before.is_active
    )
    opens_something = bool(after.groups) or after.is_superuser
    if is_more and opens_something and not second_factors.has_factor(user_id=user.pk):
        raise NoSecondFactor(
            "They have no second factor yet: let them sign in once, and make one."
        )


@transaction_required
def require_may_be_given_password(*, user_id: UUID) -> None:
    """One person may set the password of another, as long as it opens nothing alone.

    Raises:
        NoSecondFactor: they have rights, and whoever knows the password has them too.
    """
    user = lock_user(user_id)
    if has_rights(user) and not second_factors.has_factor(user_id=user_id):
        raise NoSecondFactor(
            "They have rights and no second factor: whoever sets their password could"
            " sign in as them. Let a colleague agree to take their rights away first."
        )


def has_rights(user: User) -> bool:
    """Whether they may do anything once they are signed in."""
    return user.is_superuser or user.groups.exists()


def require_other(user: User, staff: User) -> None:
    """Whoever decides about this person.

    Raises:
        Forbidden: about themselves, about a superuser, or about a customer.
    """
    if user.pk == staff.pk:
        raise Forbidden("Nobody decides about their own rights.")
    if user.is_superuser and not staff.is_superuser:
        raise Forbidden("Only a superuser changes a superuser.")
    if not user.is_staff:
        raise Forbidden("Customers have no rights here.")


def require_second(user: User, proposer_id: UUID, approver_id: UUID) -> None:
    """Whoever proposed it still may, and whoever agrees is not whom it is about.

    Raises:
        Forbidden: otherwise.
    """
    if user.pk == approver_id:
        raise Forbidden("Nobody decides about their own rights.")
    require_other(user, User.objects.get(pk=proposer_id))


# --- With a second person ---------------------------------------------------------


def _proposal(user: User, before: Rights, after: Rights) -> Proposal:
    return Proposal(
        KIND,
        "Change what a member of staff may do",
        "user",
        str(user.pk),
        {"before": asdict(before), "after": asdict(after)},
    )


def _execute(approval: Approval, approver_id: UUID, _looked: Any) -> None:
    """A colleague has agreed: as long as they have what they had when it was proposed.

    Whoever proposed it must still be somebody who may.
    """
    before = Rights.read(approval.terms["before"])
    after = Rights.read(approval.terms["after"])
    user = _lock_unchanged(UUID(approval.subject_id), before)
    require_second(user, approval.proposed_by_id, approver_id)
    _require_factor(user, before, after)
    _give(user, before, after, audit.Actor.staff(approver_id))


def _describe(terms: Mapping[str, Any]) -> list[str]:
    before, after = Rights.read(terms["before"]), Rights.read(terms["after"])
    now = after.say()
    return [
        f"{name}: {old}" if old == now[name] else f"{name}: {old} → {now[name]}"
        for name, old in before.say().items()
    ]


approvals.register(
    Kind(KIND, "Rights of staff", MAY_APPROVE, execute=_execute, describe=_describe)
)


# --- It is done -------------------------------------------------------------------


@transaction_required
def end_sessions(*, user_id: UUID) -> None:
    """Whoever is signed in as this person must sign in again, from the next request.

    To be called by whatever changes what they may do or how they show who they are; a
    new password ends sessions by itself.
    """
    people = User.objects.filter(pk=user_id)
    people.update(session_epoch=F("session_epoch") + 1)


@transaction_required
def _give(user: User, before: Rights, after: Rights, actor: audit.Actor) -> None:
    """Exactly these rights, and no session that began with others."""
    user.groups.set(Group.objects.filter(name__in=after.groups))
    VenueStaff.objects.filter(user=user).exclude(venue__slug__in=after.venues).delete()
    VenueStaff.objects.bulk_create(
        [
            VenueStaff(user=user, venue=venue)
            for venue in Venue.objects.filter(slug__in=after.venues)
        ],
        ignore_conflicts=True,
    )
    flags = {"is_active": after.is_active, "is_superuser": after.is_superuser}
    User.objects.filter(pk=user.pk).update(**flags)
    end_sessions(user_id=user.pk)
    for action, reason in _differences(before, after):
        audit.record(
            actor=actor, action=action, subject="user", ids=[user.pk], reason=reason
        )


_ACTIONS = {
    "groups": "user.regrouped",
    "works at": "user.relocated",
    "may sign in": "user.admitted",
    "superuser": "user.empowered",
}


def _differences(before: Rights, after: Rights) -> Iterable[tuple[str, str]]:
    """An entry for each kind of change: `user.regrouped`, from what to what."""
    now = after.say()
    for name, old in before.say().items():
        if old != now[name]:
            yield _ACTIONS[name], f"from {old} to {now[name]}"[:200]
