"""A second factor is taken away by two people (matrix 5.1), and its sessions end."""

import pytest
from django.test import Client
from django.urls import reverse

from recovery import approvals
from recovery.errors import NotYours
from recovery.models import Alert, Approval
from slotbase.accounts.errors import RightsHaveChanged
from slotbase.accounts.models import RecoveryCode, SecondFactor, User
from slotbase.accounts.services import factor_resets
from slotbase.lib.errors import Forbidden
from tests.accounts.phones import enrol
from tests.accounts.staff import entries
from tests.factories import make_customer, make_staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga")


@pytest.fixture
def paul() -> User:
    return make_staff("operations", name="Paul")


@pytest.fixture
def bob() -> User:
    bob = make_staff("front_desk", name="Bob")
    enrol(bob)
    return bob


def page_of(user: User) -> str:
    return reverse("admin:accounts_user_reset_factor", args=[user.pk])


def agree(staff: User) -> None:
    waiting = Approval.objects.get(status="PROPOSED")
    approvals.approve(
        approval_id=waiting.pk, staff_id=staff.pk, version=waiting.version
    )


def has_factor(user: User) -> bool:
    codes = RecoveryCode.objects.filter(user=user)
    return SecondFactor.objects.filter(user=user).exists() or codes.exists()


def propose(staff: User, user: User) -> None:
    assert not factor_resets.reset(user_id=user.pk, staff_id=staff.pk, reason="Lost")


def test_it_is_gone_once_a_colleague_agrees(
    client: Client, olga: User, paul: User, bob: User
) -> None:
    theirs = Client()
    theirs.force_login(bob)
    client.force_login(olga)

    assert client.post(page_of(bob), {"reason": "Lost her phone"}).status_code == 302
    assert has_factor(bob)
    assert theirs.get("/admin/").status_code == 200

    agree(paul)

    assert not has_factor(bob)
    assert theirs.get("/admin/").status_code == 302
    assert entries(bob)[-1] == ("user.second_factor_reset", str(paul.pk), "")


def test_nobody_agrees_to_their_own_wish_or_about_themselves(
    olga: User, paul: User, bob: User
) -> None:
    enrol(paul)
    propose(olga, paul)
    with pytest.raises(NotYours):
        agree(olga)
    with pytest.raises(Forbidden):
        agree(paul)

    assert has_factor(paul)
    with pytest.raises(Forbidden):
        factor_resets.reset(user_id=bob.pk, staff_id=bob.pk, reason="Mine")


def test_another_factor_than_the_one_that_was_meant_stays(
    olga: User, paul: User, bob: User
) -> None:
    propose(olga, bob)
    SecondFactor.objects.filter(user=bob).delete()
    RecoveryCode.objects.filter(user=bob).delete()
    enrol(bob)

    with pytest.raises(RightsHaveChanged):
        agree(paul)

    assert has_factor(bob)


def test_whoever_has_none_has_none_to_lose(client: Client, olga: User) -> None:
    client.force_login(olga)
    nina = make_staff()

    answer = client.post(page_of(nina), {"reason": "Lost"})

    assert answer.status_code == 409
    assert "There is no second factor" in answer.content.decode()


def test_a_superuser_acts_alone_on_the_first_day_and_it_is_told(bob: User) -> None:
    root = make_staff(is_superuser=True)

    assert factor_resets.reset(user_id=bob.pk, staff_id=root.pk, reason="Lost")

    assert not has_factor(bob)
    assert [alert.category for alert in Alert.objects.all()] == ["break_glass"]
    assert entries(root) == [("user.second_factor_reset_alone", str(root.pk), "")]


def test_why_must_be_said(client: Client, olga: User, bob: User) -> None:
    client.force_login(olga)

    assert client.post(page_of(bob), {}).status_code == 400
    assert not Approval.objects.exists()


@pytest.mark.parametrize("group", ["front_desk", "manager", "support", "auditor"])
def test_others_take_nothing_away(client: Client, bob: User, group: str) -> None:
    client.force_login(make_staff(group))

    assert client.post(page_of(bob), {"reason": "Mine now"}).status_code == 403
    assert not Approval.objects.exists()


def test_customers_have_no_such_page(client: Client, olga: User) -> None:
    client.force_login(olga)

    assert client.get(page_of(make_customer())).status_code == 403
