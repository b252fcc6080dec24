"""Four eyes (S21): what one person proposes is done when another one agrees."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError

from recovery import approvals
from recovery.approvals import Kind, Proposal
from recovery.errors import AlreadyProposed, ApprovalHasChanged, NotYours
from recovery.models import Approval, AuditEntry
from recovery.states import ApprovalStatus
from recovery.tasks import give_back_stale_claims
from slotbase.accounts.models import User
from slotbase.lib.errors import InvalidState, NotFound, ValidationFailed
from slotbase.lib.ids import uuid7
from tests.adversity import Clock
from tests.concurrency.race import at_once, errors_in
from tests.factories import make_staff, make_venue

pytestmark = pytest.mark.django_db(transaction=True)

MAY = "payments.approve_refund"
done: list[tuple[UUID, UUID]] = []


def _do(approval: Approval, approver_id: UUID, _: Any) -> None:
    """What is agreed to leaves a trace that a rollback takes away."""
    if approval.terms.get("refuses"):
        raise InvalidState("It is different now.")
    User.objects.filter(pk=approval.proposed_by_id).update(name="Done")
    done.append((approval.proposed_by_id, approver_id))


def _say(terms: Mapping[str, Any]) -> list[str]:
    if "unreadable" in terms:
        raise KeyError
    return [str(terms)]


@pytest.fixture(autouse=True)
def _kind() -> Iterator[None]:
    done.clear()
    approvals.register(Kind("toy", "Toy", MAY, _do, _say))
    yield
    del approvals._kinds["toy"]


@pytest.fixture
def ana() -> User:
    return make_staff("support", name="Ana Amber")


def make_approver(**over: Any) -> User:
    user = make_staff("support", name="Ben Brown", **over)
    user.user_permissions.add(Permission.objects.get(codename="approve_refund"))
    return user


def propose(by: User, subject: str = "1", **over: Any) -> Approval:
    proposal = Proposal("toy", "Do it", "toy", subject, **over)
    return approvals.propose(proposal, staff_id=by.pk, reason="It broke.")


def approve(approval: Approval, by: User, version: int = 1) -> None:
    approvals.approve(approval_id=approval.pk, staff_id=by.pk, version=version)


def status(approval: Approval) -> str:
    return Approval.objects.get(pk=approval.pk).status


def told(approval: Approval) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.filter(subject_id=str(approval.pk)).order_by("id")
    return list(entries.values_list("action", "actor_id"))


# --- Agreed --------------------------------------------------------------------


def test_a_colleague_agrees_and_it_is_done_with_both_in_the_history(ana: User) -> None:
    """S21: the control of all that is refused below."""
    ben = make_approver()
    approval = propose(ana)
    approve(approval, ben)
    assert done == [(ana.pk, ben.pk)]
    assert status(approval) == ApprovalStatus.APPROVED
    assert told(approval) == [
        ("approval.proposed", str(ana.pk)),
        ("approval.approved", str(ben.pk)),
    ]


def test_what_is_refused_when_it_is_done_changes_nothing_and_stays(ana: User) -> None:
    """S21: the amount was edited; whoever proposed it can still withdraw it."""
    approval = propose(ana, terms={"refuses": True})
    with pytest.raises(InvalidState, match="different"):
        approve(approval, make_approver())
    assert status(approval) == ApprovalStatus.PROPOSED
    assert told(approval) == [("approval.proposed", str(ana.pk))]


# --- By whom --------------------------------------------------------------------


def test_nobody_agrees_to_their_own(ana: User) -> None:
    """S21: self-approval, whatever rights they have."""
    ana.user_permissions.add(Permission.objects.get(codename="approve_refund"))
    approval = propose(ana)
    with pytest.raises(NotYours, match="yourself"):
        approve(approval, ana)
    assert (done, status(approval)) == ([], ApprovalStatus.PROPOSED)


def test_a_superuser_needs_a_second_person_too() -> None:
    """S21: by a superuser for themselves."""
    root = make_staff(is_superuser=True)
    approval = propose(root)
    with pytest.raises(NotYours, match="yourself"):
        approve(approval, root)
    assert done == []


@pytest.mark.parametrize(
    "over", [{"is_active": False}, {"is_staff": False}], ids=["inactive", "not staff"]
)
def test_who_works_here_no_more_agrees_to_nothing(ana: User, over: Any) -> None:
    """S21: by an inactive person."""
    approval, ben = propose(ana), make_approver()
    User.objects.filter(pk=ben.pk).update(**over)
    with pytest.raises(NotYours, match="may not"):
        approve(approval, ben)
    assert done == []


def test_nobody_agrees_with_somebody_who_was_dismissed_meanwhile(ana: User) -> None:
    """S21: both are active."""
    approval = propose(ana)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    with pytest.raises(NotYours, match="any more"):
        approve(approval, make_approver())
    assert done == []


def test_it_takes_the_permission(ana: User) -> None:
    """S21: any colleague is not enough."""
    approval = propose(ana)
    with pytest.raises(NotYours):
        approve(approval, make_staff("support"))
    assert done == []


def test_somebody_of_another_venue_agrees_to_nothing(ana: User) -> None:
    """S21: by somebody of another venue; the control works there."""
    here, there = make_venue(), make_venue()
    approval = propose(ana, venue_id=here.pk)
    with pytest.raises(NotYours, match="venue"):
        approve(approval, make_approver(venues=[there]))
    assert done == []
    approve(approval, make_approver(venues=[here]))
    assert len(done) == 1


def test_without_the_guard_a_stranger_agrees_and_a_constraint_stops_oneself(
    ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the refusals above; the last one the database makes as well."""
    monkeypatch.setattr(approvals, "why_not", lambda *_: "")
    approve(propose(ana, venue_id=make_venue().pk), make_staff(is_active=False))
    assert len(done) == 1
    with pytest.raises(IntegrityError, match="recovery_approval_second_person"):
        approve(propose(ana), ana)


