"""Taking away the second factor of whoever lost phone and codes: by two people.

Whoever can do that alone, and set a password, can sign in as anybody. So nothing is
taken away while somebody else may know the password of who has rights.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from recovery import approvals, audit
from recovery.approvals import Kind, Proposal
from recovery.errors import ApprovalRequired
from recovery.models import Approval
from slotbase.accounts.errors import PasswordIsGiven, RightsHaveChanged
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import SecondFactor, User
from slotbase.accounts.services import break_glass, passwords, rights, second_factors
from slotbase.lib.db import retry_on_conflict, transaction_required

KIND = "second_factor_reset"
ALONE = "user.second_factor_reset_alone"


def reset(*, user_id: UUID, staff_id: UUID, reason: str) -> bool:
    """Whether it is done now; else it was proposed, and waits for a second person.

    Raises:
        Forbidden: about themselves, or about a superuser.
        RightsHaveChanged: there is no second factor.
        PasswordIsGiven: somebody else may know what would be all that is needed.
        ValidationFailed, AlreadyProposed: it cannot be proposed.
    """
    try:
        _reset_alone(user_id, staff_id)
    except ApprovalRequired as needed:
        approvals.propose(needed.proposal, staff_id=staff_id, reason=reason)
        return False
    return True


@retry_on_conflict
def _reset_alone(user_id: UUID, staff_id: UUID) -> None:
    user, staff = lock_user(user_id), User.objects.get(pk=staff_id)
    rights.require_other(user, staff)
    _require_own_password(user)
    enrolled = _enrolled(user_id)
    if not rights.may_act_alone(staff):
        raise ApprovalRequired(_proposal(user_id, enrolled))
    title = "A superuser took away a second factor, alone"
    break_glass.tell(user_id=staff_id, action=ALONE, title=title)
    second_factors.take_away(user_id=user_id, actor=audit.Actor.staff(staff_id))


@transaction_required
def _require_own_password(user: User) -> None:
    if rights.has_rights(user) and passwords.was_given(user_id=user.pk):
        raise PasswordIsGiven


@transaction_required
def _enrolled(user_id: UUID) -> str:
    """Which factor it is: another one has another stamp."""
    factor = SecondFactor.objects.filter(user_id=user_id).first()
    if factor is None or factor.confirmed_at is None:
        raise RightsHaveChanged("There is no second factor: they make one next time.")
    return factor.confirmed_at.isoformat()


def _proposal(user_id: UUID, enrolled: str) -> Proposal:
    title = "Take away a second factor"
    return Proposal(KIND, title, "user", str(user_id), {"enrolled": enrolled})


def _execute(approval: Approval, approver_id: UUID, _looked: Any) -> None:
    """A colleague has agreed: as long as it is the factor that was meant."""
    user = lock_user(UUID(approval.subject_id))
    rights.require_second(user, approval.proposed_by_id, approver_id)
    _require_own_password(user)
    if _enrolled(user.pk) != approval.terms["enrolled"]:
        raise RightsHaveChanged("They have another second factor by now.")
    second_factors.take_away(user_id=user.pk, actor=audit.Actor.staff(approver_id))


def _describe(terms: Mapping[str, Any]) -> list[str]:
    return [
        f"The second factor of {terms['enrolled'][:10]} and all recovery codes go.",
        "All sessions end; the next sign-in with the password makes another factor.",
    ]


approvals.register(
    Kind(
        KIND,
        "Second factors of staff",
        rights.MAY_APPROVE,
        execute=_execute,
        describe=_describe,
    )
)
