"""Whoever sets a password never holds all that is needed to sign in (S15, S21)."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from recovery import approvals
from recovery.models import Alert, Approval
from slotbase.accounts.errors import NoSecondFactor, PasswordIsGiven
from slotbase.accounts.models import SecondFactor, User
from slotbase.accounts.services import factor_resets, rights
from slotbase.accounts.sign_in_pages import OLD_REFUSED, REFUSED
from tests.accounts.phones import APP, Phone, enrol, secret_on, show_password
from tests.accounts.staff import entries, give_factor
from tests.accounts.test_admin_people import ADD, password_of
from tests.accounts.test_rights import agree, groups_of, propose
from tests.factories import make_staff

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-battery"
NEW = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
GIVEN = "user.enrolled_with_given_password"


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga")


@pytest.fixture
def paul() -> User:
    return make_staff("operations", name="Paul")


@pytest.fixture
def operations(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


def set_password(client: Client, user: User) -> Any:
    return client.post(password_of(user), NEW)


def add(client: Client, login: str = "nina") -> User:
    """A new colleague, as operations make them."""
    client.post(ADD, {"username": login, "name": login.title(), **NEW})
    return User.objects.get(username=login)


def sign_in_and_enrol(user: User) -> Client:
    """Whoever knows the password does it: the person, or whoever has set it."""
    browser = Client()
    show_password(browser, user, PASSWORD)
    phone = Phone(secret_on(browser.get(APP)), user)
    browser.post(APP, {"code": phone.code()})
    return browser


# --- A password of somebody who has rights and no second factor --------------------


@pytest.mark.parametrize("who", ["support_lead", "superuser"])
def test_nobody_gets_one_who_has_rights_and_no_second_factor(
    client: Client, olga: User, who: str
) -> None:
    """S15: operations would sign in as them, make an app, and agree to anything."""
    is_root = who == "superuser"
    lena = make_staff(None if is_root else who, is_superuser=is_root)
    client.force_login(make_staff(is_superuser=True) if is_root else olga)

    answer = set_password(client, lena)

    assert "sign in as them" in answer.content.decode()
    assert not User.objects.get(pk=lena.pk).check_password(PASSWORD)
    browser = Client()
    show_password(browser, lena, PASSWORD)
    assert browser.get("/admin/").status_code == 302


def test_without_the_guard_one_person_would_be_in_as_another(
    operations: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: this is what it keeps off, and the alert that is left."""
    monkeypatch.setattr(rights, "has_rights", lambda _: False)
    lena = make_staff("support_lead")

    assert set_password(operations, lena).status_code == 302
    theirs = sign_in_and_enrol(lena)

    assert theirs.get("/admin/").status_code == 200
    assert [alert.category for alert in Alert.objects.all()] == ["break_glass"]


def test_whoever_has_a_second_factor_gets_one(operations: Client) -> None:
    """A lost password is no reason to wait: it opens nothing without the code."""
    lena = give_factor(make_staff("support_lead"))

    assert set_password(operations, lena).status_code == 302
    assert User.objects.get(pk=lena.pk).check_password(PASSWORD)


# --- An app that is made with a password that somebody else set --------------------


def test_a_new_colleague_makes_their_app_and_somebody_is_told(
    operations: Client,
) -> None:
    nina = add(operations)

    assert sign_in_and_enrol(nina).get("/admin/").status_code == 200

    told = [action for action, _, _ in entries(nina)]
    assert told[:3] == ["user.added", "user.second_factor_enrolled", GIVEN]
    alert = Alert.objects.get()
    assert (alert.category, alert.title) == (
        "break_glass",
        "A second factor was made with a password that somebody else had set",
    )


def test_whoever_chose_their_own_password_tells_nobody(
    operations: Client, olga: User
) -> None:
    """The control of the test above; a password from a shell is their own as well."""
    nina = add(operations)
    theirs = sign_in_and_enrol(nina)
    Alert.objects.all().delete()
    own = {"old_password": PASSWORD, "new_password1": "x7-own-staple"}
    address = reverse("admin:password_change")
    wrong = theirs.post(address, {**own, "new_password2": "another"})
    assert wrong.status_code == 200
    done = theirs.post(address, {**own, "new_password2": "x7-own-staple"})
    assert done.status_code == 302
    changed = [each for each in entries(nina) if each[0] == "user.password_changed"]
    assert changed == [("user.password_changed", str(nina.pk), "")]

    SecondFactor.objects.filter(user=nina).delete()
    enrol(nina)
    enrol(make_staff("operations"))

    assert not Alert.objects.exists()


# --- One's own, after the one before ------------------------------------------------


@pytest.fixture
def own_page(client: Client, olga: User) -> Client:
    """Olga went for a coffee, and somebody sits at her open session."""
    client.force_login(olga)
    return client