# --- In time, and once ------------------------------------------------------------


def test_a_day_later_it_is_over_even_before_a_sweep_sees_it(
    ana: User, clock: Clock
) -> None:
    """S21: expired."""
    approval = propose(ana)
    clock.move(hours=24, seconds=1)
    with pytest.raises(InvalidState, match="time is over"):
        approve(approval, make_approver())
    assert done == []
    give_back_stale_claims()
    assert status(approval) == ApprovalStatus.EXPIRED
    assert told(approval)[-1] == ("approval.expired", "approvals")


def test_what_is_over_keeps_nobody_from_proposing_anew(ana: User, clock: Clock) -> None:
    """No sweep has seen it yet."""
    old = propose(ana)
    clock.move(hours=24, seconds=1)
    new = propose(ana)
    assert (status(old), status(new)) == ("EXPIRED", "PROPOSED")


def test_the_second_proposal_is_told_who_made_the_first(ana: User) -> None:
    """One open proposal of a kind about one thing."""
    propose(ana)
    with pytest.raises(AlreadyProposed, match="Ana Amber"):
        propose(make_staff("support"))
    assert propose(ana, subject="2").status == ApprovalStatus.PROPOSED


def test_of_many_who_propose_at_once_one_does(ana: User) -> None:
    outcomes = at_once([lambda: propose(ana) for _ in range(5)])
    assert [type(error) for error in errors_in(outcomes)] == [AlreadyProposed] * 4
    assert Approval.objects.count() == 1


def test_of_two_who_agree_at_once_one_does_it(ana: User) -> None:
    """S21: two approvals racing."""
    approval, people = propose(ana), [make_approver() for _ in range(4)]
    outcomes = at_once([lambda by=by: approve(approval, by) for by in people])
    assert len(errors_in(outcomes)) == 3
    assert [entry for entry, _ in told(approval)].count("approval.approved") == 1


