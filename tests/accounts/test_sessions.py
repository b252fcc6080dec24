"""Sessions of staff: how long they last, and what ends them (S17, S40, F73)."""

import time
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.urls import reverse

from recovery import conditions
from recovery.models import Alert, AuditEntry
from slotbase.accounts import sessions
from slotbase.accounts.models import User
from tests.accounts.staff import entries
from tests.adversity import Clock
from tests.factories import make_staff

pytestmark = pytest.mark.django_db

PEOPLE = reverse("admin:accounts_user_changelist")
BY_ITSELF = {"Sec-Fetch-Mode": "navigate"}
BY_A_CLICK = {**BY_ITSELF, "Sec-Fetch-User": "?1"}
HALF_AN_HOUR, TWELVE_HOURS = 30 * 60, 12 * 3600


@pytest.fixture
def olga(client: Client) -> User:
    olga = make_staff("operations")
    client.force_login(olga)
    return olga


def age(client: Client, **seconds: int) -> None:
    """So long ago the session began, was seen, was verified."""
    session = client.session
    for name, ago in seconds.items():
        session[name] = time.time() - ago
    session.save()


def is_in(client: Client, **headers: Any) -> bool:
    """Whether the session shows a page, or asks to sign in and come back."""
    answer = client.get(PEOPLE, headers=headers)
    if answer.status_code == 302:
        assert answer["Location"] == f"/admin/login/?next={PEOPLE}"
    return bool(answer.status_code == 200)


# --- How long ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "limit"), [("seen_at", HALF_AN_HOUR), ("began_at", TWELVE_HOURS)]
)
def test_a_session_lasts_so_long_and_no_longer(
    client: Client, olga: User, name: str, limit: int
) -> None:
    """S17: 30 minutes idle, 12 hours in all, whatever the cookie says."""
    age(client, **{name: limit - 5})
    assert is_in(client)

    age(client, **{name: limit + 1})
    assert not is_in(client)

    assert not Session.objects.exists(), "it is gone, not only refused"


def test_stamps_of_tomorrow_are_not_believed(client: Client, olga: User) -> None:
    """S17: a clock that went back must not make a session last."""
    age(client, seen_at=-TWELVE_HOURS)

    assert not is_in(client)


def test_what_is_sent_in_a_session_that_is_over_is_not_done(
    client: Client, olga: User
) -> None:
    """S17: no half of it is done; the login knows where they were."""
    bob = make_staff("front_desk", name="Bob")
    page = reverse("admin:accounts_user_change", args=[bob.pk])
    age(client, seen_at=HALF_AN_HOUR + 1)

    answer = client.post(page, {"name": "Mallory"})

    assert (answer.status_code, answer["Location"]) == (
        302,
        f"/admin/login/?next={page}",
    )
    bob.refresh_from_db()
    assert bob.name == "Bob"


def test_the_same_form_counts_in_a_session_that_goes_on(
    client: Client, olga: User
) -> None:
    bob = make_staff("front_desk", name="Bob")

    client.post(reverse("admin:accounts_user_change", args=[bob.pk]), {"name": "Rob"})

    bob.refresh_from_db()
    assert bob.name == "Rob"


@pytest.mark.parametrize(
    ("headers", "stays"), [(BY_A_CLICK, True), ({}, True), (BY_ITSELF, False)]
)
def test_only_what_a_person_does_keeps_a_session_awake(
    client: Client, olga: User, headers: dict[str, str], *, stays: bool
) -> None:
    """S17: a page that reloads by itself on an empty desk does not; an old browser,
    which does not say, is believed.
    """
    age(client, seen_at=HALF_AN_HOUR - 60)
    before = client.session["seen_at"]

    assert is_in(client, **headers)

    assert (client.session["seen_at"] > before) is stays


def test_the_idle_stamp_is_written_once_a_minute(client: Client, olga: User) -> None:
    stamps = set()
    for ago in (50, 50, 61):
        age(client, seen_at=ago)
        before = client.session["seen_at"]
        client.get(PEOPLE)
        stamps.add((ago, client.session["seen_at"] > before))

    assert stamps == {(50, False), (61, True)}