def try_own(client: Client, old: str) -> Any:
    new = dict.fromkeys(("new_password1", "new_password2"), PASSWORD)
    typed = {"old_password": old, **new}
    return client.post(reverse("admin:password_change"), typed)


def test_guesses_of_ones_old_password_are_counted(own_page: Client, olga: User) -> None:
    """S16: an open session is no place to guess: the sixth is not even looked at."""
    for _ in range(5):
        assert OLD_REFUSED in try_own(own_page, "wrong").content.decode()

    refused = try_own(own_page, "secret")

    assert OLD_REFUSED in refused.content.decode()
    assert User.objects.get(pk=olga.pk).check_password("secret")
    assert REFUSED in show_password(Client(), olga).content.decode(), "as at the login"


def test_the_right_old_password_counts_as_no_guess(
    own_page: Client, olga: User
) -> None:
    """The control: four wrong ones and the right one, also if the new one is bad."""
    for _ in range(4):
        try_own(own_page, "wrong")
    bad = {"old_password": "secret", "new_password1": "x", "new_password2": "y"}
    for _ in range(3):
        page = own_page.post(reverse("admin:password_change"), bad)
        assert OLD_REFUSED not in page.content.decode()

    assert try_own(own_page, "secret").status_code == 302
    assert User.objects.get(pk=olga.pk).check_password(PASSWORD)
    assert own_page.get("/admin/").status_code == 200


# --- Rights come after the second factor ---------------------------------------------


def test_rights_are_given_to_nobody_without_a_second_factor(
    operations: Client, olga: User
) -> None:
    """Whoever made the account could be the first to sign in with it."""
    nina = add(operations)

    with pytest.raises(NoSecondFactor):
        propose(olga, nina, groups=("support_lead",))

    assert not Approval.objects.exists()


def test_a_factor_that_went_meanwhile_is_seen_when_a_colleague_agrees(
    olga: User, paul: User
) -> None:
    nina = give_factor(make_staff())
    propose(olga, nina, groups=("support_lead",))
    SecondFactor.objects.all().delete()

    with pytest.raises(NoSecondFactor):
        agree(paul)

    assert groups_of(nina) == []


def test_to_take_rights_away_needs_no_second_factor(olga: User, paul: User) -> None:
    """The way out for who lost all: no rights, a new password, an app, rights again."""
    lena = make_staff("support_lead")
    propose(olga, lena, groups=())

    agree(paul)

    assert groups_of(lena) == []


def test_the_first_installation_one_after_the_other(client: Client) -> None:
    """Password, app, then groups; at the end two people of operations, and no way
    for one of them to get any further alone."""
    root = make_staff(is_superuser=True)
    enrol(root)
    client.force_login(root)
    for login in ("olga", "paul"):
        new = add(client, login)
        sign_in_and_enrol(new)
        before = rights.rights_of(new)
        after = rights.Rights(**{**vars(before), "groups": ("operations",)})
        ask = {"user_id": new.pk, "before": before, "after": after}
        is_done = rights.change_rights(**ask, staff_id=root.pk, reason="First day")
        assert is_done == (login == "olga")
    olga, paul = User.objects.get(username="olga"), User.objects.get(username="paul")
    agree(olga)

    assert (groups_of(olga), groups_of(paul)) == (["operations"], ["operations"])


# --- A second factor that is taken away -----------------------------------------------


def test_no_factor_goes_while_somebody_else_may_know_the_password(
    operations: Client, olga: User, paul: User
) -> None:
    """S15: set the password first, then say that they lost their phone."""
    lena = make_staff("support_lead")
    enrol(lena)
    ask = {"user_id": lena.pk, "staff_id": olga.pk, "reason": "Lost"}
    assert not factor_resets.reset(**ask)
    set_password(operations, lena)

    with pytest.raises(PasswordIsGiven):
        agree(paul)
    waiting = Approval.objects.get()
    approvals.withdraw(
        approval_id=waiting.pk, staff_id=olga.pk, version=waiting.version
    )
    with pytest.raises(PasswordIsGiven):
        factor_resets.reset(**ask)

    assert SecondFactor.objects.filter(user=lena).exists()


def test_who_lost_phone_and_password_is_helped_in_four_steps(
    operations: Client, olga: User, paul: User
) -> None:
    """Rights go, the factor goes, a new password and a new app, and rights again."""
    lena = make_staff("support_lead")
    enrol(lena)
    propose(olga, lena, groups=())
    agree(paul)
    factor_resets.reset(user_id=lena.pk, staff_id=olga.pk, reason="Lost both")
    agree(paul)
    assert set_password(operations, lena).status_code == 302
    sign_in_and_enrol(lena)

    propose(olga, lena, groups=("support_lead",))
    agree(paul)

    assert groups_of(lena) == ["support_lead"]