@pytest.mark.breaks_invariants
def test_without_the_last_look_both_do_it(
    ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the row says once that it is decided, and nothing else does."""
    monkeypatch.setattr(approvals, "_require_open", lambda *_: None)
    monkeypatch.setattr(approvals, "_write_end", lambda *_, **__: 1)
    approval = propose(ana)
    approve(approval, make_approver())
    approve(approval, make_approver())
    assert len(done) == 2


def test_of_agreeing_and_withdrawing_at_once_one_wins(ana: User) -> None:
    """S21: what is withdrawn is not done, and the other way round."""
    approval, ben = propose(ana), make_approver()
    outcomes = at_once(
        [lambda: approve(approval, ben), lambda: withdraw(approval, ana)]
    )
    assert len(errors_in(outcomes)) == 1
    was_done = User.objects.get(pk=ana.pk).name == "Done"
    assert was_done == (status(approval) == ApprovalStatus.APPROVED)


def test_what_another_version_proposed_is_not_done(ana: User) -> None:
    """Nobody agrees to what cannot be shown; it ends, or is refused."""
    approval, ben = propose(ana, terms={"unreadable": True}), make_approver()
    with pytest.raises(InvalidState):
        approve(approval, ben)
    assert done == []
    refuse(approval, ben)


def test_a_kind_that_this_version_does_not_know_is_not_done(ana: User) -> None:
    approval = propose(ana)
    Approval.objects.filter(pk=approval.pk).update(kind="gone")
    with pytest.raises(NotYours):
        approve(approval, make_approver())


# --- Not agreed -------------------------------------------------------------------


def withdraw(approval: Approval, by: User) -> None:
    approvals.withdraw(approval_id=approval.pk, staff_id=by.pk, version=1)


def refuse(approval: Approval, by: User, reason: str = "No.", version: int = 1) -> None:
    approvals.refuse(
        approval_id=approval.pk, staff_id=by.pk, version=version, reason=reason
    )


def test_a_colleague_says_no_and_why(ana: User) -> None:
    approval, ben = propose(ana), make_approver()
    with pytest.raises(ValidationFailed):
        refuse(approval, ben, reason=" ")
    refuse(approval, ben)
    approval.refresh_from_db()
    assert (approval.status, approval.decision_reason) == ("REFUSED", "No.")
    with pytest.raises(InvalidState):
        approve(approval, ben, version=2)
    assert done == []


def test_who_may_not_agree_may_not_refuse(ana: User) -> None:
    approval = propose(ana)
    with pytest.raises(NotYours):
        refuse(approval, make_staff("front_desk"))
    with pytest.raises(NotYours):
        refuse(approval, ana)


def test_whoever_proposed_it_withdraws_it_and_nobody_else(ana: User) -> None:
    approval = propose(ana)
    with pytest.raises(NotYours):
        withdraw(approval, make_approver())
    withdraw(approval, ana)
    assert status(approval) == ApprovalStatus.WITHDRAWN


def test_another_version_is_not_decided(ana: User) -> None:
    approval, ben = propose(ana), make_approver()
    with pytest.raises(ApprovalHasChanged):
        approve(approval, ben, version=2)
    with pytest.raises(ApprovalHasChanged):
        refuse(approval, ben, version=2)


def test_it_is_proposed_with_a_reason(ana: User) -> None:
    proposal = Proposal("toy", "Do it", "toy", "1")
    with pytest.raises(ValidationFailed) as refused:
        approvals.propose(proposal, staff_id=ana.pk, reason="  ")
    assert "reason" in refused.value.extra["errors"]


def test_what_is_not_there_is_not_found(ana: User) -> None:
    with pytest.raises(NotFound):
        approvals.approve(approval_id=uuid7(), staff_id=ana.pk, version=1)
