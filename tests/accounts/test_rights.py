"""What staff may do is decided by two people (matrix 5.1), and counts at once (F73)."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from recovery import approvals
from recovery.errors import NotYours
from recovery.models import Alert, Approval
from recovery.states import ApprovalStatus
from slotbase.accounts.errors import RightsHaveChanged
from slotbase.accounts.models import User
from slotbase.accounts.services import rights
from slotbase.lib.errors import Forbidden
from tests.accounts.staff import entries, give_factor
from tests.accounts.test_admin_people import ask, page_of, rights_of
from tests.adversity import Clock
from tests.factories import make_staff, make_venue

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga")


@pytest.fixture
def paul() -> User:
    return give_factor(make_staff("operations", name="Paul"))


@pytest.fixture
def root() -> User:
    return give_factor(make_staff(is_superuser=True, name="Rita Root"))


@pytest.fixture
def bob() -> User:
    return give_factor(make_staff("front_desk", name="Bob"))


@pytest.fixture
def operations(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


def groups_of(user: User) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def proposal() -> Approval:
    return Approval.objects.get(status=ApprovalStatus.PROPOSED)


def agree(staff: User) -> None:
    waiting = proposal()
    approvals.approve(
        approval_id=waiting.pk, staff_id=staff.pk, version=waiting.version
    )


def propose(staff: User, user: User, **wanted: Any) -> None:
    """Ask for these rights instead of what they have."""
    before = rights.rights_of(user)
    after = rights.Rights(**{**vars(before), **wanted})
    is_done = rights.change_rights(
        user_id=user.pk, before=before, after=after, staff_id=staff.pk, reason="Why"
    )
    assert not is_done


def test_what_one_proposes_is_done_when_another_agrees(
    operations: Client, olga: User, paul: User, bob: User
) -> None:
    venue = make_venue(slug="lakeside")

    answer = ask(operations, bob, "manager", "support", venues=[venue.slug])

    assert answer.status_code == 302
    assert groups_of(bob) == ["front_desk"], "nothing yet"
    assert proposal().reason == "She moves up"

    agree(paul)

    assert groups_of(bob) == ["manager", "support"]
    assert list(bob.venues.all()) == [venue]
    assert entries(bob) == [
        ("user.regrouped", str(paul.pk), "from front_desk to manager, support"),
        ("user.relocated", str(paul.pk), "from none to lakeside"),
    ]


def test_the_second_person_sees_it_and_presses_approve(
    client: Client, olga: User, paul: User, bob: User
) -> None:
    propose(olga, bob, groups=("manager",))
    waiting = proposal()
    page = reverse("admin:recovery_approval_change", args=[waiting.pk])
    client.force_login(paul)

    listed = client.get(reverse("admin:recovery_approval_changelist"))
    assert "Change what a member of staff may do" in listed.content.decode()
    assert "groups: front_desk → manager" in client.get(page).content.decode()
    client.post(page, {"do": "approve", "version": waiting.version})

    assert groups_of(bob) == ["manager"]


def test_the_proposal_says_what_changes(olga: User, bob: User) -> None:
    propose(olga, bob, groups=("manager",))

    kind = approvals.registered()[rights.KIND]
    assert kind.describe(proposal().terms) == [
        "groups: front_desk → manager",
        "works at: none",
        "may sign in: yes",
        "superuser: no",
    ]


def test_nobody_agrees_to_their_own_proposal(olga: User, bob: User) -> None:
    """Not even where the database is asked directly: a constraint refuses it."""
    propose(olga, bob, groups=("manager",))

    with pytest.raises(NotYours):
        agree(olga)

    assert groups_of(bob) == ["front_desk"]


def test_nobody_agrees_to_what_they_get_themselves(olga: User, paul: User) -> None:
    propose(olga, paul, groups=("operations", "support_lead"))

    with pytest.raises(Forbidden):
        agree(paul)

    assert groups_of(paul) == ["operations"]


@pytest.mark.parametrize("group", ["front_desk", "manager", "support", "auditor"])
def test_others_agree_to_nothing(olga: User, bob: User, group: str) -> None:
    propose(olga, bob, groups=("manager",))

    with pytest.raises(NotYours):
        agree(make_staff(group))

    assert groups_of(bob) == ["front_desk"]


def test_what_changed_meanwhile_is_not_overwritten(
    olga: User, paul: User, bob: User
) -> None:
    """A colleague agrees to what was shown, and to nothing else."""
    propose(olga, bob, groups=("manager",))
    bob.groups.clear()

    with pytest.raises(RightsHaveChanged):
        agree(paul)

    assert groups_of(bob) == []


def test_a_form_of_before_is_refused_and_stays(operations: Client, bob: User) -> None:
    form = operations.get(rights_of(bob)).context["form"]
    bob.groups.clear()

    answer = operations.post(
        rights_of(bob),
        {"seen": form["seen"].value(), "groups": ["manager"], "reason": "A < B"},
    )

    assert answer.status_code == 409
    assert "Somebody changed this meanwhile" in answer.content.decode()
    assert "A &lt; B" in answer.content.decode()
    assert not Approval.objects.exists()


@pytest.mark.parametrize("seen", ["", "nonsense", "[]", "{}", '{"groups": 1}'])
def test_a_form_that_is_not_ours_is_refused(
    operations: Client, bob: User, seen: str
) -> None:
    answer = operations.post(rights_of(bob), {"seen": seen, "reason": "Why"})

    assert answer.status_code == 400
    assert not Approval.objects.exists()


def test_a_second_proposal_about_the_same_person_waits(
    operations: Client, olga: User, bob: User
) -> None:
    ask(operations, bob, "manager")

    answer = ask(operations, bob, "support")

    assert answer.status_code == 409
    assert "Olga proposed this already" in answer.content.decode()


def test_why_must_be_said(operations: Client, bob: User) -> None:
    assert ask(operations, bob, "manager", reason="").status_code == 400
    assert not Approval.objects.exists()


def test_nobody_becomes_a_superuser(operations: Client, root: User, bob: User) -> None:
    """These accounts are made by whoever has a shell, and by nobody else."""
    ask(operations, bob, "front_desk", is_superuser="on", groups=["manager"])

    assert proposal().terms["after"]["is_superuser"] is False
    with pytest.raises(Forbidden):
        propose(root, bob, is_superuser=True)


# --- At once --------------------------------------------------------------------------


def test_somebody_is_locked_out_by_one_person_at_once(
    operations: Client, olga: User, bob: User
) -> None:
    """It cannot wait; to let them in again takes two."""
    theirs = Client()
    theirs.force_login(bob)
    assert theirs.get("/admin/").status_code == 200

    answer = ask(operations, bob, "front_desk", is_active="")

    assert answer.status_code == 302
    assert theirs.get("/admin/").status_code == 302
    assert entries(bob) == [("user.admitted", str(olga.pk), "from yes to no")]

    bob.refresh_from_db()
    propose(olga, bob, is_active=True)
    assert not User.objects.get(pk=bob.pk).is_active


@pytest.mark.parametrize(
    "wanted",
    [
        {"groups": ("front_desk", "manager")},
        {"groups": ()},
        {"venues": ("lakeside",)},
    ],
)
def test_a_session_ends_with_the_rights_it_began_with(
    olga: User, paul: User, bob: User, wanted: dict[str, Any]
) -> None:
    """S17, S40, F73: the page is open, rights change, and the form is sent."""
    make_venue(slug="lakeside")
    theirs = Client()
    theirs.force_login(bob)
    propose(olga, bob, **wanted)
    assert theirs.get("/admin/").status_code == 200

    agree(paul)
    answer = theirs.get("/admin/")

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")
    assert User.objects.get(pk=bob.pk).session_epoch == 1


def test_a_form_that_was_open_changes_nothing_any_more(
    olga: User, paul: User, bob: User
) -> None:
    """F73: somebody of operations is moved to the front desk with a page open."""
    theirs = Client()
    theirs.force_login(paul)
    assert theirs.get(page_of(bob)).status_code == 200
    root = make_staff(is_superuser=True)
    propose(olga, paul, groups=("front_desk",))
    agree(root)

    answer = theirs.post(page_of(bob), {"name": "Mallory"})

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")
    assert User.objects.get(pk=bob.pk).name == "Bob"


# --- Alone ----------------------------------------------------------------------------


def test_a_superuser_acts_alone_where_nobody_could_agree_and_it_is_told(
    client: Client, root: User
) -> None:
    """The first day: there is one account, and nobody else."""
    nina = give_factor(make_staff(name="Nina"))
    client.force_login(root)

    ask(client, nina, "operations")

    assert groups_of(nina) == ["operations"]
    assert [alert.category for alert in Alert.objects.all()] == ["break_glass"]
    told = entries(root)
    assert told == [("user.rights_changed_alone", str(root.pk), "")]


def test_each_time_that_a_superuser_acts_alone_is_told(
    client: Client, root: User
) -> None:
    """The second is no repetition of the first: it is about somebody else."""
    client.force_login(root)

    for name in ("Nina", "Nora"):
        ask(client, give_factor(make_staff(name=name)), "front_desk")

    assert [alert.occurrences for alert in Alert.objects.all()] == [1, 1]


def test_a_superuser_needs_a_second_person_as_soon_as_there_is_one(
    client: Client, root: User, olga: User, bob: User
) -> None:
    client.force_login(root)

    ask(client, bob, "manager")

    assert groups_of(bob) == ["front_desk"]
    assert not Alert.objects.exists()
    agree(olga)
    assert groups_of(bob) == ["manager"]


def test_a_customer_is_no_second_person(root: User, olga: User) -> None:
    """The control of the three below."""
    assert not rights.may_act_alone(root)

    User.objects.filter(pk=olga.pk).update(is_staff=False)

    assert rights.may_act_alone(root)


def test_a_superuser_who_locks_out_the_second_person_is_not_alone(
    client: Client, root: User, olga: User
) -> None:
    """S21: else the next account, of their own, would agree to everything."""
    puppet = give_factor(make_staff(name="Puppet"))
    client.force_login(root)

    ask(client, olga, "operations", is_active="")
    assert not User.objects.get(pk=olga.pk).is_active
    ask(client, puppet, "operations")

    assert groups_of(puppet) == []
    assert proposal().subject_id == str(puppet.pk)


def test_a_superuser_takes_no_right_from_the_only_second_person_alone(
    client: Client, root: User, olga: User
) -> None:
    """S21: the other way to be alone again."""
    give_factor(olga)
    client.force_login(root)

    ask(client, olga, "auditor")

    assert groups_of(olga) == ["operations"]
    assert proposal().subject_id == str(olga.pk)


def test_a_superuser_who_is_locked_out_was_a_second_person_too(root: User) -> None:
    """S21."""
    make_staff(is_superuser=True, is_active=False)

    assert not rights.may_act_alone(root)


def test_operations_never_acts_alone(olga: User, bob: User) -> None:
    propose(olga, bob, groups=("manager",))

    assert groups_of(bob) == ["front_desk"]


def test_a_proposal_of_yesterday_is_over(
    olga: User, paul: User, bob: User, clock: Clock
) -> None:
    propose(olga, bob, groups=("manager",))
    clock.move(hours=25)

    with pytest.raises(Exception, match="Its time is over"):
        agree(paul)

    assert groups_of(bob) == ["front_desk"]


def test_a_right_that_the_proposer_lost_is_not_used(
    root: User, olga: User, paul: User, bob: User
) -> None:
    """Only a superuser changes a superuser, also by the time it is done."""
    other = make_staff(is_superuser=True)
    propose(other, root, groups=("auditor",))
    User.objects.filter(pk=other.pk).update(is_superuser=False)

    with pytest.raises(Forbidden):
        agree(paul)

    assert groups_of(root) == []


def test_without_the_second_person_it_would_be_done(
    olga: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of these tests."""
    monkeypatch.setattr(rights, "may_act_alone", lambda *_, **__: True)

    before = rights.rights_of(bob)
    after = rights.Rights(**{**vars(before), "groups": ("manager",)})
    assert rights.change_rights(
        user_id=bob.pk, before=before, after=after, staff_id=olga.pk, reason=""
    )
    assert groups_of(bob) == ["manager"]