def test_the_cookie_is_for_the_server_alone(client: Client, settings: Any) -> None:
    """S17: no script reads it, no other site sends it, plain HTTP never sees it."""
    client.force_login(make_staff("operations"))
    age(client, seen_at=61)
    cookie = client.get(PEOPLE).cookies["sessionid"]

    assert (cookie["samesite"], bool(cookie["httponly"])) == ("Lax", True)
    assert cookie["max-age"] == settings.STAFF_SESSION_SECONDS == TWELVE_HOURS
    assert settings.SESSION_COOKIE_SECURE == settings.HTTPS_ONLY


# --- What ends it -----------------------------------------------------------------


def take_group(bob: User) -> None:
    bob.groups.clear()


def disable(bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)


def another_password(bob: User) -> None:
    bob.set_password("something else")
    bob.save(update_fields=["password"])


def raise_epoch(bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(session_epoch=1)


def not_staff_any_more(bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=False)


@pytest.mark.parametrize(
    "change",
    [take_group, disable, another_password, raise_epoch, not_staff_any_more],
)
def test_what_somebody_lost_is_refused_at_the_next_request(
    client: Client, change: Any
) -> None:
    """S40, F73: the page is open, the right goes, and the form is sent."""
    bob, alice = make_staff("operations"), make_staff(name="Alice")
    client.force_login(bob)
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    assert client.get(page).status_code == 200

    change(bob)
    answer = client.post(page, {"name": "Mallory"})

    assert answer.status_code in {302, 403}
    if answer.status_code == 302:
        assert answer["Location"].startswith("/admin/login/")
    alice.refresh_from_db()
    assert alice.name == "Alice"


def test_a_row_that_is_written_by_sql_ends_no_session(
    client: Client, olga: User
) -> None:
    User.objects.filter(pk=olga.pk).update(name="Olga the Second")

    assert is_in(client)


def test_a_changed_secret_key_ends_no_session_while_the_old_one_is_known(
    client: Client, olga: User, settings: Any
) -> None:
    """The epoch is part of what is looked at under every key."""
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [old]
    assert is_in(client)

    raise_epoch(olga)

    assert not is_in(client)


# --- Superusers ---------------------------------------------------------------------


def request_of(client: Client, user: User) -> Any:
    request = RequestFactory().get("/admin/login/")
    request.session, request.user = client.session, user
    return request


def begin(user: User) -> None:
    sessions.begin(request_of(Client(), user))


@pytest.mark.django_db(transaction=True)
def test_a_superuser_who_signs_in_is_told_of_at_once(clock: Clock) -> None:
    """Matrix 5.1: the account for emergencies is used by nobody in silence."""
    root = make_staff(is_superuser=True, name="Rita Root")

    begin(root)

    alert = Alert.objects.get()
    assert (alert.category, alert.severity) == ("break_glass", "high")
    assert alert.status == "OPEN"
    assert "Rita" not in alert.title
    assert entries(root) == [("staff.superuser_signed_in", str(root.pk), "")]

    conditions.check()
    assert Alert.objects.get().status == "OPEN", "an hour, for whoever looks"
    clock.move(hours=2)
    conditions.check()
    assert Alert.objects.get().status == "RESOLVED"


@pytest.mark.django_db(transaction=True)
def test_each_sign_in_of_a_superuser_is_told_also_while_one_is_told_of() -> None:
    """Whoever comes second, in the shadow of the first, is not silent."""
    root = make_staff(is_superuser=True)

    for _ in range(3):
        begin(root)

    told = Alert.objects.filter(category="break_glass", status="OPEN", occurrences=1)
    assert told.count() == 3


@pytest.mark.django_db(transaction=True)
def test_others_sign_in_without_an_alert() -> None:
    begin(make_staff("operations"))

    assert not Alert.objects.exists()
    assert not AuditEntry.objects.filter(action__startswith="staff.").exists()
